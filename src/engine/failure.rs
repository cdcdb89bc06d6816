//! What an error means.

use crate::error::{Error, ErrorKind};
use crate::machine::Failure;

/// What the failure means for the next attempt.
pub(crate) fn failure(error: &Error) -> Failure {
    let retry_after = error.retry_after();
    if error.is_retryable() {
        Failure::Transient { retry_after }
    } else {
        Failure::Terminal { retry_after }
    }
}

/// Whether the server no longer accepts the token as such: in the contract's words, or in those of
/// an issuer that has no others than that it refuses. A retryable failure is no refusal, whatever
/// its code.
pub(crate) fn is_refused(error: &Error) -> bool {
    if error.is_retryable() {
        return false;
    }
    match error.code() {
        Some(code) => matches!(code, "invalid_token" | "token_expired" | "invalid_grant"),
        None => error.kind() == ErrorKind::Denied,
    }
}
