//! Handling the result of a task: the driver informs the machine, publishes the token and informs the
//! observers.

use std::sync::Arc;
use std::time::Duration;

use super::exchange::Failed;
use super::failure::failure;
use super::live::LiveToken;
use super::long_term::rotation;
use super::revocation;
use super::scope_set::ScopeSet;
use super::shared::Shared;
use super::state::Engine;
use super::swap::Swap;
use super::tasks::Ended;
use crate::calls::Minted;
use crate::clock::Moment;
use crate::error::{Error, ErrorKind};
use crate::issuer::Revoked;
use crate::machine::{Accepted, Brought, Failure, Input, SetId};
use crate::observe::Event;
use crate::token::ShortTermToken;

pub(crate) fn land(shared: &Shared, ended: Ended) {
    let now = shared.now();
    match ended {
        Ended::Exchange(set, Ok(minted)) => accept(shared, &set, minted, now),
        Ended::Exchange(set, Err(failed)) => fail(shared, &set, failed, now),
        Ended::Attendance(outcome) => rotation::land(shared, outcome),
        Ended::Revocation(token, outcome) => revoked(shared, &token, outcome),
    }
}

/// Publishes the token, at once or later, unless it has expired.
fn accept(shared: &Shared, set: &ScopeSet, minted: Minted, now: Moment) {
    let event = {
        let mut engine = shared.engine();
        let live = LiveToken {
            set: set.id,
            token: minted.token.clone(),
            // The server may have begun to count only when it answered.
            ends_at: (!minted.is_assumed).then(|| now + minted.life),
        };
        engine.live.insert(live, now);
        engine.forget_grant_pause(now);
        let brought = brought(shared, set, &minted);
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
                Some(failed(&mut engine, set, error, now))
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

fn fail(shared: &Shared, set: &ScopeSet, failed_with: Failed, now: Moment) {
    let Failed { error, used } = failed_with;
    let event = {
        let mut engine = shared.engine();
        if !engine.machine.is_running() {
            return;
        }
        // The refusal of a replaced long-term token does not apply to the current one.
        let present = engine.long_term.as_ref().map(|held| &held.token);
        let is_outdated = match (present, &used) {
            (Some(present), Some(used)) => !present.reads_like(used),
            // A long-term token has arrived since.
            (present, used) => {
                present.is_some() && used.is_none() && error.kind() == ErrorKind::Config
            }
        };
        let failure = match failure(&error) {
            Failure::Terminal { .. } if is_outdated => Failure::Transient { retry_after: None },
            failure => failure,
        };
        let event = Input::Failed {
            set: set.id,
            failure,
        };
        engine.machine.handle(event, now);
        failed(&mut engine, set, error, now)
    };
    set.wake_callers();
    shared.observers.tell(event);
}

/// Notes a failure after the input to the machine.
fn failed(engine: &mut Engine, set: &ScopeSet, error: Error, now: Moment) -> Event {
    let repeats = engine
        .sets
        .last_error(set.id)
        .is_some_and(|last| last.kind() == error.kind() && last.code() == error.code());
    engine.sets.note_attempt(set.id, Some(error.clone()));
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
