//! How a provider is at one moment.

use super::shared::Shared;
use crate::machine::Machine;
use crate::observe::{State, Status};

pub(super) fn of(shared: &Shared) -> Status {
    let now = shared.now();
    let token_id = shared
        .cell
        .load()
        .and_then(|published| published.token.token_id().map(str::to_owned));
    let last_error = shared.progress.borrow().error.clone();
    let engine = shared.engine();
    let machine = &engine.machine;
    let window = machine.window();
    let usable_for = window
        .filter(|_| machine.is_running())
        .map(|window| window.usable_until.since(now))
        .unwrap_or_default();
    Status {
        state: state(machine, !usable_for.is_zero()),
        generation: window.map_or(0, |window| window.generation.0),
        token_id,
        usable_for,
        expires_at: window.and_then(|window| {
            let rest = window.ends_at.since(now);
            shared.settings.clock.wall().checked_add(rest)
        }),
        next_exchange_in: machine.next_attempt_at(now).map(|next| next.since(now)),
        consecutive_failures: machine.failures(),
        last_error,
    }
}

fn state(machine: &Machine, usable: bool) -> State {
    if machine.is_stopped() {
        State::ShutDown
    } else if !machine.is_running() {
        State::ShuttingDown
    } else if machine.is_refused() {
        State::Refused
    } else if usable {
        if machine.failures() == 0 {
            State::Fresh
        } else {
            State::Failing
        }
    } else if machine.failures() == 0 && machine.window().is_none() {
        State::Starting
    } else {
        State::Unavailable
    }
}
