//! Containing panics of user code. With `panic = "abort"`, the process ends at the first panic.

use std::any::Any;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Returns what `call` returns, or `None` if it panics. The panic hook runs first.
///
/// Use it around calls that change no state of this crate: subscribers, recorders, clocks, and futures that
/// are dropped after a panic.
#[inline]
pub(crate) fn caught<T>(call: impl FnOnce() -> T) -> Option<T> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(value) => Some(value),
        Err(payload) => {
            discard(payload);
            None
        }
    }
}

/// Drops the payload of a panic. If its destructor panics, the payload of that panic is leaked.
#[cold]
fn discard(payload: Box<dyn Any + Send>) {
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        mem::forget(second);
    }
}
