//! What everbearer uses of tokio. Most of it is shuttle-tokio; its own are what shuttle-tokio has
//! not, or models otherwise than the tests need it: time, sets of tasks, the end of a runtime.

pub mod runtime;
pub mod task;
pub mod time;

pub use shuttle_tokio::{join, pin, select, task_local};

pub mod sync {
    // shuttle-tokio has no broadcast channel. Nothing that the engine does depends on this one.
    pub use real::sync::broadcast;
    pub use shuttle_tokio::sync::*;
}

/// Begins another execution: no time has passed, and no task was spawned.
pub fn reset() {
    time::reset();
    task::reset();
}
