//! Revoking a token: on its own authority, or on that of another token.

use super::unchecked_error::Unchecked;
use super::user_code::UserCode;
use crate::error::{Error, ErrorKind};
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

/// How a revocation ended.
pub(crate) struct Revocation {
    pub(crate) outcome: Result<Revoked, Unchecked>,
    /// Whether the server refused the first authority, and accepted the second.
    pub(crate) needed_second: bool,
}

impl UserCode {
    /// Revokes a token. If the server refuses the first authority, calls once more with the second. A long-term token
    /// that the server no longer accepts is gone.
    pub(crate) async fn revoke(
        &self,
        token: TokenRef<'_>,
        authorities: Authorities<'_>,
    ) -> Revocation {
        let Authorities {
            other,
            is_other_first,
        } = authorities;
        let is_other_first = is_other_first && other.is_some();
        let first = self.revoke_by(token, other.filter(|_| is_other_first));
        let first = match first.await {
            Err(error) if error.kind() == ErrorKind::Denied && other.is_some() => error,
            outcome => {
                return Revocation {
                    outcome: outcome.map_err(Unchecked::from),
                    needed_second: false,
                };
            }
        };
        let second = self.revoke_by(token, other.filter(|_| !is_other_first));
        let outcome = second.await.map_err(|second| {
            let is_refused = second.kind() == ErrorKind::Denied;
            // The refusal of the token's own authority says more than that of the other one.
            let shown = if is_refused && !is_other_first {
                first
            } else {
                second
            };
            Unchecked::from(shown)
        });
        Revocation {
            needed_second: outcome.is_ok(),
            outcome,
        }
    }

    async fn revoke_by(
        &self,
        token: TokenRef<'_>,
        authority: Option<TokenRef<'_>>,
    ) -> Result<Revoked, Error> {
        let outcome = self.issuer.revoke(token, authority).await;
        let is_long_term = matches!(token, TokenRef::LongTerm(_));
        match outcome {
            Err(error) if is_long_term && authority.is_none() && error.names_refused_token() => {
                Ok(Revoked::Gone)
            }
            outcome => outcome,
        }
    }
}
