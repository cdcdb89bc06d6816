//! What is fixed about an issuer.

use crate::origin::Origin;

/// What an issuer's exchange needs.
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
    /// No long-term token: the issuer authenticates by itself, such as with OAuth client credentials
    /// (RFC 6749, section 4.4). The provider starts from [`Credential::None`](crate::Credential::None).
    Nothing,
    /// A long-term token, which serves any number of exchanges.
    #[default]
    LongTerm,
    /// A long-term token that an exchange may end, and
    /// [replace](crate::ExchangeResponse::replacing), as OAuth servers that rotate refresh tokens do
    /// (RFC 9700, section 4.14.2). The provider then makes one exchange at a time, over all scope sets and all
    /// processes that share the store.
    ///
    /// If the answer to such an exchange is lost, the token is lost with it, unless the server answers the same
    /// request once more: configure [`recover_with`](crate::TokenProviderBuilder::recover_with).
    Replacing,
}

/// What is fixed about an issuer. The provider reads it once, when it is built.
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
}

impl IssuerProfile {
    /// Creates the profile of an issuer that exchanges a long-term token. The name stands in the `Debug` of the
    /// provider.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            needs: Needs::default(),
            shares_tokens: false,
            origin: None,
        }
    }

    /// Sets what an exchange needs. Default: [`Needs::LongTerm`].
    #[must_use]
    pub const fn needs(mut self, needs: Needs) -> Self {
        self.needs = needs;
        self
    }

    /// Sets whether the server hands the same short-term token to all clients that ask. The provider then does
    /// not revoke short-term tokens, since other clients use them. Default: false.
    #[must_use]
    pub const fn shares_tokens(mut self, shares_tokens: bool) -> Self {
        self.shares_tokens = shares_tokens;
        self
    }

    /// Sets the origin to which short-term tokens go unless
    /// [`TokenProviderBuilder::origins`](crate::TokenProviderBuilder::origins) names others. Default: none, and
    /// without any origin, no request is given a token.
    #[must_use]
    pub fn origin(mut self, origin: Origin) -> Self {
        self.origin = Some(origin);
        self
    }
}

impl Default for IssuerProfile {
    /// A profile with the name `custom`.
    fn default() -> Self {
        Self::new("custom")
    }
}
