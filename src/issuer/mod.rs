//! What the engine asks of the outside, and what it starts from.

mod auth_api;
mod grant;

use std::fmt;

use async_trait::async_trait;

#[cfg(feature = "assertion")]
pub use grant::SigningKey;
pub use grant::{AssertionSigner, Grant};

use crate::error::{Error, ErrorKind};
use crate::origin::Origin;
use crate::token::{LongTermToken, ShortTermToken, TokenRef};

/// Where tokens come from.
///
/// [`AuthApi`](crate::AuthApi) is one. Implement it for a server that speaks another protocol.
///
/// The engine never has two calls of [`exchange`](Self::exchange) for one set of scopes under way
/// at once, and gives up on a call after [`RetryPolicy::exchange_timeout`] by dropping its future.
///
/// An error tells the engine what to do: after a [retryable](Error::is_retryable) one it backs
/// off and tries again, after another one it stops until something changes. [`Error::transient`]
/// and [`Error::terminal`] make the two kinds.
///
/// [`RetryPolicy::exchange_timeout`]: crate::RetryPolicy::exchange_timeout
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use everbearer::{
///     Error, ExchangeResponse, LongTermToken, ShortTermToken, TokenIssuer, TokenProvider, TokenRef,
/// };
///
/// #[derive(Debug)]
/// struct Vault;
///
/// #[async_trait::async_trait]
/// impl TokenIssuer for Vault {
///     async fn exchange(
///         &self,
///         long_term: &LongTermToken,
///         _scopes: &[String],
///     ) -> Result<ExchangeResponse, Error> {
///         let answer = ask_the_vault(long_term.expose()).await.map_err(Error::transient)?;
///         let token = ShortTermToken::builder(&answer)
///             .expires_in(Duration::from_secs(600))
///             .build()?;
///         Ok(ExchangeResponse::from(token))
///     }
///
///     async fn revoke(&self, token: TokenRef<'_>) -> Result<(), Error> {
///         match token {
///             TokenRef::ShortTerm(token) => {
///                 revoke_at_the_vault(token.expose()).await.map_err(Error::transient)
///             }
///             // `ShutdownReport::not_revoked` lists this token.
///             _ => Err(Error::terminal("only an operator revokes this token")),
///         }
///     }
/// }
/// # async fn ask_the_vault(_: &str) -> Result<String, std::io::Error> { Ok("a.b.c".to_owned()) }
/// # async fn revoke_at_the_vault(_: &str) -> Result<(), std::io::Error> { Ok(()) }
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Error> {
/// let provider = TokenProvider::builder(Vault, LongTermToken::new("s.secret")?).build()?;
/// assert_eq!(provider.authorization().await?, "Bearer a.b.c");
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait TokenIssuer: fmt::Debug + Send + Sync + 'static {
    /// Exchanges the long-term token for a short-term one that is good for these scopes, or for
    /// all that the long-term token grants if there are none.
    ///
    /// # Errors
    ///
    /// Whatever kept it from bringing a token.
    async fn exchange(
        &self,
        long_term: &LongTermToken,
        scopes: &[String],
    ) -> Result<ExchangeResponse, Error>;

    /// Whether an exchange may put an end to the long-term token and bring
    /// [another one](ExchangeResponse::replacing), as OAuth servers that rotate refresh tokens do
    /// (RFC 9700, section 4.14.2). The engine then makes one exchange at a time, of all sets of
    /// scopes and of all processes that share the store.
    ///
    /// An answer that is lost costs the token, unless the server answers the same request once more:
    /// configure [`recover_with`](crate::TokenProviderBuilder::recover_with).
    fn replaces_long_term(&self) -> bool {
        false
    }

    /// Revokes a token: when a set of scopes is retired, once, and at shutdown. That the token is
    /// already gone is a success.
    ///
    /// # Errors
    ///
    /// Whatever kept the token alive. At shutdown it is called again after a
    /// [retryable](Error::is_retryable) error, as long as the deadline allows.
    async fn revoke(&self, token: TokenRef<'_>) -> Result<(), Error>;

    /// Obtains a long-term token by a grant: at the start, for a rotation, or when the present one
    /// is refused.
    ///
    /// # Errors
    ///
    /// Whatever kept it from bringing a token. An issuer that does not implement this refuses
    /// every grant.
    async fn obtain(&self, grant: &Grant) -> Result<LongTermToken, Error> {
        let _ = grant;
        Err(Error::new(
            ErrorKind::Config,
            "this issuer takes no grants; start the provider from a long-term token",
        ))
    }

    /// Obtains the next long-term token on the authority of a short-term one, for a provider that
    /// rotates by [`Grant::self_rotation`]. It may be called again with the same short-term token
    /// after a failure or a crash that left the answer unknown.
    ///
    /// # Errors
    ///
    /// Whatever kept it from bringing a token. An issuer that does not implement this cannot be
    /// rotated in this way.
    async fn rotate(
        &self,
        grant: &Grant,
        authority: &ShortTermToken,
    ) -> Result<LongTermToken, Error> {
        let _ = (grant, authority);
        Err(Error::new(
            ErrorKind::Config,
            "this issuer does not rotate by a short-term token; use another grant",
        ))
    }

    /// The origin that tokens go to unless the provider was told others: usually the issuer's
    /// own. Without one, a provider that was told none puts tokens on no request.
    fn origin(&self) -> Option<Origin> {
        None
    }
}

/// What an exchange brought.
///
/// # Examples
///
/// ```
/// use everbearer::{ExchangeResponse, LongTermToken, ShortTermToken};
///
/// # fn main() -> Result<(), everbearer::Error> {
/// let short_term = ShortTermToken::builder("a.b.c").build()?;
/// let exchanged = ExchangeResponse::from(short_term).replacing(LongTermToken::new("refresh-2")?);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ExchangeResponse {
    pub(crate) token: ShortTermToken,
    pub(crate) replacement: Option<LongTermToken>,
}

impl ExchangeResponse {
    /// The same, with the long-term token that takes the place of the one that was exchanged. It
    /// is stored durably before the short-term token is used.
    #[must_use]
    pub fn replacing(mut self, replacement: LongTermToken) -> Self {
        self.replacement = Some(replacement);
        self
    }
}

impl From<ShortTermToken> for ExchangeResponse {
    fn from(token: ShortTermToken) -> Self {
        Self {
            token,
            replacement: None,
        }
    }
}

/// What a provider starts from.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Credential {
    /// A long-term token that somebody obtained.
    LongTerm(LongTermToken),
    /// A way to obtain one, used at the start, and again when the server refuses the one obtained
    /// ([`Error::with_code`] says what counts as that).
    Grant(Grant),
    /// What the [store](crate::TokenProviderBuilder::store) holds.
    Stored,
}

impl From<LongTermToken> for Credential {
    fn from(token: LongTermToken) -> Self {
        Self::LongTerm(token)
    }
}

impl From<Grant> for Credential {
    fn from(grant: Grant) -> Self {
        Self::Grant(grant)
    }
}
