//! The rotation of the long-term token, step by step. Each step is written down before the next
//! begins, and whoever comes after a crash goes on from what is written.

mod asking;
mod revocation;

use std::sync::Arc;
use std::time::Duration;

use super::keeper::{Keeper, retiring};
use crate::calls::working_for;
use crate::engine::failure::failure;
use crate::engine::shared::Shared;
use crate::engine::state::Verdict;
use crate::error::{Error, ErrorKind};
use crate::issuer::Grant;
use crate::machine::{Failure, Input};
use crate::observe::Event;
use crate::store::{Record, Rotation};

pub(in crate::engine) use asking::{ask, no_grant};
use revocation::{due, revoke_retiring, revoke_spent};

/// How often a process polls for a lease that another process holds.
pub(in crate::engine) const LEASE_POLL: Duration = Duration::from_millis(250);

#[derive(Debug)]
pub(in crate::engine) enum Attended {
    Done,
    /// Somebody else has the lease.
    Deferred,
}

/// Why it could not be done, and what that means for the next attempt.
#[derive(Debug)]
pub(in crate::engine) struct Setback {
    error: Error,
    failure: Failure,
    at_most: Option<Duration>,
}

impl From<Error> for Setback {
    fn from(error: Error) -> Self {
        Self {
            failure: failure(&error),
            error,
            at_most: None,
        }
    }
}

/// Does what is to be done about the long-term token.
pub(in crate::engine) async fn attend(
    shared: Arc<Shared>,
    rotate: bool,
) -> Result<Attended, Setback> {
    working_for(shared.key(), steps(&shared, rotate)).await
}

/// Tells the machine how that ended. Only the driver that began it does so: what one has begun
/// that is gone says nothing about what the next one does.
pub(in crate::engine) fn land(shared: &Shared, outcome: Result<Attended, Setback>) {
    match outcome {
        Ok(Attended::Done) => {
            shared.engine().rotation_failures.1 = None;
            shared.signal(Input::Attended);
        }
        Ok(Attended::Deferred) => shared.signal(Input::AttendingDeferred {
            until: shared.now() + LEASE_POLL,
        }),
        Err(setback) => has_failed(shared, setback),
    }
}

/// Tells everybody that the rotation has failed for now.
fn has_failed(shared: &Shared, setback: Setback) {
    let Setback {
        error,
        failure,
        at_most,
    } = setback;
    let now = shared.now();
    let (repeats, retry_in, is_told) = {
        let mut engine = shared.engine();
        let machine = &mut engine.machine;
        machine.handle(Input::AttendingFailed { failure, at_most }, now);
        let retry_in = machine.attends_at(now).map(|at| at.since(now));
        let (count, last) = &mut engine.rotation_failures;
        *count += 1;
        let last = last.replace(error.clone());
        let is_alike = |last: &Error| last.kind() == error.kind() && last.code() == error.code();
        let is_alike = last.as_ref().is_some_and(is_alike);
        // That the store fails was told as such.
        let is_told = error.kind() == ErrorKind::Store && !engine.is_rotating;
        engine.is_rotating = false;
        (is_alike, retry_in, is_told)
    };
    if !is_told {
        shared.observers.tell(Event::RotationFailed {
            error,
            repeats,
            retry_in,
        });
    }
    shared.rotated.send_modify(|()| {});
    shared.wake.notify_one();
}

async fn steps(shared: &Shared, rotate: bool) -> Result<Attended, Setback> {
    let keeper = &mut *shared.keeper.lock().await;
    let outcome = see_to(shared, keeper, rotate).await;
    // What is to be done later is not forgotten, whatever came of this.
    keeper.announce(shared);
    outcome.map_err(|setback| Setback {
        at_most: patience(shared, keeper),
        ..setback
    })
}

/// What the next token is asked for with ends: it must have several chances until then.
fn patience(shared: &Shared, keeper: &Keeper) -> Option<Duration> {
    let asking_with = keeper.record()?.rotation.asking_with()?;
    let left = asking_with.expires_at()?.duration_since(shared.wall());
    Some(left.ok()? / 4)
}

async fn see_to(shared: &Shared, keeper: &mut Keeper, rotate: bool) -> Result<Attended, Setback> {
    keeper.ensure_loaded(shared).await?;
    keeper.fill_if_missing(shared).await?;
    keeper.save(shared).await?;
    revoke_spent(shared, keeper).await;
    let Some(record) = keeper.record() else {
        return if rotate {
            Err(Setback::from(Error::own(
                ErrorKind::Config,
                "there is no long-term token to rotate",
            )))
        } else {
            Ok(Attended::Done)
        };
    };
    // Another token may have come since it was decided.
    let rotate = rotate && shared.engine().machine.is_rotation_due(shared.now());
    let rotates = rotate || shared.is_unfinished(record);
    let is_judged = shared.engine().verdict.is_some();
    if !rotates && !is_judged && due(shared, record).next().is_none() {
        return Ok(Attended::Done);
    }
    let present = record.current().clone();
    let lease = shared.checked(shared.user_code.lease().await, &[])?;
    let Some(_lease) = lease else {
        return Ok(Attended::Deferred);
    };
    if shared.settings.shares_store {
        keeper.reload(shared).await?;
    }
    revoke_retiring(shared, keeper).await;
    let verdict = shared.engine().verdict.clone();
    match verdict {
        Some(Verdict {
            refusal: Some(error),
            ..
        }) => {
            discard(shared, keeper).await?;
            return Err(Setback {
                failure: Failure::Transient { retry_after: None },
                ..Setback::from(error)
            });
        }
        Some(Verdict { refusal: None, .. }) => make_current(shared, keeper).await?,
        None => {}
    }
    let is_as_it_was =
        |record: &Record| record.next().is_none() && record.current().reads_like(&present);
    if rotates && keeper.record().is_some_and(is_as_it_was) {
        shared.engine().is_rotating = true;
        shared.observers.tell(Event::RotationBegan);
        ask(shared, keeper).await?;
    }
    Ok(Attended::Done)
}

impl Shared {
    /// Whether a rotation was begun whose answer is not known, and which can be gone on with.
    pub(in crate::engine) fn is_unfinished(&self, record: &Record) -> bool {
        let grant = self.settings.rotate_with.as_ref();
        matches!(record.rotation, Rotation::Asking { .. }) && grant.is_some_and(Grant::is_own_token)
    }
}

/// The next token was refused where the current one was not: it is revoked. What asked for it asks
/// again, in a while.
async fn discard(shared: &Shared, keeper: &mut Keeper) -> Result<(), Error> {
    let Some(mut record) = keeper.record().cloned() else {
        return Ok(());
    };
    let (next, with) = record.rotation.take();
    if let Some(with) = with {
        record.rotation = Rotation::Asking { with };
    }
    if let Some(next) = next {
        let retiring = retiring(shared, next.token, Duration::ZERO);
        record.retiring.push(retiring);
    }
    keeper.keep(shared, record).await
}

/// An exchange has succeeded with the next token: it is the current one from now on.
async fn make_current(shared: &Shared, keeper: &mut Keeper) -> Result<(), Error> {
    let Some(mut record) = keeper.record().cloned() else {
        return Ok(());
    };
    let (Some(next), asked_with) = record.rotation.take() else {
        return Ok(());
    };
    let token = next.token.clone();
    let superseded = std::mem::replace(&mut record.current, next).token;
    let previous_id = superseded.shown_id().map(str::to_owned);
    let grace = shared.settings.policies.rotation.grace;
    let retiring = retiring(shared, superseded, grace);
    record.retiring.push(retiring);
    keeper.keep_if_written(shared, record).await?;
    keeper.spent.extend(asked_with);
    shared.engine().is_rotating = false;
    shared.observers.tell(Event::Rotated {
        token_id: token.shown_id().map(str::to_owned),
        previous_id,
    });
    Ok(())
}
