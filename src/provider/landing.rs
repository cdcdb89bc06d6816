//! What becomes of a task's outcome: the machine is told, the token published, observers are told.

use std::sync::Arc;

use super::engine::{Engine, Minted};
use super::flight::{self, Failed};
use super::lane::Lane;
use super::minting::Fresh;
use super::rotation;
use super::shared::Shared;
use super::tasks::Ended;
use crate::clock::Moment;
use crate::error::{Error, ErrorKind};
use crate::machine::{Event, Failure};
use crate::observe::Happening;
use crate::token::ShortTermToken;

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
            Failure::Terminal { .. } if is_outdated => Failure::Transient { retry_after: None },
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
