//! The interface to an auth server, and the credential that a provider starts with.

mod credential;
mod grant;
mod profile;

use async_trait::async_trait;

pub use credential::Credential;
pub use grant::{Grant, Proof};
pub use profile::{IssuerProfile, Needs};

use crate::error::{Error, ErrorKind};
use crate::token::{LongTermToken, ShortTermToken, TokenRef};

/// Issues and revokes tokens: the interface between a provider and an auth server.
///
/// `AuthApi` (feature `auth-api`) implements it for the contract's server. Implement it for a server with
/// another protocol.
///
/// The provider has at most one [`exchange`](Self::exchange) in flight for each scope set. It drops the
/// future of a call that takes longer than [`RetryPolicy::exchange_timeout`]. A panic fails only the call
/// that panicked.
///
/// The error decides what the provider does next: after a [retryable](Error::is_retryable) error it retries
/// after a backoff, and after another error it pauses. [`Error::transient`] and [`Error::terminal`] create
/// the two kinds, and [`Error::new`] creates any other.
///
/// An issuer must not wait for a token of the provider that it serves: such a call returns
/// [`ErrorKind::Config`].
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
    /// Exchanges the long-term token for a short-term token with these scopes, or with all scopes of the
    /// long-term token if `scopes` is empty. `long_term` is `None` only if [`profile`](Self::profile) states
    /// [`Needs::Nothing`].
    ///
    /// # Errors
    ///
    /// Returns why there is no token.
    ///
    /// # Cancel safety
    ///
    /// The provider may drop the future at any await, after a timeout or when its runtime shuts down.
    async fn exchange(
        &self,
        long_term: Option<&LongTermToken>,
        scopes: &[String],
    ) -> Result<ExchangeResponse, Error>;

    /// Revokes a token. The provider calls it for the tokens of an evicted scope set, for a long-term token
    /// that was replaced, and at shutdown.
    ///
    /// Without an `authority`, the token itself or the client authorizes the revocation. If the server
    /// refuses that ([`ErrorKind::Denied`]), the provider calls once more with the long-term token as the
    /// `authority`, and begins with that for later tokens.
    ///
    /// # Errors
    ///
    /// Returns why the token may still be valid. At shutdown, the provider retries after a
    /// [retryable](Error::is_retryable) error until the deadline.
    ///
    /// # Cancel safety
    ///
    /// The provider may drop the future at any await: after a timeout, at the shutdown's deadline, or when its
    /// runtime shuts down.
    async fn revoke(
        &self,
        token: TokenRef<'_>,
        authority: Option<TokenRef<'_>>,
    ) -> Result<Revoked, Error>;

    /// Obtains a long-term token with a grant: at the start, for a rotation, or after the auth server has
    /// refused the current token.
    ///
    /// If the provider rotates with [`Grant::self_rotation`], `authority` is the short-term token that
    /// authorizes the request. The provider may call again with the same one, after a failure or a crash that
    /// lost the response.
    ///
    /// # Errors
    ///
    /// Returns why there is no token. The default implementation returns [`ErrorKind::Config`], since the
    /// issuer accepts no grants.
    ///
    /// # Cancel safety
    ///
    /// The provider may drop the future at any await, after a timeout or when its runtime shuts down. A token
    /// that the server has issued may then be lost.
    ///
    /// # Examples
    ///
    /// ```
    /// use everbearer::{
    ///     Error, ErrorKind, ExchangeResponse, Grant, LongTermToken, Proof, Revoked, ShortTermToken,
    ///     TokenIssuer, TokenRef, async_trait,
    /// };
    ///
    /// struct Vault;
    ///
    /// #[async_trait]
    /// impl TokenIssuer for Vault {
    ///     async fn obtain(
    ///         &self,
    ///         grant: &Grant,
    ///         _authority: Option<&ShortTermToken>,
    ///     ) -> Result<LongTermToken, Error> {
    ///         let Proof::ClientSecret(secret) = grant.proof("https://vault.example.com").await? else {
    ///             return Err(Error::new(ErrorKind::Config, "Vault needs a client secret"));
    ///         };
    ///         let answer = log_in(grant.client_id(), secret.expose()).await;
    ///         LongTermToken::new(answer.map_err(Error::transient)?)
    ///     }
    /// #     async fn exchange(
    /// #         &self,
    /// #         _: Option<&LongTermToken>,
    /// #         _: &[String],
    /// #     ) -> Result<ExchangeResponse, Error> {
    /// #         Ok(ExchangeResponse::from(ShortTermToken::builder("a.b.c").build()?))
    /// #     }
    /// #     async fn revoke(&self, _: TokenRef<'_>, _: Option<TokenRef<'_>>) -> Result<Revoked, Error> {
    /// #         Ok(Revoked::Gone)
    /// #     }
    ///     // exchange and revoke as above
    /// }
    /// # async fn log_in(_: &str, _: &str) -> Result<String, std::io::Error> { Ok("s.1".to_owned()) }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Error> {
    /// #     let grant = Grant::client_secret("client_abc123", "correct-horse");
    /// #     assert_eq!(Vault.obtain(&grant, None).await?.expose(), "s.1");
    /// #     Ok(())
    /// # }
    /// ```
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

    /// Returns the fixed properties of this issuer. The provider calls it once, when it is built. The default
    /// implementation returns [`IssuerProfile::default`].
    ///
    /// # Examples
    ///
    /// ```
    /// use everbearer::testkit::ScriptedIssuer;
    /// use everbearer::TokenIssuer;
    ///
    /// let profile = ScriptedIssuer::new().profile();
    /// assert!(format!("{profile:?}").contains("ScriptedIssuer"));
    /// ```
    fn profile(&self) -> IssuerProfile {
        IssuerProfile::default()
    }
}

/// States the result of a revocation, as a [`TokenIssuer`] returns it.
///
/// # Examples
///
/// ```
/// use everbearer::Revoked;
///
/// // What an issuer may return for a status of RFC 7009.
/// let outcome = |status: u16| match status {
///     200 => Revoked::Gone,
///     501 => Revoked::Unsupported,
///     _ => Revoked::Unknown,
/// };
/// assert_eq!(outcome(200), Revoked::Gone);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Revoked {
    /// The server no longer accepts the token: it was revoked, now or before, or it has expired.
    Gone,
    /// The server does not state whether it still accepts the token. The shutdown does not retry, and its
    /// report lists the token as [`Unknown`](crate::RevocationOutcome::Unknown).
    Unknown,
    /// The server cannot revoke tokens of this kind. After this answer, the provider makes no further call for
    /// such tokens, and the shutdown report lists them as [`Unsupported`](crate::RevocationOutcome::Unsupported).
    Unsupported,
}

/// Contains the result of an exchange: a short-term token, and the long-term token that replaces the
/// exchanged one, if the server returned one.
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
    /// Returns the short-term token.
    ///
    /// ```
    /// use everbearer::{ExchangeResponse, ShortTermToken};
    ///
    /// # fn main() -> Result<(), everbearer::Error> {
    /// let response = ExchangeResponse::from(ShortTermToken::builder("a.b.c").build()?);
    /// assert_eq!(response.token().expose(), "a.b.c");
    /// # Ok(())
    /// # }
    /// ```
    pub const fn token(&self) -> &ShortTermToken {
        &self.token
    }

    /// Returns the long-term token that replaces the exchanged one, if there is one.
    ///
    /// ```
    /// use everbearer::{ExchangeResponse, ShortTermToken};
    ///
    /// # fn main() -> Result<(), everbearer::Error> {
    /// let response = ExchangeResponse::from(ShortTermToken::builder("a.b.c").build()?);
    /// assert!(response.replacement().is_none());
    /// # Ok(())
    /// # }
    /// ```
    pub const fn replacement(&self) -> Option<&LongTermToken> {
        self.replacement.as_ref()
    }

    /// Adds the long-term token that replaces the exchanged one. The provider stores it durably before it
    /// uses the short-term token. With [`Needs::Nothing`], the provider ignores it.
    ///
    /// # Examples
    ///
    /// ```
    /// use everbearer::{ExchangeResponse, LongTermToken, ShortTermToken};
    ///
    /// # fn main() -> Result<(), everbearer::Error> {
    /// let short_term = ShortTermToken::builder("a.b.c").build()?;
    /// let response = ExchangeResponse::from(short_term).replacing(LongTermToken::new("refresh-2")?);
    /// # Ok(())
    /// # }
    /// ```
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
