//! std, except that shuttle knows of the locks and flags that everbearer uses. A dependency of the
//! name `std` takes the real one's place in the crate that depends on it, the prelude included.

pub use ::std::*;

pub mod sync {
    pub use ::std::sync::*;
    pub use shuttle::sync::{Mutex, MutexGuard};

    pub mod atomic {
        pub use ::std::sync::atomic::*;
        pub use shuttle::sync::atomic::AtomicBool;
    }

    /// What tests keep their books with: no other task runs on account of these.
    pub mod unobserved {
        pub use ::std::sync::atomic::AtomicBool;
        pub use ::std::sync::{Mutex, MutexGuard};
    }
}

pub mod collections {
    // In the order of the keys, so that a schedule can be replayed.
    pub use ::std::collections::BTreeMap as HashMap;
    pub use ::std::collections::*;
}
