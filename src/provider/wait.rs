//! How a caller that the hot path cannot serve waits: it never acts itself, so that it can go
//! away at any moment.

use std::sync::Arc;
use std::time::Duration;

use super::cell::Published;
use super::driver;
use super::shared::Shared;
use crate::error::{Error, ErrorKind};
use crate::machine::{Event, Generation, Outlook};

/// So often one caller starts the driver before it concludes that its runtime is shutting down.
const STARTS: u32 = 3;

/// A good token that is newer than this generation.
///
/// A caller waits for one exchange at the most: if the one under way, or else the next, fails, so
/// does the caller.
pub(super) async fn for_token(
    shared: &Arc<Shared>,
    newer_than: Generation,
) -> Result<Arc<Published>, Error> {
    if let Err(error) = driver::current_runtime() {
        return good_token(shared, newer_than).ok_or(error);
    }
    let patience = shared.settings.retry.wait_timeout;
    match tokio::time::timeout(patience, wait(shared, newer_than)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(out_of_patience(shared, patience)),
    }
}

async fn wait(shared: &Arc<Shared>, newer_than: Generation) -> Result<Arc<Published>, Error> {
    let mut progress = shared.progress.subscribe();
    let seen = progress.borrow().exchanges;
    let give_up_at = shared.now() + shared.settings.retry.wait_timeout;
    let mut starts = 0;
    loop {
        let (exchanges, last_error) = {
            let progress = progress.borrow_and_update();
            (progress.exchanges, progress.error.clone())
        };
        if driver::ensure(shared)? {
            starts += 1;
        }
        if let Some(published) = good_token(shared, newer_than) {
            return Ok(published);
        }
        if let Some(error) = last_error.clone().filter(|_| exchanges > seen) {
            return Err(error);
        }
        let now = shared.now();
        let outlook = {
            let machine = &mut shared.engine().machine;
            let outlook = machine.outlook(now);
            if matches!(outlook, Outlook::Imminent | Outlook::At(_)) {
                machine.handle(Event::Demanded { newer_than }, now);
            }
            outlook
        };
        match outlook {
            Outlook::ShutDown => return Err(shut_down()),
            Outlook::Refused => return Err(last_error.unwrap_or_else(shut_down)),
            Outlook::At(at) if at > give_up_at => {
                return Err(last_error.unwrap_or_else(|| out_of_patience(shared, Duration::ZERO)));
            }
            Outlook::Imminent | Outlook::At(_) => shared.wake.notify_one(),
        }
        if starts > STARTS {
            return Err(Error::new(
                ErrorKind::NoRuntime,
                "the tokio runtime is shutting down",
            ));
        }
        if progress.changed().await.is_err() {
            return Err(shut_down());
        }
    }
}

fn good_token(shared: &Shared, newer_than: Generation) -> Option<Arc<Published>> {
    let now = shared.now();
    shared
        .cell
        .load()
        .filter(|it| it.is_usable(now) && it.window.generation > newer_than)
}

fn shut_down() -> Error {
    Error::new(
        ErrorKind::ShutDown,
        "the token provider was shut down and gives out no more tokens",
    )
}

fn out_of_patience(shared: &Shared, patience: Duration) -> Error {
    let error = Error::new(
        ErrorKind::WaitTimeout,
        format!("no token within {patience:?}; the exchange goes on behind it"),
    );
    match shared.progress.borrow().error.clone() {
        Some(cause) => error.with_source(cause),
        None => error,
    }
}
