//! Starts the driver.

use std::sync::Arc;

use tokio::runtime::Handle;

use super::driver::{DriverGuard, run};
use super::shared::Shared;
use crate::error::{Error, ErrorKind};

/// How often one caller starts the driver before it concludes that its runtime is shutting down.
pub(crate) const STARTS: u32 = 3;

/// Starts the driver on the current runtime, unless it runs or the provider has stopped. Returns whether it was
/// started.
pub(crate) fn ensure(shared: &Arc<Shared>) -> Result<bool, Error> {
    let runtime = {
        let mut engine = shared.engine();
        if engine.driven || engine.machine.is_stopped() {
            return Ok(false);
        }
        let runtime = current_runtime()?;
        engine.driven = true;
        for set in engine.sets.open() {
            set.current
                .serve_until(|window| shared.served_until(window));
        }
        runtime
    };
    // Outside the lock, since a runtime that is shutting down drops the task at once.
    runtime.spawn(run(DriverGuard(Arc::clone(shared))));
    Ok(true)
}

pub(crate) fn current_runtime() -> Result<Handle, Error> {
    Handle::try_current().map_err(|_| {
        Error::own(
            ErrorKind::NoRuntime,
            "a token provider needs a tokio runtime; call it within one",
        )
    })
}

pub(crate) fn runtime_is_going() -> Error {
    Error::own(
        ErrorKind::NoRuntime,
        "the tokio runtime is shutting down; call the provider on another runtime",
    )
}
