//! What an error means for the long-term token.

use crate::error::{Error, ErrorKind};

/// The codes of a 401 that say that the scopes are refused, and not the token.
const OF_SCOPES: [&str; 2] = ["insufficient_scope", "invalid_scope"];

/// Returns whether the auth server no longer accepts the token: a code that says so, a 401 with a code, or `Denied`
/// without a code. A retryable error is no refusal, whatever its code.
pub(super) fn is_refused(error: &Error) -> bool {
    if error.kind() != ErrorKind::Denied {
        return error.names_refused_token();
    }
    let is_of_scopes = |code: &str| OF_SCOPES.iter().any(|it| code.eq_ignore_ascii_case(it));
    match error.code() {
        None => true,
        Some(code) if error.status() == Some(401) => !is_of_scopes(code),
        Some(_) => error.names_refused_token(),
    }
}

/// Returns whether the error is a 401 without a readable code, as gateways answer it: it may be a refusal of the token.
pub(super) fn is_unclear(error: &Error) -> bool {
    error.status() == Some(401) && error.code().is_none() && error.is_retryable()
}
