//! The one task that acts: it polls the machine, does what the machine says, and tells it how
//! that ended. Callers only ever wait, so a caller that goes away cancels nothing.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tracing::Instrument;

use super::engine::{Engine, Minted, Retired};
use super::flight::{self, Failed};
use super::keeper;
use super::lane::Lane;
use super::ledger::unfinished;
use super::minting::Fresh;
use super::rotation::{self, Attended, Setback};
use super::shared::Shared;
use super::shutdown;
use super::status;
use crate::clock::Moment;
use crate::error::{Error, ErrorKind};
use crate::machine::{Action, Event, Failure, LaneId};
use crate::observe::{self, Happening};
use crate::token::{Bearer, ShortTermToken};

/// The longest sleep. Timers stop while a machine sleeps; the clock does not, and is read again
/// after each sleep. So often all is measured, too: some of it changes with time alone.
const HEARTBEAT: Duration = Duration::from_secs(30);

/// Calls of the issuer that are under way, each a task: whatever happens there, the driver goes
/// on.
#[derive(Default)]
pub(super) struct Calls {
    tasks: JoinSet<Ended>,
    /// How many of them may bring a token.
    pub(super) minting: usize,
}

impl Calls {
    pub(super) async fn next(&mut self) -> Option<Ended> {
        while let Some(ended) = self.tasks.join_next().await {
            // Panics are caught within; what else fails is a runtime that ends the task.
            let Ok(ended) = ended else { continue };
            if matches!(ended, Ended::Exchange(..) | Ended::Attendance(_)) {
                self.minting -= 1;
            }
            return Some(ended);
        }
        None
    }

    pub(super) fn give_up(&mut self) {
        self.tasks.abort_all();
        self.tasks.detach_all();
        self.minting = 0;
    }
}

/// How a call ended.
#[derive(Debug)]
pub(super) enum Ended {
    Exchange(Arc<Lane>, Result<Fresh, Failed>),
    Attendance(Result<Attended, Setback>),
    Revocation(ShortTermToken, Result<(), Error>),
}

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
        for lane in engine.open_lanes() {
            lane.cell.serve_until(|window| shared.served_until(window));
        }
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
        let lanes: Vec<Arc<Lane>> = {
            let mut engine = self.0.engine();
            engine.driven = false;
            engine.machine.handle(Event::Interrupted, now);
            // Nobody looks after the tokens: the next caller takes the long way, and starts
            // another driver.
            for lane in engine.open_lanes() {
                lane.cell
                    .serve_until(|_| Moment::from_origin(Duration::ZERO));
            }
            engine.open_lanes().cloned().collect()
        };
        for lane in lanes {
            lane.wake_callers();
        }
        self.0.rotated.send_modify(|()| {});
        self.0.report.send_modify(|_| {});
    }
}

async fn run(driving: Driving) {
    let shared = &driving.0;
    let mut calls = Calls::default();
    if shared.settings.shares_store {
        let watch = keeper::watch(Arc::clone(shared));
        calls.tasks.spawn(async { match watch.await {} });
    }
    let mut heartbeat_at = shared.now();
    loop {
        let now = shared.now();
        let wall = shared.settings.clock.wall();
        let (action, retired) = {
            let mut engine = shared.engine();
            engine.mind_the_wall_clock(now, wall);
            engine.poll(now)
        };
        match action {
            Action::Exchange(lane) => begin(shared, &mut calls, lane),
            Action::Attend { rotate } => attend(shared, &mut calls, rotate),
            Action::Retire(_) => {
                if let Some(retired) = retired {
                    retire(shared, &mut calls, retired);
                }
            }
            Action::Sleep(until) => {
                if heartbeat_at <= now {
                    heartbeat_at = now + HEARTBEAT;
                    status::measure_all(shared);
                } else {
                    status::measure_changes(shared);
                }
                let until = until.map_or(heartbeat_at, |until| until.min(heartbeat_at));
                tokio::select! {
                    Some(ended) = calls.next() => land(shared, ended),
                    () = shared.wake.notified() => {}
                    () = tokio::time::sleep(until.since(now).min(HEARTBEAT)) => {}
                }
            }
            Action::Drain { deadline } => shutdown::drain(shared, &mut calls, deadline).await,
            Action::Stop => return status::measure_all(shared),
        }
    }
}

fn begin(shared: &Arc<Shared>, calls: &mut Calls, lane: LaneId) {
    let (lane, failures) = {
        let engine = shared.engine();
        let Some(lane) = engine.open_lanes().find(|it| it.id == lane) else {
            return;
        };
        (Arc::clone(lane), engine.machine.failures(lane.id))
    };
    shared.observers.tell(Happening::ExchangeBegan {
        scopes: Arc::clone(&lane.scopes),
        failures,
    });
    let shared = Arc::clone(shared);
    let span = observe::exchange_span(&lane.scopes);
    let exchange = async move {
        let began = shared.now();
        let outcome = flight::exchange(Arc::clone(&shared), Arc::clone(&lane)).await;
        let took = shared.now().since(began);
        shared.observers.metrics.exchange_took(&lane.scopes, took);
        Ended::Exchange(lane, outcome)
    };
    calls.minting += 1;
    calls.tasks.spawn(exchange.instrument(span));
}

fn attend(shared: &Arc<Shared>, calls: &mut Calls, rotate: bool) {
    let attendance = rotation::attend(Arc::clone(shared), rotate);
    let attendance = async move { Ended::Attendance(attendance.await) };
    calls.minting += 1;
    calls
        .tasks
        .spawn(attendance.instrument(observe::rotation_span()));
}

fn retire(shared: &Arc<Shared>, calls: &mut Calls, Retired { lane, left }: Retired) {
    shared.observers.tell(Happening::ScopesRetired {
        scopes: Arc::clone(&lane.scopes),
    });
    for Minted { token, .. } in left {
        let issuer = Arc::clone(&shared.settings.issuer);
        let span = observe::revocation_span(token.token_id());
        let limit = shared.settings.policies.retry.exchange_timeout;
        let revocation = async move {
            let outcome = flight::catching_panics(async {
                let call = issuer.revoke(Bearer::ShortTerm(&token));
                let outcome = tokio::time::timeout(limit, call).await;
                outcome.unwrap_or_else(|_| Err(unfinished()))
            })
            .await;
            Ended::Revocation(token, outcome)
        };
        calls.tasks.spawn(revocation.instrument(span));
    }
}

pub(super) fn land(shared: &Shared, ended: Ended) {
    let now = shared.now();
    match ended {
        Ended::Exchange(lane, Ok(fresh)) => accept(shared, &lane, fresh, now),
        Ended::Exchange(lane, Err(failed)) => fail(shared, &lane, failed, now),
        Ended::Attendance(outcome) => rotation::land(shared, outcome),
        Ended::Revocation(token, outcome) => revoked(shared, &token, outcome),
    }
}

/// Publishes the token, unless nothing is left of its life.
fn accept(shared: &Shared, lane: &Lane, fresh: Fresh, now: Moment) {
    let Fresh {
        token,
        sent,
        life,
        is_assumed,
    } = fresh;
    let happening = {
        let mut engine = shared.engine();
        let minted = Minted {
            lane: lane.id,
            token: token.clone(),
            // The server may have begun to count only when it answered.
            ends_at: (!is_assumed).then(|| now + life),
        };
        engine.note_minted(minted, now);
        if !engine.machine.is_running() {
            return; // the shutdown revokes it
        }
        let before = engine.machine.window(lane.id);
        let event = Event::Exchanged {
            lane: lane.id,
            sent,
            life,
        };
        engine.machine.handle(event, now);
        let after = engine.machine.window(lane.id);
        match after.filter(|_| after != before) {
            Some(window) => {
                engine.note_attempt(lane.id, None);
                let served_until = shared.served_until(window);
                lane.cell.publish(token.clone(), window, served_until);
                Happening::Swapped {
                    scopes: Arc::clone(&lane.scopes),
                    generation: window.generation.0,
                    token_id: token.token_id().map(str::to_owned),
                    life,
                    took: now.since(sent),
                    previous_left: before.map(|before| before.ends_at.since(now)),
                }
            }
            None => failed(
                &mut engine,
                lane,
                Error::new(
                    ErrorKind::Protocol,
                    "the auth server handed out a token that has already expired",
                ),
                now,
            ),
        }
    };
    lane.wake_callers();
    shared.observers.tell(happening);
}

fn fail(shared: &Shared, lane: &Lane, failed_with: Failed, now: Moment) {
    let Failed { error, used } = failed_with;
    let happening = {
        let mut engine = shared.engine();
        if !engine.machine.is_running() {
            return;
        }
        // A refusal of the long-term token before says nothing about the one that is here by now.
        let present = engine.long_term.as_ref().map(|held| &held.token);
        let is_outdated = match (present, &used) {
            (Some(present), Some(used)) => !present.reads_like(used),
            // There was none, and one has come.
            (present, used) => {
                present.is_some() && used.is_none() && error.kind() == ErrorKind::Config
            }
        };
        let failure = match flight::failure(&error) {
            Failure::Terminal if is_outdated => Failure::Transient { retry_after: None },
            failure => failure,
        };
        let event = Event::Failed {
            lane: lane.id,
            failure,
        };
        engine.machine.handle(event, now);
        failed(&mut engine, lane, error, now)
    };
    lane.wake_callers();
    shared.observers.tell(happening);
}

/// Notes a failure that the machine knows of.
fn failed(engine: &mut Engine, lane: &Lane, error: Error, now: Moment) -> Happening {
    let repeats = engine
        .last_error(lane.id)
        .is_some_and(|last| last.kind() == error.kind() && last.code() == error.code());
    engine.note_attempt(lane.id, Some(error.clone()));
    let next = engine.machine.next_attempt_at(lane.id, now);
    Happening::ExchangeFailed {
        scopes: Arc::clone(&lane.scopes),
        error,
        failures: engine.machine.failures(lane.id),
        repeats,
        retry_in: next.map(|next| next.since(now)),
    }
}

fn revoked(shared: &Shared, token: &ShortTermToken, outcome: Result<(), Error>) {
    if outcome.is_ok() {
        shared.engine().forget(token);
    } // else the shutdown tries again, unless the token has ended by then
    shared.observers.tell(Happening::Revocation {
        token_id: token.token_id().map(str::to_owned),
        error: outcome.err(),
    });
}
