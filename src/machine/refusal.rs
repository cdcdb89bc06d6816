//! What an error means for the long-term token.

use super::backoff::recovery_pause;
use super::input::Failure;
use crate::error::{Error, ErrorKind};

/// The codes of a 401 that say that the scopes are refused, and not the token.
const OF_SCOPES: [&str; 2] = ["insufficient_scope", "invalid_scope"];

/// After so many 401s without a code in a row, the token counts as refused.
pub(super) const UNCLEAR_ARE_A_REFUSAL: u32 = 3;

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

/// Returns what a failure means after so many 401s without a code in a row, of which it is the last. `draw` is a random
/// number from 0 to 1.
pub(super) fn failure_of(error: &Error, unclear: u32, draw: f64) -> Failure {
    if unclear >= UNCLEAR_ARE_A_REFUSAL && is_unclear(error) {
        let pauses = unclear - UNCLEAR_ARE_A_REFUSAL + 1;
        let pause = recovery_pause(pauses, draw);
        return Failure::Unclear { pause };
    }
    Failure::of(error)
}
