//! One call of the exchange, and what it brings.

use std::time::{Duration, SystemTime};

use super::keeper::{Keeper, dated};
use super::rotation;
use super::scope_set::ScopeSet;
use super::shared::Shared;
use crate::clock::Moment;
use crate::error::Error;
use crate::issuer::ExchangeResponse;
use crate::observe;
use crate::token::{Judgement, Lifetime, LongTermToken, ShortTermToken};

/// The short-term token that a successful exchange brought.
#[derive(Debug)]
pub(super) struct Fresh {
    pub(super) token: ShortTermToken,
    /// When the request was sent. The token is used as if its life began here.
    pub(super) sent: Moment,
    pub(super) life: Duration,
    /// An upper bound of the life, also if the server returns the same token again.
    pub(super) at_most: Option<Duration>,
    /// Whether the life is only assumed.
    pub(super) is_assumed: bool,
    /// Whether the token has expired by the local clock and is used once.
    pub(super) is_doubtful: bool,
}

/// All that an exchange brought.
pub(super) struct Minting {
    pub(super) fresh: Fresh,
    replacement: Option<LongTermToken>,
    asked_at: SystemTime,
}

/// Makes one call of the exchange, with this long-term token if the issuer needs one.
pub(super) async fn mint(
    shared: &Shared,
    scope_set: &ScopeSet,
    long_term: Option<&LongTermToken>,
) -> Result<Minting, Error> {
    let settings = &shared.settings;
    let (sent, asked_at) = (shared.now(), shared.wall());
    let exchange = settings.issuer.exchange(long_term, &scope_set.scopes);
    let exchanged = exchange.await;
    let sent_token = long_term.map(LongTermToken::expose);
    let sent_secrets = sent_token.as_slice();
    let ExchangeResponse { token, replacement } =
        exchanged.map_err(|error| shared.without_secrets(error, sent_secrets))?;
    shared.check_id(&token, sent_secrets);
    if let Some(replacement) = &replacement {
        shared.check_id(replacement, sent_secrets);
    }
    let Judgement {
        lifetime,
        left_out,
        at_most,
    } = token.lifetime(shared.wall());
    let default = settings.policies.refresh.default_lifetime;
    let life = match lifetime {
        Lifetime::For(life) => life,
        Lifetime::Doubtful | Lifetime::Unknown => default,
    };
    let life = at_most.map_or(life, |at_most| at_most.min(life));
    for statement in &left_out {
        observe::log_left_out(&settings.name, statement.as_str(), Some(life));
    }
    match lifetime {
        Lifetime::Doubtful => observe::log_doubtful_life(&settings.name, life),
        Lifetime::Unknown if left_out.is_empty() => observe::log_assumed_life(&settings.name, life),
        Lifetime::Unknown | Lifetime::For(_) => {}
    }
    if replacement.is_some() {
        // It is not used before the other one is durable; but it is revoked with the rest.
        rotation::note_minted(shared, &token);
    }
    let fresh = Fresh {
        token,
        sent,
        life,
        at_most,
        is_assumed: !matches!(lifetime, Lifetime::For(_)),
        is_doubtful: matches!(lifetime, Lifetime::Doubtful),
    };
    Ok(Minting {
        fresh,
        replacement,
        asked_at,
    })
}

/// What was minted; the long-term token that came with it, if one did, is written down before.
pub(super) async fn kept(
    shared: &Shared,
    exchanged: &LongTermToken,
    minting: Minting,
) -> Result<Fresh, Error> {
    if minting.replacement.is_none() {
        return Ok(minting.fresh);
    }
    let keeper = &mut *shared.keeper.lock().await;
    replace(shared, keeper, exchanged, minting).await
}

/// Takes the long-term token that came with it, if one did, into the place of the one that was
/// exchanged.
pub(super) async fn replace(
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
        record.current = dated(shared, replacement.clone(), asked_at);
        keeper.keep_obtained(shared, &replacement, record).await?;
    }
    Ok(fresh)
}
