//! Revoking a token: on its own authority, or on that of another token.

use super::unchecked_error::Unchecked;
use super::user_code::UserCode;
use crate::error::ErrorKind;
use crate::issuer::Revoked;
use crate::token::TokenRef;

/// On whose authority a token is revoked.
#[derive(Clone, Copy)]
pub(crate) struct Authorities<'a> {
    /// The other token, if there is one.
    pub(crate) other: Option<TokenRef<'a>>,
    /// Whether the other token goes first.
    pub(crate) is_other_first: bool,
}

impl UserCode {
    /// Revokes a token. If the server refuses the first authority, calls once more with the second. Returns whether
    /// the other token was the authority of the last call, too.
    pub(crate) async fn revoke(
        &self,
        token: TokenRef<'_>,
        authorities: Authorities<'_>,
    ) -> (Result<Revoked, Unchecked>, bool) {
        let Authorities {
            other,
            is_other_first,
        } = authorities;
        let call = |by_other: bool| self.issuer.revoke(token, other.filter(|_| by_other));
        let outcome = call(is_other_first).await;
        let is_denied = |error: &crate::error::Error| error.kind() == ErrorKind::Denied;
        if other.is_some() && outcome.as_ref().is_err_and(is_denied) {
            let outcome = call(!is_other_first).await;
            return (outcome.map_err(Unchecked::from), !is_other_first);
        }
        (outcome.map_err(Unchecked::from), is_other_first)
    }
}
