//! The one task that acts: it polls the machine, does what the machine says, and tells it how
//! that ended. Callers only ever wait, so a caller that goes away cancels nothing.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::{JoinError, JoinSet};

use super::flight::{self, Minted};
use super::shared::Shared;
use super::shutdown;
use crate::clock::Moment;
use crate::error::{Error, ErrorKind};
use crate::machine::{Action, Event};
use crate::observe::Happening;

/// The longest sleep. Timers stop while a machine sleeps; the clock does not, and is read again
/// after each sleep.
const HEARTBEAT: Duration = Duration::from_secs(30);

/// An exchange under way, as a task: whatever the user's issuer does there, a panic included,
/// the driver goes on.
pub(super) type Flights = JoinSet<Result<Minted, Error>>;

/// Starts the driver on the current runtime unless it runs, or has nothing left to do. Returns
/// whether it was started.
pub(super) fn ensure(shared: &Arc<Shared>) -> Result<bool, Error> {
    let runtime = {
        let mut engine = shared.engine();
        if engine.driven || engine.machine.is_stopped() {
            return Ok(false);
        }
        let runtime = current_runtime()?;
        engine.driven = true;
        shared.cell.set_attended(true);
        runtime
    };
    // Outside the lock: a runtime that shuts down drops the task here and now.
    runtime.spawn(run(Driving(Arc::clone(shared))));
    Ok(true)
}

pub(super) fn current_runtime() -> Result<Handle, Error> {
    Handle::try_current().map_err(|_| {
        Error::new(
            ErrorKind::NoRuntime,
            "a token provider needs a tokio runtime to run on; call it from within one",
        )
    })
}

/// Lives as long as the driver does, and leaves everything ready for the next one, also when the
/// driver goes away with its runtime.
struct Driving(Arc<Shared>);

impl Drop for Driving {
    fn drop(&mut self) {
        let now = self.0.now();
        {
            let mut engine = self.0.engine();
            engine.driven = false;
            engine.machine.handle(Event::Interrupted, now);
            self.0.cell.set_attended(false);
        }
        // Whoever waits starts the next one.
        self.0.progress.send_modify(|_| {});
    }
}

async fn run(driving: Driving) {
    let shared = &driving.0;
    let mut flights = Flights::new();
    loop {
        let now = shared.now();
        let action = shared.engine().machine.poll(now);
        match action {
            Action::Exchange => begin(shared, &mut flights),
            Action::Sleep(until) => {
                let pause = until.map_or(HEARTBEAT, |until| until.since(now).min(HEARTBEAT));
                tokio::select! {
                    Some(landed) = flights.join_next() => land(shared, landed),
                    () = shared.wake.notified() => {}
                    () = tokio::time::sleep(pause) => {}
                }
            }
            Action::Drain { deadline } => shutdown::drain(shared, &mut flights, deadline).await,
            Action::Stop => return,
        }
    }
}

fn begin(shared: &Arc<Shared>, flights: &mut Flights) {
    let failures = shared.engine().machine.failures();
    shared.observers.tell(Happening::ExchangeBegan { failures });
    flights.spawn(flight::exchange(Arc::clone(shared)));
}

fn land(shared: &Shared, landed: Result<Result<Minted, Error>, JoinError>) {
    let outcome = landed.unwrap_or_else(|_| {
        Err(Error::new(
            ErrorKind::Issuer,
            "the token issuer panicked in the middle of an exchange",
        ))
    });
    let now = shared.now();
    match outcome {
        Ok(minted) => accept(shared, minted, now),
        Err(error) => {
            let failure = flight::failure(&error);
            shared.engine().machine.handle(Event::Failed(failure), now);
            report(shared, error, now);
        }
    }
}

/// Publishes the token, unless nothing is left of its life.
fn accept(shared: &Shared, minted: Minted, now: Moment) {
    let Minted { token, sent, life } = minted;
    let (window, before) = {
        let mut engine = shared.engine();
        engine.minted.retain(|(_, ends_at)| *ends_at > now);
        engine.minted.push((token.clone(), sent + life));
        if !engine.machine.is_running() {
            return; // the shutdown revokes it
        }
        let before = engine.machine.window();
        engine.machine.handle(Event::Exchanged { sent, life }, now);
        let window = engine.machine.window().filter(|it| Some(*it) != before);
        if let Some(window) = window {
            shared.cell.publish(token.clone(), window);
        }
        (window, before)
    };
    let Some(window) = window else {
        return report(
            shared,
            Error::new(
                ErrorKind::Protocol,
                "the auth server handed out a token that has already expired",
            ),
            now,
        );
    };
    shared.progress.send_modify(|progress| {
        progress.exchanges += 1;
        progress.error = None;
    });
    shared.observers.tell(Happening::Swapped {
        generation: window.generation.0,
        token_id: token.token_id().map(str::to_owned),
        life,
        took: now.since(sent),
        previous_left: before.map(|before| before.ends_at.since(now)),
    });
}

/// Tells whoever waits, and whoever watches, that an exchange brought nothing.
fn report(shared: &Shared, error: Error, now: Moment) {
    let (failures, retry_in) = {
        let machine = &shared.engine().machine;
        let next = machine.next_attempt_at(now).map(|next| next.since(now));
        (machine.failures(), next)
    };
    shared.progress.send_modify(|progress| {
        progress.exchanges += 1;
        progress.error = Some(error.clone());
    });
    shared.observers.tell(Happening::ExchangeFailed {
        error,
        failures,
        retry_in,
    });
}
