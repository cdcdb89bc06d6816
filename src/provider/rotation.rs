//! The rotation of the long-term token, step by step. Each step is written down before the next
//! begins, and whoever comes after a crash goes on from what is written.

use std::sync::Arc;
use std::time::Duration;

use super::engine::{Minted, Verdict};
use super::flight::{catching_panics, failure, is_refused, working_for};
use super::keeper::{Keeper, bounded, dated, retiring};
use super::shared::Shared;
use crate::error::{Error, ErrorKind};
use crate::issuer::Grant;
use crate::machine::{Event, Failure, LaneId};
use crate::observe::Happening;
use crate::store::{Lease, Record};
use crate::token::{Bearer, Lifetime, LongTermToken, ShortTermToken};

/// What a short-term token needs to obtain a long-term one.
const TOKENS_WRITE: &str = "tokens:write";
/// How soon to look again when somebody else is at it.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(250);

#[derive(Debug)]
pub(super) enum Attended {
    Done,
    /// Somebody else has the lease.
    Deferred,
}

/// Why it could not be done, and what that means for the next attempt.
#[derive(Debug)]
pub(super) struct Setback {
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
pub(super) async fn attend(shared: Arc<Shared>, rotate: bool) -> Result<Attended, Setback> {
    let work = working_for(&shared, steps(&shared, rotate));
    catching_panics(work).await
}

/// Tells the machine how that ended. Only the driver that began it does so: what one has begun
/// that is gone says nothing about what the next one does.
pub(super) fn land(shared: &Shared, outcome: Result<Attended, Setback>) {
    match outcome {
        Ok(Attended::Done) => {
            shared.engine().rotation_failures.1 = None;
            shared.signal(Event::Attended);
        }
        Ok(Attended::Deferred) => shared.signal(Event::AttendingDeferred {
            until: shared.now() + LOOK_AGAIN,
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
    let (repeats, retry_in) = {
        let mut engine = shared.engine();
        let machine = &mut engine.machine;
        machine.handle(Event::AttendingFailed { failure, at_most }, now);
        let retry_in = machine.attends_at(now).map(|at| at.since(now));
        let (count, last) = &mut engine.rotation_failures;
        *count += 1;
        let last = last.replace(error.clone());
        let is_alike = |last: &Error| last.kind() == error.kind() && last.code() == error.code();
        (last.as_ref().is_some_and(is_alike), retry_in)
    };
    shared.observers.tell(Happening::RotationFailed {
        error,
        repeats,
        retry_in,
    });
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
    let asking_with = keeper.record()?.asking_with.as_ref()?;
    let left = asking_with
        .expires_at()?
        .duration_since(shared.settings.clock.wall());
    Some(left.ok()? / 4)
}

async fn see_to(shared: &Shared, keeper: &mut Keeper, rotate: bool) -> Result<Attended, Setback> {
    keeper.ensure_loaded(shared).await?;
    keeper.fill_if_missing(shared).await?;
    keeper.save(shared).await?;
    revoke_spent(shared, keeper).await;
    let Some(record) = keeper.record() else {
        return if rotate {
            Err(Setback::from(Error::new(
                ErrorKind::Config,
                "there is no long-term token yet that could be rotated",
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
    let store = &shared.settings.store;
    let Some(lease) = bounded(shared, store.lease()).await? else {
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
        |record: &Record| record.next.is_none() && record.current().reads_like(&present);
    if rotates && keeper.record().is_some_and(is_as_it_was) {
        shared.observers.tell(Happening::RotationBegan);
        ask(shared, keeper, &lease).await?;
    }
    Ok(Attended::Done)
}

impl Shared {
    /// Whether a rotation was begun whose answer is not known, and which can be gone on with.
    pub(super) fn is_unfinished(&self, record: &Record) -> bool {
        let grant = self.settings.rotate_with.as_ref();
        record.asking_with.is_some()
            && record.next.is_none()
            && grant.is_some_and(Grant::is_own_token)
    }
}

/// Asks for the next token, and writes it down. The lease sees to it that nobody else does.
pub(super) async fn ask(
    shared: &Shared,
    keeper: &mut Keeper,
    _lease: &Lease,
) -> Result<LongTermToken, Error> {
    let (Some(grant), Some(record)) = (&shared.settings.rotate_with, keeper.record()) else {
        return Err(Error::new(
            ErrorKind::Config,
            "there is no grant to obtain the next long-term token with; see \
             TokenProviderBuilder::rotate_with",
        ));
    };
    let issuer = &shared.settings.issuer;
    let asked_at = shared.settings.clock.wall();
    let present = record.current().clone();
    let token = if grant.is_own_token() {
        let grant = grant.or_scopes(record.current().scopes());
        let (authority, is_old) = match &record.asking_with {
            Some(authority) => (authority.clone(), true),
            None => (authorize(shared, keeper).await?, false),
        };
        match bounded_call(shared, issuer.rotate(&grant, &authority)).await {
            Err(error) if is_old && is_refused(&error) => {
                let authority = authorize(shared, keeper).await?;
                bounded_call(shared, issuer.rotate(&grant, &authority)).await?
            }
            outcome => outcome?,
        }
    } else {
        bounded_call(shared, issuer.obtain(grant)).await?
    };
    keeper.take_handed_in(shared);
    let Some(mut record) = keeper.record().cloned() else {
        return Ok(token);
    };
    if !record.current().reads_like(&present) {
        // It was to follow another one than what has been handed in by now.
        spend(keeper, &mut record);
        record
            .retiring
            .push(retiring(shared, token.clone(), Duration::ZERO));
        keeper.keep(shared, record).await?;
        return Ok(token);
    }
    let next = dated(token.clone(), asked_at);
    if token.is_same(record.current()) {
        if next.ends_at <= record.current.ends_at {
            return Err(Error::new(
                ErrorKind::Protocol,
                "the auth server handed out the long-term token in use instead of a next one",
            ));
        }
        record.current = next;
        spend(keeper, &mut record);
        shared.engine().long_term_changes += 1;
    } else {
        record.next = Some(next);
    }
    keeper.keep(shared, record).await?;
    Ok(token)
}

/// A short-term token that may obtain a long-term one, written down before it is used: it can
/// ask again if the answer is lost.
async fn authorize(shared: &Shared, keeper: &mut Keeper) -> Result<ShortTermToken, Error> {
    let Some(record) = keeper.record() else {
        return Err(Error::new(ErrorKind::Config, "there is no long-term token"));
    };
    let (current, scopes) = (record.current().clone(), [TOKENS_WRITE.to_owned()]);
    let asked_at = shared.settings.clock.wall();
    let exchange = shared.settings.issuer.exchange(&current, &scopes);
    let exchanged = bounded_call(shared, exchange).await?;
    note_minted(shared, &exchanged.token);
    let Some(mut record) = keeper.record().cloned() else {
        return Ok(exchanged.token);
    };
    if let Some(replacement) = exchanged.replacement {
        record.current = dated(replacement, asked_at);
    }
    record.asking_with = Some(exchanged.token.clone());
    keeper.keep(shared, record).await?;
    Ok(exchanged.token)
}

/// The next token was refused where the current one was not: it is revoked. What asked for it asks
/// again, in a while.
async fn discard(shared: &Shared, keeper: &mut Keeper) -> Result<(), Error> {
    let Some(mut record) = keeper.record().cloned() else {
        return Ok(());
    };
    if let Some(next) = record.next.take() {
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
    let Some(next) = record.next.take() else {
        return Ok(());
    };
    let token = next.token.clone();
    let superseded = std::mem::replace(&mut record.current, next).token;
    let previous_id = superseded.token_id().map(str::to_owned);
    let grace = shared.settings.policies.rotation.grace;
    let retiring = retiring(shared, superseded, grace);
    record.retiring.push(retiring);
    let asked_with = record.asking_with.take();
    keeper.keep_if_written(shared, record).await?;
    keeper.spent.extend(asked_with);
    shared.observers.tell(Happening::Rotated {
        token_id: token.token_id().map(str::to_owned),
        previous_id,
    });
    Ok(())
}

fn spend(keeper: &mut Keeper, record: &mut Record) {
    keeper.spent.extend(record.asking_with.take());
}

/// Tokens that could obtain a long-term one have no further use. If that fails, they end by
/// themselves, or with the shutdown.
async fn revoke_spent(shared: &Shared, keeper: &mut Keeper) {
    for token in std::mem::take(&mut keeper.spent) {
        let outcome = revoke(shared, Bearer::ShortTerm(&token)).await;
        if outcome.is_ok() {
            shared.engine().forget(&token);
        }
        tell_revocation(shared, token.token_id(), outcome.err());
    }
}

fn due<'a>(shared: &Shared, record: &'a Record) -> impl Iterator<Item = &'a LongTermToken> {
    let wall = shared.settings.clock.wall();
    record
        .retiring
        .iter()
        .filter(move |retiring| retiring.revoke_at <= wall)
        .map(|retiring| &retiring.token)
}

/// Revokes the superseded tokens whose time has come. One that the server does not accept any more
/// is as good as revoked; one that it refuses to revoke is reported and given up.
async fn revoke_retiring(shared: &Shared, keeper: &mut Keeper) {
    let Some(mut record) = keeper.record().cloned() else {
        return;
    };
    let tokens: Vec<LongTermToken> = due(shared, &record).cloned().collect();
    let is_changed = !tokens.is_empty();
    let mut is_down = false;
    for token in tokens {
        if !is_down {
            let outcome = match revoke(shared, Bearer::LongTerm(&token)).await {
                Err(error) if is_refused(&error) => Ok(()),
                outcome => outcome,
            };
            is_down = outcome.as_ref().is_err_and(Error::is_retryable);
            tell_revocation(shared, token.token_id(), outcome.err());
        }
        record
            .retiring
            .retain(|retiring| !retiring.token.reads_like(&token));
        if is_down && lives(shared, &token) {
            let pause = shared.settings.policies.rotation.first_delay;
            record.retiring.push(retiring(shared, token, pause));
        }
    }
    if is_changed {
        // If it is not written, the tokens are revoked a second time, which does no harm.
        let _ = keeper.keep(shared, record).await;
    }
}

fn lives(shared: &Shared, token: &LongTermToken) -> bool {
    let wall = shared.settings.clock.wall();
    token.expires_at().is_none_or(|ends_at| ends_at > wall)
}

async fn revoke(shared: &Shared, token: Bearer<'_>) -> Result<(), Error> {
    bounded_call(shared, shared.settings.issuer.revoke(token)).await
}

fn tell_revocation(shared: &Shared, token_id: Option<&str>, error: Option<Error>) {
    shared.observers.tell(Happening::Revocation {
        token_id: token_id.map(str::to_owned),
        error,
    });
}

/// A call of the issuer that is given up when it takes too long.
pub(super) async fn bounded_call<T>(
    shared: &Shared,
    call: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let limit = shared.settings.policies.retry.exchange_timeout;
    let outcome = tokio::time::timeout(limit, call).await;
    outcome.unwrap_or_else(|_| {
        Err(Error::new(
            ErrorKind::Timeout,
            format!("the auth server has not answered within {limit:?}"),
        ))
    })
}

pub(super) fn note_minted(shared: &Shared, token: &ShortTermToken) {
    let now = shared.now();
    let ends_at = match token.lifetime() {
        Lifetime::For(life) => Some(now + life),
        Lifetime::Until(_) | Lifetime::Unknown => None,
    };
    let minted = Minted {
        lane: LaneId::ROOT,
        token: token.clone(),
        ends_at,
    };
    shared.engine().note_minted(minted, now);
}
