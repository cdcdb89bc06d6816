//! What the engine asks of the outside, and what it starts from.

mod auth_api;
mod grant;

use std::fmt;

use async_trait::async_trait;

pub use grant::Grant;

use crate::error::{Error, ErrorKind};
use crate::origin::Origin;
use crate::token::{Bearer, LongTermToken, ShortTermToken};

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
/// use everbearer::{Bearer, Error, LongTermToken, ShortTermToken, TokenIssuer, TokenProvider};
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
///     ) -> Result<ShortTermToken, Error> {
///         let answer = ask_the_vault(long_term.expose()).await.map_err(Error::transient)?;
///         ShortTermToken::builder(&answer)
///             .expires_in(Duration::from_secs(600))
///             .build()
///     }
///
///     async fn revoke(&self, _token: Bearer<'_>) -> Result<(), Error> {
///         Ok(()) // this server's tokens end by themselves
///     }
/// }
/// # async fn ask_the_vault(_: &str) -> Result<String, std::io::Error> { Ok("a.b.c".to_owned()) }
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
    ) -> Result<ShortTermToken, Error>;

    /// Revokes a token: when a set of scopes is retired, once, and at shutdown. That the token is
    /// already gone is a success.
    ///
    /// # Errors
    ///
    /// Whatever kept the token alive. At shutdown it is called again after a
    /// [retryable](Error::is_retryable) error, as long as the deadline allows.
    async fn revoke(&self, token: Bearer<'_>) -> Result<(), Error>;

    /// Obtains a long-term token by a grant, for a provider that starts from one.
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

    /// The origin that tokens go to unless the provider was told others: usually the issuer's
    /// own. Without one, a provider that was told none puts tokens on no request.
    fn origin(&self) -> Option<Origin> {
        None
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
