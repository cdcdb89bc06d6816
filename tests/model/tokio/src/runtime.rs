//! A runtime: what was spawned on it, and its end. The tasks of the tests are not on it.

use crate::task;

#[derive(Clone, Copy, Debug)]
pub struct Handle;

/// Never happens here: a test is always within the runtime.
#[derive(Clone, Copy, Debug)]
pub struct TryCurrentError;

impl Handle {
    /// # Errors
    ///
    /// Never.
    pub const fn try_current() -> Result<Self, TryCurrentError> {
        Ok(Self)
    }

    pub fn spawn(&self, future: impl Future<Output: Send> + Send + 'static) {
        drop(task::spawn(future));
    }
}

/// Drops all tasks that are there, wherever each has got to. What is spawned from now on is
/// spawned on another runtime.
pub fn end() {
    task::abort_all();
}

/// Waits until no task is left.
pub async fn all_ended() {
    task::all_ended().await;
}
