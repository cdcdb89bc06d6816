//! What an error means for the long-term token.

use crate::error::{Error, ErrorKind};

/// Returns whether the auth server no longer accepts the token: a code that says so, or `Denied` without a code. A
/// retryable error is no refusal, whatever its code.
pub(crate) fn is_refused(error: &Error) -> bool {
    let is_denied = error.kind() == ErrorKind::Denied && error.code().is_none();
    is_denied || error.names_refused_token()
}
