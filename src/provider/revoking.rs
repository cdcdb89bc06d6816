//! One revocation: on the token's own authority, or on that of the long-term token.

use std::time::SystemTime;

use super::report::{TokenKind, shown_time};
use super::shared::Shared;
use crate::error::{Error, ErrorKind};
use crate::issuer::Revoked;
use crate::observe::Event;
use crate::token::TokenRef;

/// Revokes a token. If the server refuses that on the token's own authority, tries with the long-term token, and
/// for later tokens with the long-term token first. Calls no issuer for a tier that the server cannot revoke.
///
/// # Errors
///
/// The error of the last call.
pub(super) async fn revoke(shared: &Shared, token: TokenRef<'_>) -> Result<Revoked, Error> {
    let kind = TokenKind::of(token);
    let (long_term, is_long_term_first) = {
        let engine = shared.engine();
        if engine.learnt.unsupported.contains(&kind) {
            return Ok(Revoked::Unsupported);
        }
        let in_use = engine.long_term.as_ref().map(|held| held.token.clone());
        (in_use, engine.learnt.needs_long_term)
    };
    let other = long_term.filter(|it| it.expose() != token.expose());
    let other = other.as_ref().map(TokenRef::LongTerm);
    let (first, second) = match other {
        Some(_) if is_long_term_first => (other, Some(None)),
        Some(_) => (None, Some(other)),
        None => (None, None),
    };
    let issuer = &shared.settings.issuer;
    let mut outcome = issuer.revoke(token, first).await;
    if let Some(authority) = second
        && let Err(error) = &outcome
        && error.kind() == ErrorKind::Denied
    {
        outcome = issuer.revoke(token, authority).await;
        if outcome.is_ok() {
            shared.engine().learnt.needs_long_term = authority.is_some();
        }
    }
    if matches!(outcome, Ok(Revoked::Unsupported)) {
        note_unsupported(shared, token, kind);
    }
    outcome
}

/// Returns the event for how a revocation ended, if there is one: [`revoke`] itself tells observers about a tier that
/// the server cannot revoke.
pub(super) fn event(token_id: Option<&str>, outcome: Result<Revoked, Error>) -> Option<Event> {
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

pub(super) fn unknown() -> Error {
    Error::own(
        ErrorKind::Protocol,
        "the auth server does not say whether it still accepts the token",
    )
}

/// Tells observers about the first token of a tier that the server cannot revoke.
fn note_unsupported(shared: &Shared, token: TokenRef<'_>, kind: TokenKind) {
    {
        let unsupported = &mut shared.engine().learnt.unsupported;
        if unsupported.contains(&kind) {
            return;
        }
        unsupported.push(kind);
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
