//! One exchange, from the long-term token to a short-term one.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::future::FutureExt;

use super::keeper::{Keeper, dated};
use super::lane::Lane;
use super::recovery::{self, Search};
use super::rotation;
use super::shared::Shared;
use crate::clock::Moment;
use crate::error::{Error, ErrorKind};
use crate::issuer::Exchanged;
use crate::machine::{Failure, LaneId};
use crate::token::{Lifetime, LongTermToken, ShortTermToken, UnixMillis};

/// So many long-term tokens are tried in one exchange: the next, the current, and one that is
/// obtained.
const MOST_REFUSED: usize = 3;

/// The short-term token that a successful exchange brought.
#[derive(Debug)]
pub(super) struct Fresh {
    pub(super) token: ShortTermToken,
    /// When the request was sent. The token is used as if its life began here.
    pub(super) sent: Moment,
    pub(super) life: Duration,
    /// Whether the life is only assumed.
    pub(super) is_assumed: bool,
}

/// All that an exchange brought.
struct Minting {
    fresh: Fresh,
    replacement: Option<LongTermToken>,
    asked_at: SystemTime,
}

tokio::task_local! {
    /// The provider on whose behalf the issuer is working.
    static WORKING_FOR: usize;
}

/// Whether this is called from within an exchange of this provider.
pub(super) fn is_within(shared: &Arc<Shared>) -> bool {
    WORKING_FOR.try_with(|address| *address == address_of(shared)) == Ok(true)
}

/// Work on behalf of this provider, within which [`is_within`] says so.
pub(super) fn working_for<T>(
    shared: &Arc<Shared>,
    work: impl Future<Output = T>,
) -> impl Future<Output = T> {
    WORKING_FOR.scope(address_of(shared), work)
}

pub(super) async fn exchange(shared: Arc<Shared>, lane: Arc<Lane>) -> Result<Fresh, Error> {
    let limit = shared.settings.policies.retry.exchange_timeout;
    let work = working_for(&shared, with_long_term(&shared, &lane));
    // Outermost, so that it also catches a panic of what is dropped when the time is over.
    catching_panics(async {
        let outcome = tokio::time::timeout(limit, work).await;
        outcome.unwrap_or_else(|_| {
            Err(Error::new(
                ErrorKind::Timeout,
                format!("the exchange took longer than {limit:?} and was given up"),
            ))
        })
    })
    .await
}

/// What an issuer's call came to; one that panics fails like any other.
pub(super) async fn catching_panics<T>(
    call: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let outcome = AssertUnwindSafe(call).catch_unwind().await;
    outcome.unwrap_or_else(|_| Err(Error::new(ErrorKind::Issuer, "the token issuer panicked")))
}

/// What the failure means for the next attempt.
pub(super) fn failure(error: &Error) -> Failure {
    if error.is_retryable() {
        Failure::Transient {
            retry_after: error.retry_after(),
        }
    } else {
        Failure::Terminal
    }
}

/// Exchanges the long-term token in use; or, where the server no longer accepts it, another one
/// that is there or can be had.
async fn with_long_term(shared: &Shared, lane: &Lane) -> Result<Fresh, Error> {
    if shared.settings.issuer.replaces_long_term() {
        return one_at_a_time(shared, lane).await;
    }
    let mut refused = Vec::new();
    let mut long_term = first(shared, lane).await?;
    loop {
        let outcome = mint(shared, lane, &long_term).await;
        let is_next = is_next(shared, &long_term);
        let error = match outcome {
            Ok(minting) => {
                if is_next {
                    rotation::settle(shared, &long_term).await;
                }
                return kept(shared, minting).await;
            }
            Err(error) => error,
        };
        if is_next && !error.is_retryable() {
            rotation::discard(shared, &long_term, error.clone()).await;
        } else if !is_refused(&error) && !is_renewed(shared, &long_term, &error) {
            return Err(error);
        }
        refused.push(long_term);
        if refused.len() > MOST_REFUSED {
            return Err(error);
        }
        let mut keeper = shared.keeper.lock().await;
        let search = Search {
            refused: &refused,
            lease: None,
        };
        long_term = search.run(shared, &mut keeper, Some(error)).await?;
    }
}

/// The long-term token to begin with: the next one, if an exchange of this lane is to prove it;
/// or the one in use; or, where there is none, the one that is stored or can be obtained.
async fn first(shared: &Shared, lane: &Lane) -> Result<LongTermToken, Error> {
    {
        let engine = shared.engine();
        let proves = lane.id == LaneId::ROOT && engine.machine.is_proving(lane.id);
        let next = engine.next.clone().filter(|_| proves);
        let in_use = engine.long_term.as_ref().map(|held| held.token.clone());
        let is_known = engine.machine.knows_long_term();
        if let Some(token) = next.or(in_use.filter(|_| is_known)) {
            return Ok(token);
        }
    }
    let mut keeper = shared.keeper.lock().await;
    keeper.ensure_loaded(shared).await?;
    let search = Search {
        refused: &[],
        lease: None,
    };
    search.run(shared, &mut keeper, None).await
}

/// Where each exchange puts an end to the long-term token, nobody else may be about to exchange
/// the same one, in this process or in another.
async fn one_at_a_time(shared: &Shared, lane: &Lane) -> Result<Fresh, Error> {
    let keeper = &mut *shared.keeper.lock().await;
    let lease = recovery::wait_for_lease(shared).await?;
    if shared.settings.shares_store {
        keeper.reload(shared).await?;
    } else {
        keeper.ensure_loaded(shared).await?;
    }
    // The last one is written down before it can be spent.
    keeper.save(shared).await?;
    let mut search = Search {
        refused: &[],
        lease: Some(lease),
    };
    let long_term = search.find(shared, keeper, None).await?;
    let (long_term, minting) = match mint(shared, lane, &long_term).await {
        Err(error) if is_refused(&error) || is_renewed(shared, &long_term, &error) => {
            let refused = [long_term];
            search.refused = &refused;
            let next = search.find(shared, keeper, Some(error)).await?;
            let minting = mint(shared, lane, &next).await?;
            (next, minting)
        }
        outcome => (long_term, outcome?),
    };
    replace(shared, keeper, &long_term, minting).await
}

/// What was minted; the long-term token that came with it, if one did, is written down before.
async fn kept(shared: &Shared, minting: Minting) -> Result<Fresh, Error> {
    if minting.replacement.is_none() {
        return Ok(minting.fresh);
    }
    let keeper = &mut *shared.keeper.lock().await;
    let Some(current) = keeper.record().map(|record| record.current().clone()) else {
        return Ok(minting.fresh);
    };
    replace(shared, keeper, &current, minting).await
}

async fn replace(
    shared: &Shared,
    keeper: &mut Keeper,
    replaced: &LongTermToken,
    minting: Minting,
) -> Result<Fresh, Error> {
    let Minting {
        fresh,
        replacement,
        asked_at,
    } = minting;
    let (Some(replacement), Some(mut record)) = (replacement, keeper.record().cloned()) else {
        return Ok(fresh);
    };
    if record.current().reads_like(replaced) && !replacement.reads_like(replaced) {
        record.current = dated(replacement, asked_at);
        if let Err(error) = keeper.keep(shared, record).await {
            // Not to be used before the other is durable; but to be revoked with the rest.
            rotation::note_minted(shared, &fresh.token);
            return Err(error);
        }
    }
    Ok(fresh)
}

/// Whether another long-term token came meanwhile, which may be accepted where this one was not.
fn is_renewed(shared: &Shared, held: &LongTermToken, error: &Error) -> bool {
    let engine = shared.engine();
    let present = engine.long_term.as_ref();
    !error.is_retryable() && present.is_some_and(|present| !present.token.reads_like(held))
}

fn is_next(shared: &Shared, long_term: &LongTermToken) -> bool {
    let engine = shared.engine();
    let next = engine.next.as_ref();
    next.is_some_and(|next| next.reads_like(long_term))
}

/// Whether the server no longer accepts the token as such: in the contract's words, or in those of
/// an issuer that has no others than that it refuses.
pub(super) fn is_refused(error: &Error) -> bool {
    match error.code() {
        Some(code) => matches!(code, "invalid_token" | "token_expired" | "invalid_grant"),
        None => error.kind() == ErrorKind::Denied && error.status().is_none(),
    }
}

async fn mint(shared: &Shared, lane: &Lane, long_term: &LongTermToken) -> Result<Minting, Error> {
    let settings = &shared.settings;
    let (sent, asked_at) = (shared.now(), settings.clock.wall());
    let exchange = settings.issuer.exchange(long_term, &lane.scopes);
    let Exchanged { token, replacement } = exchange.await?;
    let lifetime = token.lifetime();
    let life = match lifetime {
        Lifetime::For(life) => life,
        Lifetime::Until(end) => end.since(UnixMillis::from(settings.clock.wall())),
        Lifetime::Unknown => {
            let life = settings.policies.refresh.life_if_unknown;
            tracing::warn!(
                target: "everbearer",
                assumed_life_ms = u64::try_from(life.as_millis()).unwrap_or(u64::MAX),
                "neither the answer nor the token says when the token ends"
            );
            life
        }
    };
    let fresh = Fresh {
        token,
        sent,
        life,
        is_assumed: lifetime == Lifetime::Unknown,
    };
    Ok(Minting {
        fresh,
        replacement,
        asked_at,
    })
}

fn address_of(shared: &Shared) -> usize {
    std::ptr::from_ref(shared).addr()
}
