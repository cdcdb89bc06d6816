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
        let authority = |is_second: bool| other.filter(|_| is_second != is_other_first);
        let first = self.issuer.revoke(token, authority(false)).await;
        let refusal = match gone_if_refused(token, authority(false), first) {
            Err(error) if error.kind() == ErrorKind::Denied && other.is_some() => error,
            outcome => {
                return Revocation {
                    outcome: outcome.map_err(Unchecked::from),
                    needed_second: false,
                };
            }
        };
        let second = self.issuer.revoke(token, authority(true)).await;
        let needed_second = matches!(second, Ok(Revoked::Gone));
        let outcome = gone_if_refused(token, authority(true), second).map_err(|error| {
            // The refusal of the token's own authority says more than that of the other one.
            let is_refused = error.kind() == ErrorKind::Denied;
            Unchecked::from(if is_refused && !is_other_first {
                refusal
            } else {
                error
            })
        });
        Revocation {
            outcome,
            needed_second,
        }
    }
}

/// A long-term token that the server does not accept as its own authority is gone.
fn gone_if_refused(
    token: TokenRef<'_>,
    authority: Option<TokenRef<'_>>,
    outcome: Result<Revoked, Error>,
) -> Result<Revoked, Error> {
    let is_own = matches!(token, TokenRef::LongTerm(_)) && authority.is_none();
    match outcome {
        Err(error) if is_own && error.names_refused_token() => Ok(Revoked::Gone),
        outcome => outcome,
    }
}
