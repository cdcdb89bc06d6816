//! Handling the result of a task: the driver informs the machine, publishes the token and informs the
//! observers.

use std::sync::Arc;
use std::time::Duration;

use super::live::LiveToken;
use super::long_term::{self, TaskResult};
use super::revocation;
use super::scope_set::ScopeSet;
use super::shared::Shared;
use super::state::Engine;
use super::swap::Swap;
use super::tasks::Ended;
use crate::calls::{Exchanged, Minted, give_back};
use crate::clock::Moment;
use crate::error::{Error, ErrorKind};
use crate::issuer::Revoked;
use crate::machine::{Accepted, Arrival, Brought, Call, SetId};
use crate::observe::Event;
use crate::token::{LongTermToken, ShortTermToken};

/// A server that states lifetimes in whole seconds returns a token in its last second with a lifetime of zero. Callers
/// wait for the next exchange, which returns another token.
const LAST_SECOND: Duration = Duration::from_secs(1);

pub(crate) fn land(shared: &Shared, ended: Ended) {
    match ended {
        Ended::Exchange | Ended::Task => {}
        Ended::Revocation(token, outcome) => revoked(shared, &token, outcome),
    }
}

/// Takes in how a task for the long-term token ended, and the lease that it has returned.
pub(crate) fn task_ended(shared: &Shared, call: Call, TaskResult { outcome, lease }: TaskResult) {
    let now = shared.both_clocks();
    let unused = {
        let mut engine = shared.engine();
        // The lease of an interrupted task is released.
        let unused = if engine.machine.is_in_progress(call) && lease.is_some() {
            std::mem::replace(&mut engine.lease, lease)
        } else {
            lease
        };
        engine.note_outcome((call, None), is_timeout(&outcome), now.at);
        engine.machine.task_ended(call, outcome, now);
        unused
    };
    give_back(unused);
    shared.changed.notify_waiters();
}

/// Returns whether the call may have obtained a token although it failed.
fn is_timeout<T>(outcome: &Result<T, Error>) -> bool {
    matches!(outcome, Err(error) if error.kind() == ErrorKind::Timeout)
}

/// Takes in how an exchange ended.
pub(crate) fn exchanged(
    shared: &Shared,
    set: &ScopeSet,
    call: Call,
    with: Option<&LongTermToken>,
    outcome: Result<Exchanged, Error>,
) {
    let (call, now) = ((call, set.id), shared.both_clocks());
    let _in_order = shared.in_order();
    let exchanged = match outcome {
        Ok(exchanged) => exchanged,
        Err(error) => {
            let has_timed_out = error.kind() == ErrorKind::Timeout;
            let mut engine = shared.engine();
            engine.note_outcome((call.0, Some(call.1)), has_timed_out, now.at);
            return engine.machine.exchange_failed(call, error, now);
        }
    };
    let Exchanged {
        minted,
        replacement,
        asked_at,
        ..
    } = exchanged;
    let name = &shared.settings.name;
    let replacement = replacement.map(|token| long_term::dated(name, token, asked_at));
    let arrival = {
        let mut engine = shared.engine();
        let live = LiveToken {
            set: set.id,
            token: minted.token.clone(),
            // The server may have begun to count only when it answered.
            ends_at: (!minted.is_assumed).then(|| now.at + minted.life),
        };
        engine.live.insert(live, now.at);
        engine.note_outcome((call.0, Some(call.1)), false, now.at);
        (engine.machine).minted(call, with, minted.life, replacement, now)
    };
    match arrival {
        Arrival::Acceptable => accept(shared, set, minted, now.at),
        Arrival::AcceptableLater => shared.engine().sets.note_arrived(set.id, minted),
        Arrival::Late => {} // the shutdown revokes it
    }
}

/// Accepts the token that waited for its long-term token to be stored.
pub(crate) fn accept_arrived(shared: &Shared, set: SetId) {
    let arrived = shared.engine().sets.take_arrived(set);
    if let Some((set, minted)) = arrived {
        accept(shared, &set, minted, shared.now());
    }
}

/// Publishes the token, at once or later, unless it has expired.
fn accept(shared: &Shared, set: &ScopeSet, minted: Minted, now: Moment) {
    let event = {
        let mut engine = shared.engine();
        let brought = brought(shared, set, &minted);
        let is_repeated = brought.is_repeated;
        let Some(accepted) = engine.machine.exchanged(set.id, brought, now) else {
            return; // the shutdown revokes it
        };
        let swap = Swap {
            token: minted.token,
            life: minted.life,
            took: now.since(minted.sent),
        };
        match accepted {
            Accepted::Now(window) => {
                engine.sets.note_attempt(set.id, None);
                Some(swap.publish(set, window, shared.served_until(window), now))
            }
            Accepted::Later(_) => {
                engine.sets.note_attempt(set.id, None);
                engine.sets.note_upcoming(set.id, swap);
                None
            }
            Accepted::Again(window) => {
                engine.sets.note_attempt(set.id, None);
                let served_until = shared.served_until(window);
                set.current.publish(swap.token, window, served_until);
                Some(Event::Unchanged {
                    scopes: Arc::clone(&set.scopes),
                    generation: window.generation.0,
                    left: window.ends_at.since(now),
                    took: swap.took,
                })
            }
            Accepted::Expired => {
                let text = "the auth server returned a token that has already expired";
                let error = Error::own(ErrorKind::Protocol, text);
                let present = engine.machine.window(set.id).filter(|_| is_repeated);
                let is_ending = present.is_some_and(|it| {
                    now < it.ends_at + LAST_SECOND && it.ends_at <= now + LAST_SECOND
                });
                Some(failed(&mut engine, set, error, now, is_ending))
            }
        }
    };
    set.wake_callers();
    if let Some(event) = event {
        shared.observers.tell(event);
    }
}

/// Returns what the machine needs to know of a token.
fn brought(shared: &Shared, set: &ScopeSet, minted: &Minted) -> Brought {
    let present = set.current.load();
    let is_repeated = present.is_some_and(|present| present.token.reads_like(&minted.token));
    let policy = &shared.settings.policies.refresh;
    Brought {
        sent: minted.sent,
        // A token that has expired by the local clock is used once.
        life: if minted.is_doubtful && is_repeated {
            Duration::ZERO
        } else {
            minted.life
        },
        settling: minted.token.not_valid_for().max(policy.settling_time),
        is_repeated,
        at_most: minted.at_most,
    }
}

/// Publishes the token that was accepted for later.
pub(crate) fn publish(shared: &Shared, set: SetId, now: Moment) {
    let (set, event) = {
        let mut engine = shared.engine();
        if !engine.machine.is_running() {
            return; // the shutdown has withdrawn all tokens, and revokes this one
        }
        let window = engine.machine.window(set);
        let Some(((set, swap), window)) = engine.sets.take_upcoming(set).zip(window) else {
            return;
        };
        let event = swap.publish(&set, window, shared.served_until(window), now);
        (set, event)
    };
    set.wake_callers();
    shared.observers.tell(event);
}

/// Tells callers and observers that the attempt of this scope set has failed.
pub(crate) fn fail(shared: &Shared, set: SetId, error: Error, now: Moment) {
    let (set, event) = {
        let mut engine = shared.engine();
        let Some(set) = engine.sets.get(set).cloned() else {
            return;
        };
        let event = failed(&mut engine, &set, error, now, false);
        (set, event)
    };
    set.wake_callers();
    shared.observers.tell(event);
}

/// Notes a failure after the input to the machine. If `callers_wait`, the callers wait for the next exchange.
fn failed(
    engine: &mut Engine,
    set: &ScopeSet,
    error: Error,
    now: Moment,
    callers_wait: bool,
) -> Event {
    let repeats = engine
        .sets
        .last_error(set.id)
        .is_some_and(|last| last.kind() == error.kind() && last.code() == error.code());
    if callers_wait {
        engine.sets.note_error(set.id, error.clone());
    } else {
        engine.sets.note_attempt(set.id, Some(error.clone()));
    }
    let next = engine.machine.next_attempt_at(set.id, now);
    Event::ExchangeFailed {
        scopes: Arc::clone(&set.scopes),
        error,
        failures: engine.machine.failures(set.id),
        repeats,
        retry_in: next.map(|next| next.since(now)),
    }
}

fn revoked(shared: &Shared, token: &ShortTermToken, outcome: Result<Revoked, Error>) {
    if matches!(outcome, Ok(Revoked::Gone)) {
        shared.engine().live.forget(token);
    } // else the shutdown tries again, unless the token has ended by then
    if let Some(event) = revocation::event(token.shown_id(), outcome) {
        shared.observers.tell(event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::shutdown::begin::begin;
    use crate::policy::RefreshPolicy;
    use crate::provider::TokenProvider;
    use crate::testkit::{ManualClock, Reply, ScriptedIssuer};
    use crate::token::LongTermToken;

    /// The driver may be about to publish a token when the shutdown begins on another thread.
    #[tokio::test(start_paused = true)]
    async fn d6_a_token_that_waits_to_be_published_is_not_published_after_a_shutdown() {
        let issuer = ScriptedIssuer::new();
        issuer.default_reply(Reply::token(Duration::from_secs(900)));
        let policy = RefreshPolicy::default().settling_time(Duration::from_secs(60));
        let provider = TokenProvider::builder(issuer.clone(), LongTermToken::new("lt").unwrap())
            .clock(ManualClock::new())
            .refresh_policy(policy)
            .build()
            .unwrap();
        provider.token().await.unwrap();
        while issuer.exchanges() < 2 {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        assert_eq!(provider.status().generation, 1, "the next one is held back");
        let now = provider.shared.now();
        begin(&provider.shared, now, now);
        publish(&provider.shared, SetId::ROOT, now);
        assert!(provider.current().is_none());
    }
}
