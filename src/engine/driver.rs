//! The driver task: polls the machine, executes its actions and reports the outcomes. Callers only wait, so
//! dropping a caller cancels nothing.

use std::sync::Arc;
use std::time::Duration;

use super::exchange;
use super::grants;
use super::long_term::{keeper, rotation};
use super::revocation;
use super::scope_set::ScopeSet;
use super::shared::Shared;
use super::shutdown::drain;
use super::state::Retired;
use super::status;
use super::task_result::{land, publish};
use super::tasks::{Ended, Tasks};
use crate::clock::Moment;
use crate::machine::{Action, Input, SetId};
use crate::observe::{self, Event};
use crate::token::TokenRef;

/// The longest sleep. tokio's timers stop while the machine is suspended, so the driver reads the clock again
/// this often, and updates the gauges.
const HEARTBEAT: Duration = Duration::from_secs(30);
/// The longest sleep while the clock cannot be read.
const BETWEEN_FAILED_READINGS: Duration = Duration::from_secs(1);

/// Resets the state for the next driver when this one ends, also when its runtime is dropped.
pub(crate) struct DriverGuard(pub(super) Arc<Shared>);

impl Drop for DriverGuard {
    /// Runs no user code: a panic during unwinding would abort the process.
    fn drop(&mut self) {
        let now = self.0.user_code.time.last();
        let sets: Vec<Arc<ScopeSet>> = {
            let mut engine = self.0.engine();
            engine.driven = false;
            engine.machine.handle(Input::Interrupted, now);
            // No driver refreshes the tokens now, so the next caller takes the slow path and starts one.
            for set in engine.sets.open() {
                set.current
                    .serve_until(|_| Moment::from_origin(Duration::ZERO));
            }
            engine.sets.open().cloned().collect()
        };
        for set in sets {
            set.wake_callers();
        }
        self.0.rotated.send_modify(|()| {});
        self.0.report.send_modify(|_| {});
    }
}

pub(crate) async fn run(driving: DriverGuard) {
    let shared = &driving.0;
    let mut tasks = Tasks::default();
    if shared.settings.shares_store {
        tasks.start_watch(keeper::watch(Arc::clone(shared)));
    }
    let mut heartbeat_at = shared.now();
    let mut is_clock_failing = false;
    loop {
        let reading = shared.user_code.time.now();
        if std::mem::replace(&mut is_clock_failing, reading.is_none()) != reading.is_none() {
            observe::log_clock(&shared.settings.name, reading.is_some());
        }
        // While the clock fails, the last reading counts: nothing becomes due, but ended tasks are handled.
        let now = reading.unwrap_or_else(|| shared.user_code.time.last());
        let wall = shared.wall();
        let (action, retired) = {
            let mut engine = shared.engine();
            engine.mind_the_wall_clock(now, wall);
            engine.poll(now)
        };
        match action {
            Action::Exchange(set) => begin(shared, &mut tasks, set),
            Action::Publish(set) => publish(shared, set, now),
            Action::Attend { rotate } => attend(shared, &mut tasks, rotate),
            Action::Retire(_) => {
                if let Some(retired) = retired {
                    let scopes = Arc::clone(&retired.set.scopes);
                    shared.observers.tell(Event::ScopesRetired { scopes });
                    revoke(shared, &mut tasks, retired);
                }
            }
            Action::RevokeEvicted(_) => {
                if let Some(evicted) = retired {
                    revoke(shared, &mut tasks, evicted);
                }
            }
            Action::Sleep(until) => {
                if heartbeat_at <= now {
                    heartbeat_at = now + HEARTBEAT;
                    status::measure_all(shared);
                    grants::look_at_secrets(shared);
                } else {
                    status::measure_changes(shared);
                }
                let observe_at = observe_outages(shared, now);
                let until = until.into_iter().chain(observe_at).min();
                let until = until.map_or(heartbeat_at, |until| until.min(heartbeat_at));
                let longest = if is_clock_failing {
                    BETWEEN_FAILED_READINGS
                } else {
                    HEARTBEAT
                };
                tokio::select! {
                    Some(ended) = tasks.next() => land(shared, ended),
                    () = shared.wake.notified() => {}
                    () = tokio::time::sleep(until.since(now).min(longest)) => {}
                }
            }
            Action::Drain { deadline } => drain::drain(shared, &mut tasks, deadline).await,
            Action::Stop => return status::measure_all(shared),
        }
    }
}

/// Tells observers of the outages. Returns when to look again at the latest.
fn observe_outages(shared: &Shared, now: Moment) -> Option<Moment> {
    let (events, next) = shared.engine().observe_outages(now);
    for event in events {
        shared.observers.tell(event);
    }
    next
}

fn begin(shared: &Arc<Shared>, tasks: &mut Tasks, set: SetId) {
    let (set, failures) = {
        let engine = shared.engine();
        let Some(set) = engine.sets.open().find(|it| it.id == set) else {
            return;
        };
        (Arc::clone(set), engine.machine.failures(set.id))
    };
    shared.observers.tell(Event::ExchangeBegan {
        scopes: Arc::clone(&set.scopes),
        failures,
    });
    let span = observe::exchange_span(&shared.settings.name, &set.scopes);
    let exchange = exchange::exchange(Arc::clone(shared), Arc::clone(&set));
    let (shared, began) = (Arc::clone(shared), shared.now());
    tasks.minting += 1;
    tasks.start(span, exchange, move |outcome| {
        let took = shared.now().since(began);
        shared.observers.metrics.exchange_took(&set.scopes, took);
        Ended::Exchange(set, outcome)
    });
}

fn attend(shared: &Arc<Shared>, tasks: &mut Tasks, rotate: bool) {
    let attendance = rotation::attend(Arc::clone(shared), rotate);
    let span = observe::rotation_span(&shared.settings.name);
    tasks.minting += 1;
    tasks.start(span, attendance, Ended::Attendance);
}

/// Revokes the tokens of a closed scope set, except those that an open scope set uses and those that are revoked later
/// for an evicted scope set.
fn revoke(shared: &Arc<Shared>, tasks: &mut Tasks, Retired { left, .. }: Retired) {
    if shared.settings.profile.shares_tokens {
        return;
    }
    let left = left.into_iter().map(|minted| minted.token);
    let unused = shared.engine().unused(left);
    for token in unused {
        let span = observe::revocation_span(&shared.settings.name, token.shown_id());
        let (shared, revoked) = (Arc::clone(shared), token.clone());
        let revocation =
            async move { revocation::revoke_in_time(&shared, TokenRef::ShortTerm(&token)).await };
        tasks.start(span, revocation, |outcome| {
            Ended::Revocation(revoked, outcome)
        });
    }
}
