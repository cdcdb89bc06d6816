//! One revocation: on the token's own authority, or on that of the long-term token.

use std::time::SystemTime;

use super::shared::Shared;
use super::shutdown::report::{TokenKind, shown_time};
use crate::calls::{Authorities, Revocation};
use crate::error::{Error, ErrorKind};
use crate::issuer::Revoked;
use crate::observe::Event;
use crate::token::TokenRef;

/// Revokes a token. If the server refuses that on the token's own authority, tries with the long-term token, and
/// for later tokens with the long-term token first. Calls no issuer for a kind of token that the server cannot revoke.
///
/// # Errors
///
/// The refusal of the token's own authority, or the error of the last call.
pub(crate) async fn revoke(shared: &Shared, token: TokenRef<'_>) -> Result<Revoked, Error> {
    let kind = TokenKind::of(token);
    let (long_term, is_other_first) = {
        let mut engine = shared.engine();
        if *engine.revocation_hints.unsupported(kind) {
            return Ok(Revoked::Unsupported);
        }
        (
            engine.long_term().cloned(),
            engine.revocation_hints.needs_long_term,
        )
    };
    let other = long_term
        .filter(|it| it.expose() != token.expose() && !shared.settings.profile.client_revokes);
    let authorities = Authorities {
        other: other.as_ref().map(TokenRef::LongTerm),
        is_other_first,
    };
    let Revocation {
        outcome,
        needed_second,
    } = shared.user_code.revoke(token, authorities).await;
    let outcome = shared.checked(outcome, &[token.expose()]);
    if needed_second {
        shared.engine().revocation_hints.needs_long_term = !is_other_first;
    }
    if matches!(outcome, Ok(Revoked::Unsupported)) {
        note_unsupported(shared, token, kind);
    }
    outcome
}

/// Like [`revoke`], within `RetryPolicy::exchange_timeout`.
pub(crate) async fn revoke_in_time(shared: &Shared, token: TokenRef<'_>) -> Result<Revoked, Error> {
    let limit = shared.settings.policies.retry.exchange_timeout;
    let outcome = tokio::time::timeout(limit, revoke(shared, token)).await;
    outcome.unwrap_or_else(|_| {
        let text = format!("the auth server did not answer within {limit:?}");
        Err(Error::own(ErrorKind::Timeout, text))
    })
}

/// Returns the event for how a revocation ended, if there is one: [`revoke`] itself tells observers about a kind of token that
/// the server cannot revoke.
pub(crate) fn event(token_id: Option<&str>, outcome: Result<Revoked, Error>) -> Option<Event> {
    let error = match outcome {
        Ok(Revoked::Gone) => None,
        Ok(Revoked::Unknown) => Some(unknown()),
        Ok(Revoked::Unsupported) => return None,
        Err(error) => Some(error),
    };
    Some(Event::Revocation {
        token_id: token_id.map(str::to_owned),
        error,
    })
}

pub(crate) fn unknown() -> Error {
    Error::own(
        ErrorKind::Protocol,
        "the auth server does not say whether it still accepts the token",
    )
}

/// Tells observers about the first token of a kind that the server cannot revoke.
fn note_unsupported(shared: &Shared, token: TokenRef<'_>, kind: TokenKind) {
    let is_known = std::mem::replace(shared.engine().revocation_hints.unsupported(kind), true);
    if is_known {
        return;
    }
    let until = match ends_at(shared, token) {
        Some(ends_at) => format!("this one is valid until {}", shown_time(ends_at)),
        None => "each is valid until it expires".to_owned(),
    };
    let text = format!(
        "the auth server cannot revoke {} tokens; {until}",
        kind.as_str()
    );
    shared.observers.tell(Event::Revocation {
        token_id: token.shown_id().map(str::to_owned),
        error: Some(Error::own(ErrorKind::InvalidRequest, text)),
    });
}

fn ends_at(shared: &Shared, token: TokenRef<'_>) -> Option<SystemTime> {
    match token {
        TokenRef::LongTerm(token) => token.expires_at(),
        TokenRef::ShortTerm(token) => {
            let ends_at = shared.engine().live.ends_at(token)?;
            shared.wall().checked_add(ends_at.since(shared.now()))
        }
    }
}
