//! The fixed properties of an issuer.

use std::time::Duration;

use crate::origin::Origin;
use crate::secret::SecretSource;

/// States what an issuer needs for an exchange.
///
/// # Examples
///
/// ```
/// use everbearer::{IssuerProfile, Needs};
///
/// let profile = IssuerProfile::new("client credentials").needs(Needs::Nothing);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Needs {
    /// No long-term token: the issuer authenticates by itself, such as with OAuth client credentials (RFC
    /// 6749, section 4.4). The provider starts with [`Credential::None`](crate::Credential::None).
    Nothing,
    /// A long-term token, which is valid for any number of exchanges.
    #[default]
    LongTerm,
    /// A long-term token that an exchange may invalidate and [replace](crate::ExchangeResponse::replacing),
    /// as OAuth servers do that rotate refresh tokens (RFC 9700, section 4.14.2). The provider then makes one
    /// exchange at a time, across all scope sets and all processes that share the store.
    ///
    /// If the response to such an exchange is lost, the new token is lost too, unless the server answers the
    /// same request once more. State
    /// [`reuse_grace`](IssuerProfile::reuse_grace) for that case. Otherwise configure
    /// [`recover_with`](crate::TokenProviderBuilder::recover_with), or supply another token with
    /// [`set_long_term_token`](crate::TokenProvider::set_long_term_token).
    Replacing,
}

/// States the fixed properties of an issuer. The provider reads it once, when it is built.
///
/// # Examples
///
/// ```
/// use everbearer::IssuerProfile;
///
/// # fn main() -> Result<(), everbearer::Error> {
/// let profile = IssuerProfile::new("vault").origin("https://api.example.com".parse()?);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct IssuerProfile {
    pub(crate) name: String,
    pub(crate) needs: Needs,
    pub(crate) shares_tokens: bool,
    pub(crate) origin: Option<Origin>,
    pub(crate) secrets: Vec<SecretSource>,
    pub(crate) reuse_grace: Duration,
    pub(crate) client_revokes: bool,
    pub(crate) revocation_ends_long_term: bool,
}

impl IssuerProfile {
    /// Creates the profile of an issuer that exchanges a long-term token. The `Debug` output of the provider
    /// shows the name.
    ///
    /// ```
    /// let profile = everbearer::IssuerProfile::new("vault");
    /// ```
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            needs: Needs::default(),
            shares_tokens: false,
            origin: None,
            secrets: Vec::new(),
            reuse_grace: Duration::ZERO,
            client_revokes: false,
            revocation_ends_long_term: false,
        }
    }

    /// Sets what an exchange needs. Default: [`Needs::LongTerm`].
    ///
    /// ```
    /// use everbearer::{IssuerProfile, Needs};
    ///
    /// let profile = IssuerProfile::new("refresh tokens").needs(Needs::Replacing);
    /// ```
    #[must_use]
    pub const fn needs(mut self, needs: Needs) -> Self {
        self.needs = needs;
        self
    }

    /// Sets whether the server returns the same short-term token to several clients. If it does, the provider
    /// revokes no short-term tokens, since other clients use them. Default: false.
    ///
    /// ```
    /// let profile = everbearer::IssuerProfile::new("vault").shares_tokens(true);
    /// ```
    #[must_use]
    pub const fn shares_tokens(mut self, shares_tokens: bool) -> Self {
        self.shares_tokens = shares_tokens;
        self
    }

    /// Sets the origin to which short-term tokens may be sent, unless
    /// [`TokenProviderBuilder::origins`](crate::TokenProviderBuilder::origins) sets others. Default: none.
    /// Without an origin, the middleware adds the token to no request.
    ///
    /// ```
    /// # fn main() -> Result<(), everbearer::Error> {
    /// let origin = "https://api.example.com".parse()?;
    /// let profile = everbearer::IssuerProfile::new("vault").origin(origin);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn origin(mut self, origin: Origin) -> Self {
        self.origin = Some(origin);
        self
    }

    /// Sets whether the client authorizes revocations, and no token does, as with RFC 7009. A shutdown that revokes the
    /// long-term token then revokes it first, since it could obtain further tokens. Default: false.
    ///
    /// ```
    /// let profile = everbearer::IssuerProfile::new("keycloak").client_revokes(true);
    /// ```
    #[must_use]
    pub const fn client_revokes(mut self, client_revokes: bool) -> Self {
        self.client_revokes = client_revokes;
        self
    }

    /// Sets whether the server may revoke the long-term token when a short-term token is revoked, as RFC 7009, section
    /// 2.1, allows it. The provider then revokes short-term tokens only in a shutdown that revokes the long-term token,
    /// too ([`ShutdownPolicy::revoke_long_term`](crate::ShutdownPolicy::revoke_long_term)). Default: false.
    ///
    /// ```
    /// let profile = everbearer::IssuerProfile::new("oidc-provider").revocation_ends_long_term(true);
    /// ```
    #[must_use]
    pub const fn revocation_ends_long_term(mut self, ends_long_term: bool) -> Self {
        self.revocation_ends_long_term = ends_long_term;
        self
    }

    /// Sets for how long after an exchange the server accepts the replaced long-term token once more, if it needs
    /// [`Needs::Replacing`]. Default: zero, since many servers revoke all tokens when a replaced one is used again.
    ///
    /// It matters if the response of an exchange is lost. Within this time, the provider repeats the exchange. Later,
    /// it does so only when no short-term token of the provider is valid any more, and the store has no newer long-term token.
    ///
    /// ```
    /// use std::time::Duration;
    /// use everbearer::{IssuerProfile, Needs};
    ///
    /// let profile = IssuerProfile::new("okta")
    ///     .needs(Needs::Replacing)
    ///     .reuse_grace(Duration::from_secs(30));
    /// ```
    #[must_use]
    pub const fn reuse_grace(mut self, grace: Duration) -> Self {
        self.reuse_grace = grace;
        self
    }

    /// Adds a secret that the issuer reads for its exchanges. After a refusal, the provider reads the file or
    /// variable again every 30 seconds, and tries a changed value without waiting for a caller.
    ///
    /// ```
    /// use everbearer::{IssuerProfile, SecretSource};
    ///
    /// let secret = SecretSource::file("/run/secrets/client-secret");
    /// let profile = IssuerProfile::new("vault").secret(secret.clone()); // the issuer reads a clone
    /// ```
    #[must_use]
    pub fn secret(mut self, secret: SecretSource) -> Self {
        self.secrets.push(secret);
        self
    }
}

impl Default for IssuerProfile {
    /// Returns a profile with the name `custom`.
    fn default() -> Self {
        Self::new("custom")
    }
}
