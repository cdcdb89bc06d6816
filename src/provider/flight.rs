//! One exchange, from the long-term token to a short-term one.

use std::sync::Arc;
use std::time::Duration;

use super::shared::Shared;
use crate::clock::Moment;
use crate::error::{Error, ErrorKind};
use crate::issuer::Grant;
use crate::machine::Failure;
use crate::observe::Happening;
use crate::token::{Lifetime, LongTermToken, ShortTermToken, UnixMillis};

/// What a successful exchange brought.
#[derive(Debug)]
pub(super) struct Minted {
    pub(super) token: ShortTermToken,
    /// When the request was sent: the token's life is counted from here.
    pub(super) sent: Moment,
    pub(super) life: Duration,
}

pub(super) async fn exchange(shared: Arc<Shared>) -> Result<Minted, Error> {
    let limit = shared.settings.retry.exchange_timeout;
    match tokio::time::timeout(limit, with_long_term(&shared)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Error::new(
            ErrorKind::Timeout,
            format!("the exchange took longer than {limit:?} and was given up"),
        )),
    }
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

async fn with_long_term(shared: &Shared) -> Result<Minted, Error> {
    let held = shared.engine().long_term.clone();
    let Some(grant) = &shared.settings.grant else {
        let held = held.ok_or_else(|| {
            Error::new(
                ErrorKind::Config,
                "there is neither a long-term token nor a grant",
            )
        })?;
        return mint(shared, &held).await;
    };
    let Some(held) = held else {
        return mint(shared, &obtain(shared, grant).await?).await;
    };
    match mint(shared, &held).await {
        Err(error) if is_long_term_refused(&error) => {
            mint(shared, &obtain(shared, grant).await?).await
        }
        outcome => outcome,
    }
}

/// Whether the server no longer accepts the long-term token as such.
fn is_long_term_refused(error: &Error) -> bool {
    match error.code() {
        Some(code) => matches!(code, "invalid_token" | "token_expired" | "invalid_grant"),
        None => error.status() == Some(401),
    }
}

async fn obtain(shared: &Shared, grant: &Grant) -> Result<LongTermToken, Error> {
    let token = shared.settings.issuer.obtain(grant).await?;
    shared.engine().long_term = Some(token.clone());
    shared.observers.tell(Happening::LongTermObtained {
        token_id: token.token_id().map(str::to_owned),
    });
    Ok(token)
}

async fn mint(shared: &Shared, long_term: &LongTermToken) -> Result<Minted, Error> {
    let settings = &shared.settings;
    let sent = shared.now();
    let token = settings
        .issuer
        .exchange(long_term, &settings.scopes)
        .await?;
    let life = match token.lifetime() {
        Lifetime::For(life) => life,
        Lifetime::Until(end) => end.since(UnixMillis::from(settings.clock.wall())),
        Lifetime::Unknown => {
            let life = settings.refresh.life_if_unknown;
            tracing::warn!(
                target: "everbearer",
                assumed_life_ms = u64::try_from(life.as_millis()).unwrap_or(u64::MAX),
                "neither the answer nor the token says when the token ends"
            );
            life
        }
    };
    Ok(Minted { token, sent, life })
}
