//! The driver task: polls the machine, executes its actions and reports the outcomes. Callers only wait, so
//! dropping a caller cancels nothing.

use std::sync::Arc;
use std::time::Duration;

use super::actions::act;
use super::grants;
use super::long_term;
use super::scope_set::ScopeSet;
use super::shared::Shared;
use super::shutdown::drain;
use super::status;
use super::task_result::land;
use super::tasks::Tasks;
use crate::calls::give_back;
use crate::clock::{Moment, Now};
use crate::machine::{Action, Input, SetAction};
use crate::observe;

/// The longest sleep. tokio's timers stop while the machine is suspended, so the driver reads the clock again
/// this often, and updates the gauges.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(30);
/// The longest sleep while the clock cannot be read.
const BETWEEN_FAILED_READINGS: Duration = Duration::from_secs(1);

/// Resets the state for the next driver when this one ends, also when its runtime is dropped.
pub(crate) struct DriverGuard(pub(super) Arc<Shared>);

impl Drop for DriverGuard {
    /// Runs no user code during unwinding, where a panic would abort the process: the next driver gives the lease back.
    fn drop(&mut self) {
        let now = self.0.user_code.time.last();
        if !std::thread::panicking() {
            let lease = self.0.engine().lease.take();
            give_back(lease);
        }
        let sets: Vec<Arc<ScopeSet>> = {
            let mut engine = self.0.engine();
            engine.driven = false;
            engine.note_dropped(now);
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
        self.0.changed.notify_waiters();
    }
}

pub(crate) async fn run(driving: DriverGuard) {
    let shared = &driving.0;
    let mut tasks = Tasks::default();
    let left_behind = shared.engine().lease.take();
    give_back(left_behind);
    if shared.settings.shares_store {
        tasks.start_watch(long_term::watch(Arc::clone(shared)));
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
        match act_next(shared, &mut tasks, Now { at: now, wall }) {
            Turn::Done => {}
            Turn::Drain { deadline } => {
                // Boxed, to keep the future of each driver small.
                Box::pin(drain::drain(shared, &mut tasks, deadline)).await;
            }
            Turn::Stop => return status::measure_all(shared),
            Turn::Sleep(until) => {
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
        }
    }
}

/// What the driver does after it has executed an action, or how it executes an action that takes time. The enum is small,
/// since the future of the driver keeps it while the driver sleeps.
enum Turn {
    Done,
    Sleep(Option<Moment>),
    Drain { deadline: Moment },
    Stop,
}

/// Executes the next action unless it takes time.
fn act_next(shared: &Arc<Shared>, tasks: &mut Tasks, now: Now) -> Turn {
    let in_order = shared.in_order();
    let (action, retired) = shared.engine().poll(now);
    if !is_of_exchange(&action) {
        drop(in_order);
    }
    match action {
        Action::Sleep(until) => Turn::Sleep(until),
        Action::ForSet(SetAction::Drain { deadline }) => Turn::Drain { deadline },
        Action::ForSet(SetAction::Stop) => Turn::Stop,
        action => {
            act(shared, tasks, action, retired, now.at);
            Turn::Done
        }
    }
}

/// Returns whether the action tells of the beginning or the end of an exchange.
const fn is_of_exchange(action: &Action) -> bool {
    matches!(
        action,
        Action::Exchange { .. }
            | Action::Failed { .. }
            | Action::Accept(_)
            | Action::ForSet(SetAction::Publish(_))
    )
}

/// Tells observers of the outages. Returns when to look again at the latest.
fn observe_outages(shared: &Shared, now: Moment) -> Option<Moment> {
    let (events, next) = shared.engine().observe_outages(now);
    for event in events {
        shared.observers.tell(event);
    }
    next
}
