//! A shutdown, on the caller's side.

use std::sync::Arc;
use std::time::Duration;

use super::report::ShutdownReport;
use super::report_builder::{ReportBuilder, unfinished};
use crate::clock::Moment;
use crate::engine::shared::Shared;
use crate::engine::start::{STARTS, current_runtime, ensure, runtime_is_going};
use crate::error::Error;
use crate::machine::Input;

/// How much longer than the deadline a caller waits for the driver's report before it creates its own.
const GRACE: Duration = Duration::from_millis(250);

/// Begins the shutdown if it has not begun, and waits for its report.
pub(crate) async fn shut_down(shared: &Arc<Shared>) -> ShutdownReport {
    let now = shared.now();
    let budget = shared.settings.shutdown.deadline;
    begin(shared, now, now + budget);
    if let Some(report) = shared.report.get() {
        return ShutdownReport::clone(report);
    }
    // The deadline of the first call counts.
    let began = shared.engine().shutdown_began.unwrap_or(now);
    let rest = (began + budget).since(now) + GRACE;
    let outcome = match current_runtime() {
        Ok(_) => match tokio::time::timeout(rest, wait_for_report(shared)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(unfinished()),
        },
        Err(error) => Err(error),
    };
    // Without a driver, report each token as not revoked.
    outcome.unwrap_or_else(|error| ReportBuilder::of(shared, now).nothing_done(shared, &error))
}

pub(crate) fn begin(shared: &Shared, now: Moment, deadline: Moment) {
    let sets: Vec<_> = {
        let mut engine = shared.engine();
        if !engine.machine.is_running() {
            return;
        }
        engine.machine.handle(Input::ShutDown { deadline }, now);
        engine.shutdown_began = Some(now);
        for set in engine.sets.open() {
            set.current.withdraw();
        }
        engine.sets.open().cloned().collect()
    };
    for set in sets {
        set.wake_callers();
    }
    shared.changed.notify_waiters();
    shared.wake.notify_one();
}

async fn wait_for_report(shared: &Arc<Shared>) -> Result<ShutdownReport, Error> {
    for _ in 0..=STARTS {
        ensure(shared)?;
        loop {
            // Registers before it checks, so that no wake-up is lost.
            let changed = shared.changed.notified();
            if let Some(report) = shared.report.get() {
                return Ok(ShutdownReport::clone(report));
            }
            if !shared.engine().driven {
                break;
            }
            changed.await;
        }
    }
    Err(runtime_is_going())
}
