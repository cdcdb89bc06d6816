//! One call of the exchange, and its result.

use super::live::LiveToken;
use super::long_term::keeper::{Keeper, dated};
use super::scope_set::ScopeSet;
use super::shared::Shared;
use crate::calls::{Exchanged, Minted};
use crate::error::Error;
use crate::machine::SetId;
use crate::observe;
use crate::token::LongTermToken;

/// Makes one call of the exchange, with this long-term token if the issuer needs one.
pub(crate) async fn mint(
    shared: &Shared,
    scope_set: &ScopeSet,
    long_term: Option<&LongTermToken>,
) -> Result<Exchanged, Error> {
    let settings = &shared.settings;
    let default_lifetime = settings.policies.refresh.default_lifetime;
    let exchange = shared
        .user_code
        .exchange(long_term, &scope_set.scopes, default_lifetime);
    let outcome = exchange.await;
    let sent = long_term.map(LongTermToken::expose);
    let exchanged = shared.checked(outcome, sent.as_slice())?;
    let (minted, left_out) = (&exchanged.minted, &exchanged.left_out);
    shared.check_id(&minted.token, sent.as_slice());
    if let Some(replacement) = &exchanged.replacement {
        shared.check_id(replacement, sent.as_slice());
    }
    for statement in left_out {
        observe::log_left_out(&settings.name, statement.as_str(), Some(minted.life));
    }
    if minted.is_doubtful {
        observe::log_doubtful_life(&settings.name, minted.life);
    } else if minted.is_assumed && left_out.is_empty() {
        observe::log_assumed_life(&settings.name, minted.life);
    }
    if exchanged.replacement.is_some() {
        // Unused until the replacement is durable, but revoked at shutdown.
        note_minted(shared, minted);
    }
    Ok(exchanged)
}

/// Notes a token that the shutdown revokes.
pub(crate) fn note_minted(shared: &Shared, minted: &Minted) {
    let now = shared.now();
    let live = LiveToken {
        set: SetId::ROOT,
        token: minted.token.clone(),
        ends_at: (!minted.is_assumed).then(|| now + minted.life),
    };
    shared.engine().live.insert(live, now);
}

/// Returns the token after the replacement, if there is one, is stored.
pub(crate) async fn kept(
    shared: &Shared,
    used: &LongTermToken,
    exchanged: Exchanged,
) -> Result<Minted, Error> {
    if exchanged.replacement.is_none() {
        return Ok(exchanged.minted);
    }
    let keeper = &mut *shared.keeper.lock().await;
    replace(shared, keeper, used, exchanged).await
}

/// Replaces the exchanged long-term token with the replacement, if there is one, and stores it. Returns the
/// short-term token.
pub(crate) async fn replace(
    shared: &Shared,
    keeper: &mut Keeper,
    replaced: &LongTermToken,
    exchanged: Exchanged,
) -> Result<Minted, Error> {
    let Exchanged {
        minted,
        replacement,
        asked_at,
        ..
    } = exchanged;
    let (Some(replacement), Some(mut record)) = (replacement, keeper.record().cloned()) else {
        return Ok(minted);
    };
    if record.current().reads_like(replaced) && !replacement.reads_like(replaced) {
        record.current = dated(shared, replacement.clone(), asked_at);
        keeper.keep_obtained(shared, &replacement, record).await?;
    }
    Ok(minted)
}
