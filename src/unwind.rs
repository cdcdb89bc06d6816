//! Containing panics of user code. With `panic = "abort"`, the process ends at the first panic.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Returns what `call` returns, or `None` if it panics. The panic hook runs first.
///
/// Use it around calls that change no state of this crate: subscribers, recorders, clocks, and futures that
/// are dropped after a panic.
#[inline]
pub(crate) fn caught<T>(call: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(call)).ok()
}
