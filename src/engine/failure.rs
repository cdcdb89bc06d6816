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
    let is_denied = error.kind() == ErrorKind::Denied && error.code().is_none();
    is_denied || error.names_refused_token()
}
