//! The status of a scope set at one moment, and the gauges.

use std::sync::Arc;

use super::scope_set::ScopeSet;
use super::shared::Shared;
use crate::machine::{LongTerm, Machine, SetId};
use crate::observe::{LongTermStatus, Metrics, State, Status};

pub(crate) fn of(shared: &Shared, set: &ScopeSet) -> Status {
    let (now, wall) = (shared.now(), shared.wall());
    let engine = shared.engine();
    let machine = &engine.machine;
    let published = set.current.load();
    let window = published.as_ref().map(|it| it.window);
    let usable_for = window
        .map(|window| window.usable_until.since(now))
        .unwrap_or_default();
    Status {
        state: state(machine, set.id, window.is_some(), !usable_for.is_zero()),
        generation: window.map_or(0, |window| window.generation.0),
        token_id: published.and_then(|it| it.token.shown_id().map(str::to_owned)),
        usable_for,
        expires_at: window.and_then(|window| wall.checked_add(window.ends_at.since(now))),
        next_exchange_in: machine
            .next_attempt_at(set.id, now)
            .map(|next| next.since(now)),
        consecutive_failures: machine.failures(set.id),
        last_error: engine.sets.last_error(set.id).cloned(),
        long_term: machine.long_term().and_then(|rules| {
            let token = rules.current()?;
            Some(LongTermStatus {
                token_id: token.shown_id().map(str::to_owned),
                age: now.since(rules.since()),
                expires_at: token.expires_at(),
                rotates_in: rules.rotates_at(now).map(|at| at.since(now)),
                last_error: rules.rotation_failures().1.cloned(),
            })
        }),
        store_error: machine.long_term().and_then(LongTerm::store_error).cloned(),
    }
}

/// Updates the gauges of the scope sets that have changed.
pub(crate) fn measure_changes(shared: &Shared) {
    if Metrics::ON {
        let changed = shared.engine().sets.take_changed();
        measure(shared, &changed);
    }
}

/// Updates the gauges of all scope sets.
pub(crate) fn measure_all(shared: &Shared) {
    if Metrics::ON {
        let sets: Vec<_> = shared.engine().sets.open().cloned().collect();
        measure(shared, &sets);
    }
}

fn measure(shared: &Shared, sets: &[Arc<ScopeSet>]) {
    let wall = shared.wall();
    for set in sets {
        let status = of(shared, set);
        shared.observers.metrics.read(&set.scopes, &status, wall);
    }
}

fn state(machine: &Machine, set: SetId, has_token: bool, is_usable: bool) -> State {
    let is_failing = machine.failures(set) > 0;
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
    } else if machine.is_refused(set) {
        State::Refused
    } else if has_token || is_failing {
        State::Unavailable
    } else {
        State::Starting
    }
}
