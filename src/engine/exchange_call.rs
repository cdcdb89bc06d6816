//! One call of the exchange, and its result.

use super::live::LiveToken;
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
    let mut exchanged = shared.checked(outcome, sent.as_slice())?;
    let is_used = |replacement: &mut LongTermToken| {
        long_term.is_some_and(|used| replacement.reads_like(used))
    };
    exchanged.replacement.take_if(is_used);
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
