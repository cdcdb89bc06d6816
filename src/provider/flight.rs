//! One exchange, from the long-term token to a short-term one.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::FutureExt;

use super::engine::{Held, shut_down};
use super::lane::Lane;
use super::shared::Shared;
use crate::clock::Moment;
use crate::error::{Error, ErrorKind};
use crate::issuer::Grant;
use crate::machine::Failure;
use crate::observe::Happening;
use crate::token::{Lifetime, LongTermToken, ShortTermToken, UnixMillis};

/// What a successful exchange brought.
#[derive(Debug)]
pub(super) struct Exchanged {
    pub(super) token: ShortTermToken,
    /// When the request was sent. The token is used as if its life began here.
    pub(super) sent: Moment,
    pub(super) life: Duration,
    /// Whether the life is only assumed.
    pub(super) is_assumed: bool,
}

tokio::task_local! {
    /// The provider on whose behalf the issuer is working.
    static WORKING_FOR: usize;
}

/// Whether this is called from within an exchange of this provider.
pub(super) fn is_within(shared: &Arc<Shared>) -> bool {
    WORKING_FOR.try_with(|address| *address == address_of(shared)) == Ok(true)
}

pub(super) async fn exchange(shared: Arc<Shared>, lane: Arc<Lane>) -> Result<Exchanged, Error> {
    let limit = shared.settings.policies.retry.exchange_timeout;
    let work = WORKING_FOR.scope(address_of(&shared), with_long_term(&shared, &lane));
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

async fn with_long_term(shared: &Shared, lane: &Lane) -> Result<Exchanged, Error> {
    let held = long_term(shared, None).await?;
    match mint(shared, lane, &held).await {
        Err(error) if is_renewed(shared, &held, &error) || is_obtainable(shared, &error) => {
            let next = long_term(shared, Some(&held)).await?;
            mint(shared, lane, &next).await
        }
        outcome => outcome,
    }
}

/// The long-term token, other than the one that was refused: obtained by the grant, once for all
/// lanes, if there is none.
async fn long_term(
    shared: &Shared,
    refused: Option<&LongTermToken>,
) -> Result<LongTermToken, Error> {
    let _one_at_a_time = shared.obtaining.lock().await;
    let held = shared.engine().long_term.clone().map(|held| held.token);
    if let Some(held) = held
        && refused.is_none_or(|refused| !refused.is(&held))
    {
        return Ok(held);
    }
    match &shared.settings.grant {
        Some(grant) => obtain(shared, grant, refused).await,
        None => Err(Error::new(
            ErrorKind::Config,
            "there is neither a long-term token nor a grant",
        )),
    }
}

/// Whether another long-term token came meanwhile, which may be accepted where this one was not.
fn is_renewed(shared: &Shared, held: &LongTermToken, error: &Error) -> bool {
    let engine = shared.engine();
    let present = engine.long_term.as_ref();
    !error.is_retryable() && present.is_some_and(|present| !present.token.is(held))
}

/// Whether the long-term token was refused, and the grant can obtain another one.
fn is_obtainable(shared: &Shared, error: &Error) -> bool {
    shared.settings.grant.is_some() && is_long_term_refused(error)
}

/// Whether the server no longer accepts the long-term token as such: in the contract's words, or
/// in those of an issuer that has no others than that it refuses.
fn is_long_term_refused(error: &Error) -> bool {
    match error.code() {
        Some(code) => matches!(code, "invalid_token" | "token_expired" | "invalid_grant"),
        None => error.kind() == ErrorKind::Denied && error.status().is_none(),
    }
}

/// Obtains a token in the place of the refused one. One that was handed in meanwhile goes first.
async fn obtain(
    shared: &Shared,
    grant: &Grant,
    refused: Option<&LongTermToken>,
) -> Result<LongTermToken, Error> {
    let token = shared.settings.issuer.obtain(grant).await?;
    let since = shared.now();
    let is_running = {
        let mut engine = shared.engine();
        let present = engine.long_term.as_ref().map(|held| &held.token);
        if let Some(handed_in) = present
            && refused.is_none_or(|refused| !refused.is(handed_in))
        {
            return Ok(handed_in.clone());
        }
        engine.long_term = Some(Held {
            token: token.clone(),
            since,
        });
        engine.machine.is_running()
    };
    shared.observers.tell(Happening::LongTermObtained {
        token_id: token.token_id().map(str::to_owned),
    });
    if is_running {
        Ok(token)
    } else {
        Err(shut_down())
    }
}

async fn mint(shared: &Shared, lane: &Lane, long_term: &LongTermToken) -> Result<Exchanged, Error> {
    let settings = &shared.settings;
    let sent = shared.now();
    let token = settings
        .issuer
        .exchange(long_term, &lane.scopes)
        .await?
        .token;
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
    Ok(Exchanged {
        token,
        sent,
        life,
        is_assumed: lifetime == Lifetime::Unknown,
    })
}

fn address_of(shared: &Shared) -> usize {
    std::ptr::from_ref(shared).addr()
}
