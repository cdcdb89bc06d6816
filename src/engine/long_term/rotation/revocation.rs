//! Revoking what is of no further use: superseded long-term tokens, and what has asked for others.

use crate::engine::long_term::keeper::{Keeper, retiring};
use crate::engine::revocation::{self, revoke_in_time};
use crate::engine::shared::Shared;
use crate::error::Error;
use crate::issuer::Revoked;
use crate::store::Record;
use crate::token::{LongTermToken, TokenRef};

/// Revokes the short-term tokens that obtained a long-term one, except those that a scope set uses. If a
/// revocation fails, the token expires, or the shutdown revokes it.
pub(super) async fn revoke_spent(shared: &Shared, keeper: &mut Keeper) {
    let spent = std::mem::take(&mut keeper.spent);
    if shared.settings.profile.shares_tokens {
        return;
    }
    let unused = shared.engine().unused(spent);
    for token in unused {
        let outcome = revoke_in_time(shared, TokenRef::ShortTerm(&token)).await;
        if matches!(outcome, Ok(Revoked::Gone)) {
            shared.engine().live.forget(&token);
        }
        tell_revocation(shared, token.shown_id(), outcome);
    }
}

pub(super) fn due<'a>(
    shared: &Shared,
    record: &'a Record,
) -> impl Iterator<Item = &'a LongTermToken> {
    let wall = shared.wall();
    record
        .retiring
        .iter()
        .filter(move |retiring| retiring.revoke_at <= wall)
        .map(|retiring| &retiring.token)
}

/// Revokes the superseded tokens whose time has come. One that the server does not accept any more
/// is as good as revoked; one that it refuses to revoke is reported and given up.
pub(super) async fn revoke_retiring(shared: &Shared, keeper: &mut Keeper) {
    let Some(mut record) = keeper.record().cloned() else {
        return;
    };
    let tokens: Vec<LongTermToken> = due(shared, &record).cloned().collect();
    let is_changed = !tokens.is_empty();
    let mut is_down = false;
    for token in tokens {
        if !is_down {
            let outcome = revoke_in_time(shared, TokenRef::LongTerm(&token)).await;
            is_down = outcome.as_ref().is_err_and(Error::is_retryable);
            tell_revocation(shared, token.shown_id(), outcome);
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
    let wall = shared.wall();
    token.expires_at().is_none_or(|ends_at| ends_at > wall)
}

fn tell_revocation(shared: &Shared, token_id: Option<&str>, outcome: Result<Revoked, Error>) {
    if let Some(event) = revocation::event(token_id, outcome) {
        shared.observers.tell(event);
    }
}
