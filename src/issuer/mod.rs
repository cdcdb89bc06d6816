//! The interface to an auth server, and what a provider starts from.

mod credential;
mod grant;
mod profile;

use async_trait::async_trait;

pub use credential::Credential;
#[cfg(feature = "assertion")]
pub use grant::SigningKey;
pub use grant::{AssertionSigner, Grant, Proof};
pub use profile::{IssuerProfile, Needs};

use crate::error::{Error, ErrorKind};
use crate::token::{LongTermToken, ShortTermToken, TokenRef};

/// An auth server: it issues and revokes tokens.
///
/// `AuthApi` (feature `auth-api`) implements it for the contract's server. Implement it for a server with
/// another protocol.
///
/// The provider has at most one [`exchange`](Self::exchange) in flight for each scope set. It drops the future of
/// a call that takes longer than [`RetryPolicy::exchange_timeout`]. A panic fails that one call.
///
/// The error decides what the provider does next: it backs off and retries after a
/// [retryable](Error::is_retryable) error, and stops after another one until something changes.
/// [`Error::transient`] and [`Error::terminal`] make the two kinds, and [`Error::new`] any other.
///
/// [`RetryPolicy::exchange_timeout`]: crate::RetryPolicy::exchange_timeout
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use everbearer::{
///     Error, ErrorKind, ExchangeResponse, LongTermToken, Revoked, ShortTermToken, TokenIssuer,
///     TokenProvider, TokenRef, async_trait,
/// };
///
/// struct Vault;
///
/// #[async_trait]
/// impl TokenIssuer for Vault {
///     async fn exchange(
///         &self,
///         long_term: Option<&LongTermToken>,
///         _scopes: &[String],
///     ) -> Result<ExchangeResponse, Error> {
///         let secret = long_term
///             .ok_or_else(|| Error::new(ErrorKind::Config, "Vault needs a long-term token"))?;
///         let answer = ask_the_vault(secret.expose()).await.map_err(Error::transient)?;
///         let token = ShortTermToken::builder(&answer)
///             .expires_in(Duration::from_secs(600))
///             .build()?;
///         Ok(ExchangeResponse::from(token))
///     }
///
///     async fn revoke(
///         &self,
///         token: TokenRef<'_>,
///         _authority: Option<TokenRef<'_>>,
///     ) -> Result<Revoked, Error> {
///         match token {
///             TokenRef::ShortTerm(token) => {
///                 revoke_at_the_vault(token.expose()).await.map_err(Error::transient)?;
///                 Ok(Revoked::Gone)
///             }
///             _ => Ok(Revoked::Unsupported),
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
pub trait TokenIssuer: Send + Sync + 'static {
    /// Exchanges the long-term token for a short-term one with these scopes, or with all scopes of the long-term
    /// token if there are none. `long_term` is `None` exactly if [`profile`](Self::profile) says
    /// [`Needs::Nothing`].
    ///
    /// # Errors
    ///
    /// Why there is no token.
    ///
    /// # Cancel safety
    ///
    /// The provider may drop the future at any await: after a timeout, or when its runtime shuts down.
    async fn exchange(
        &self,
        long_term: Option<&LongTermToken>,
        scopes: &[String],
    ) -> Result<ExchangeResponse, Error>;

    /// Revokes a token. The provider calls it for the tokens of an evicted scope set, for a long-term token that
    /// was replaced, and at shutdown.
    ///
    /// Without an `authority`, the token is revoked on its own authority, or on that of the client. If the server
    /// refuses that ([`ErrorKind::Denied`]), the provider calls once more with the long-term token as the
    /// `authority`, and calls with that first for later tokens.
    ///
    /// # Errors
    ///
    /// Why the token may still be valid. At shutdown, the provider retries after a
    /// [retryable](Error::is_retryable) error until the deadline.
    async fn revoke(
        &self,
        token: TokenRef<'_>,
        authority: Option<TokenRef<'_>>,
    ) -> Result<Revoked, Error>;

    /// Obtains a long-term token by a grant: at the start, for a rotation, or when the present one is refused.
    ///
    /// `authority` is there if the provider rotates by [`Grant::self_rotation`]: the short-term token that
    /// authorizes the request. The provider may call again with the same one, after a failure or a crash that left
    /// the answer unknown.
    ///
    /// # Errors
    ///
    /// Why there is no token. By default, [`ErrorKind::Config`]: the issuer takes no grants.
    async fn obtain(
        &self,
        grant: &Grant,
        authority: Option<&ShortTermToken>,
    ) -> Result<LongTermToken, Error> {
        let _ = (grant, authority);
        Err(Error::own(
            ErrorKind::Config,
            "this issuer takes no grants; start the provider from a long-term token",
        ))
    }

    /// Returns what is fixed about this issuer. The provider calls it once, when it is built.
    fn profile(&self) -> IssuerProfile {
        IssuerProfile::default()
    }
}

/// What became of a token that an issuer was to revoke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Revoked {
    /// The server no longer accepts the token: it was revoked now or before, or it has expired.
    Gone,
    /// The server does not say whether it still accepts the token. The provider does not try again, and the
    /// shutdown report lists the token as [`Unknown`](crate::RevocationOutcome::Unknown).
    Unknown,
    /// The server cannot revoke tokens of this tier. The provider does not ask again for such tokens, and the
    /// shutdown report lists them as [`Unsupported`](crate::RevocationOutcome::Unsupported).
    Unsupported,
}

/// What an exchange returned.
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
    /// Adds the long-term token that replaces the exchanged one. The provider stores it durably before it uses the
    /// short-term token.
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
