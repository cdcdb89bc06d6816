//! How a provider is at one moment.

use std::sync::Arc;

use super::lane::Lane;
use super::shared::Shared;
use crate::machine::{LaneId, Machine};
use crate::observe::{LongTermStatus, Metrics, State, Status};

pub(super) fn of(shared: &Shared, lane: &Lane) -> Status {
    let (now, wall) = (shared.now(), shared.wall());
    let engine = shared.engine();
    let machine = &engine.machine;
    let published = lane.cell.load();
    let window = published.as_ref().map(|it| it.window);
    let usable_for = window
        .map(|window| window.usable_until.since(now))
        .unwrap_or_default();
    Status {
        state: state(machine, lane.id, window.is_some(), !usable_for.is_zero()),
        generation: window.map_or(0, |window| window.generation.0),
        token_id: published.and_then(|it| it.token.shown_id().map(str::to_owned)),
        usable_for,
        expires_at: window.and_then(|window| wall.checked_add(window.ends_at.since(now))),
        next_exchange_in: machine
            .next_attempt_at(lane.id, now)
            .map(|next| next.since(now)),
        consecutive_failures: machine.failures(lane.id),
        last_error: engine.last_error(lane.id).cloned(),
        long_term: engine.long_term.as_ref().map(|held| LongTermStatus {
            token_id: held.token.shown_id().map(str::to_owned),
            age: now.since(held.since),
            expires_at: held.token.expires_at(),
            rotates_in: machine.rotates_at().map(|at| at.since(now)),
            last_error: engine.rotation_failures.1.clone(),
        }),
        store_error: engine.store_error.clone(),
    }
}

/// Has the metrics say how the sets of scopes are to which something has happened.
pub(super) fn measure_changes(shared: &Shared) {
    if Metrics::ON {
        let changed = shared.engine().changed_lanes();
        measure(shared, &changed);
    }
}

/// Has the metrics say how every set of scopes is.
pub(super) fn measure_all(shared: &Shared) {
    if Metrics::ON {
        let lanes: Vec<_> = shared.engine().open_lanes().cloned().collect();
        measure(shared, &lanes);
    }
}

fn measure(shared: &Shared, lanes: &[Arc<Lane>]) {
    let wall = shared.wall();
    for lane in lanes {
        let status = of(shared, lane);
        shared.observers.metrics.read(&lane.scopes, &status, wall);
    }
}

fn state(machine: &Machine, lane: LaneId, has_token: bool, is_usable: bool) -> State {
    let is_failing = machine.failures(lane) > 0;
    if machine.is_stopped() {
        State::ShutDown
    } else if !machine.is_running() {
        State::ShuttingDown
    } else if is_usable {
        if is_failing {
            State::Failing
        } else {
            State::Fresh
        }
    } else if machine.is_refused(lane) {
        State::Refused
    } else if has_token || is_failing {
        State::Unavailable
    } else {
        State::Starting
    }
}
