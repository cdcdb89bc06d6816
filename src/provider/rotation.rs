//! The rotation of the long-term token, step by step. Each step is written down before the next
//! begins, and whoever comes after a crash goes on from what is written.

use std::sync::Arc;
use std::time::Duration;

use super::engine::Minted;
use super::flight::{catching_panics, failure, is_refused, working_for};
use super::keeper::{Keeper, bounded, dated};
use super::shared::Shared;
use crate::error::{Error, ErrorKind};
use crate::machine::{Event, Failure, LaneId};
use crate::observe::Happening;
use crate::store::{Lease, Record};
use crate::token::{Bearer, Lifetime, LongTermToken, ShortTermToken};

/// What a short-term token needs to obtain a long-term one.
const TOKENS_WRITE: &str = "tokens:write";
/// How soon to look again when somebody else is at it.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(250);

enum Attended {
    Done,
    /// Somebody else has the lease.
    Deferred,
}

/// Does what is to be done about the long-term token, and tells the machine.
pub(super) async fn attend(shared: Arc<Shared>, rotate: bool) {
    let work = working_for(&shared, steps(&shared, rotate));
    let event = match catching_panics(work).await {
        Ok(Attended::Done) => Event::Attended,
        Ok(Attended::Deferred) => Event::AttendingDeferred {
            until: shared.now() + LOOK_AGAIN,
        },
        Err(error) => {
            let failure = failure(&error);
            return has_failed(&shared, error, failure);
        }
    };
    shared.signal(event);
}

/// Tells everybody that the rotation has failed for now.
fn has_failed(shared: &Shared, error: Error, failure: Failure) {
    let now = shared.now();
    let (repeats, retry_in) = {
        let mut engine = shared.engine();
        let machine = &mut engine.machine;
        machine.handle(Event::AttendingFailed { failure }, now);
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

async fn steps(shared: &Shared, rotate: bool) -> Result<Attended, Error> {
    let keeper = &mut *shared.keeper.lock().await;
    let attended = see_to(shared, keeper, rotate).await?;
    // What is to be done later is not forgotten.
    keeper.announce(shared);
    Ok(attended)
}

async fn see_to(shared: &Shared, keeper: &mut Keeper, rotate: bool) -> Result<Attended, Error> {
    keeper.ensure_loaded(shared).await?;
    keeper.save(shared).await?;
    revoke_spent(shared, keeper).await;
    let Some(record) = keeper.record() else {
        return if rotate {
            Err(Error::new(
                ErrorKind::Config,
                "there is no long-term token yet that could be rotated",
            ))
        } else {
            Ok(Attended::Done)
        };
    };
    let is_unfinished = record.asking_with.is_some() && record.next.is_none();
    let is_unsettled = keeper.is_proven && record.next.is_some();
    let rotates = (rotate || is_unfinished) && !is_unsettled;
    if !rotates && !is_unsettled && due(shared, record).next().is_none() {
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
    if is_unsettled {
        make_current(shared, keeper).await?;
    }
    let is_as_it_was =
        |record: &Record| record.next.is_none() && record.current().reads_like(&present);
    if rotates && keeper.record().is_some_and(is_as_it_was) {
        shared.observers.tell(Happening::RotationBegan);
        ask(shared, keeper, &lease).await?;
    }
    Ok(Attended::Done)
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
    let Some(mut record) = keeper.record().cloned() else {
        return Ok(token);
    };
    record.next = Some(dated(token.clone(), asked_at));
    keeper.is_proven = false;
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

/// An exchange has succeeded with the next token: it is the current one from now on.
pub(super) async fn settle(shared: &Shared, proven: &LongTermToken) {
    let keeper = &mut *shared.keeper.lock().await;
    let is_next = keeper
        .record()
        .and_then(|record| record.next.as_ref())
        .is_some_and(|next| next.token.reads_like(proven));
    if !is_next {
        return; // somebody else was faster
    }
    keeper.is_proven = true;
    if let Err(error) = make_current(shared, keeper).await {
        let failure = failure(&error);
        has_failed(shared, error, failure);
    }
}

/// An exchange was refused with the next token: it is revoked, and the current one stays.
pub(super) async fn discard(shared: &Shared, disproved: &LongTermToken, error: Error) {
    let keeper = &mut *shared.keeper.lock().await;
    let Some(mut record) = keeper.record().cloned() else {
        return;
    };
    let Some(next) = record.next.take_if(|next| next.token.reads_like(disproved)) else {
        return;
    };
    let retiring = Keeper::retiring(shared, next.token, Duration::ZERO);
    record.retiring.push(retiring);
    spend(keeper, &mut record);
    // What cannot be written now is written later: the record says so.
    let _ = keeper.keep(shared, record).await;
    let failure = Failure::Transient { retry_after: None };
    has_failed(shared, error, failure);
}

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
    let retiring = Keeper::retiring(shared, superseded, grace);
    record.retiring.push(retiring);
    spend(keeper, &mut record);
    keeper.keep_if_written(shared, record).await?;
    keeper.is_proven = false;
    let is_current = |record: &Record| record.current().reads_like(&token);
    if keeper.record().is_some_and(is_current) {
        shared.engine().rotation_failures.1 = None;
        shared.observers.tell(Happening::Rotated {
            token_id: token.token_id().map(str::to_owned),
            previous_id,
        });
    }
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
    let mut is_changed = false;
    for token in tokens {
        let outcome = match revoke(shared, Bearer::LongTerm(&token)).await {
            Err(error) if is_refused(&error) => Ok(()),
            outcome => outcome,
        };
        let mut pause = None;
        if let Err(error) = &outcome
            && error.is_retryable()
        {
            let wall = shared.settings.clock.wall();
            let rest = token.expires_at().map(|end| end.duration_since(wall));
            if rest.as_ref().is_none_or(Result::is_ok) {
                pause = Some(shared.settings.policies.rotation.first_delay);
            }
        }
        is_changed = true;
        match pause {
            Some(pause) => {
                for retiring in &mut record.retiring {
                    if retiring.token.reads_like(&token) {
                        *retiring = Keeper::retiring(shared, token.clone(), pause);
                    }
                }
            }
            None => record
                .retiring
                .retain(|retiring| !retiring.token.reads_like(&token)),
        }
        tell_revocation(shared, token.token_id(), outcome.err());
    }
    if is_changed {
        // If it is not written, the token is revoked a second time, which does no harm.
        let _ = keeper.keep(shared, record).await;
    }
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
