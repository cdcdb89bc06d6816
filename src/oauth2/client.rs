//! The client of an OAuth server, and what it knows of the server.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::client_auth::ClientAuth;
use super::clock_skew::ClockSkew;
use super::discovery::Endpoints;
use super::grant::OAuthGrant;
use super::params::Params;
use crate::wire::Connection;

/// Obtains tokens from an OAuth 2.0 server (RFC 6749) and revokes them (RFC 7009); needs the feature `oauth2`.
///
/// In OAuth, the short-term token is the access token. A long-term token exists only with the grant
/// [`refresh_token`](Self::refresh_token), where it is the refresh token. With the other grants, a client secret,
/// a key or a token of another server takes its place, which the issuer reads for each request, and the provider
/// starts with [`Credential::None`](crate::Credential::None).
///
/// A clone shares the connections and the discovered metadata. [`guide::oauth2`](crate::guide::oauth2) has a recipe
/// for each provider that needs more than the defaults.
///
/// # Examples
///
/// ```
/// use everbearer::OAuth2;
///
/// # fn main() -> Result<(), everbearer::Error> {
/// let provider = OAuth2::client_credentials("https://auth.example.com/token", "client_abc123", "correct-horse")
///     .audience("https://api.example.com")
///     .provider()?
///     .origins(["https://api.example.com"])
///     .build()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct OAuth2(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) endpoints: Endpoints,
    pub(super) grant: OAuthGrant,
    pub(super) client: ClientAuth,
    pub(super) params: Params,
    pub(super) connection: Connection,
    /// Error codes and statuses after which a request is retried.
    pub(super) transient: Vec<String>,
    pub(super) shares_tokens: bool,
    pub(super) keeps_access_tokens: bool,
    pub(super) reuse_grace: Duration,
    pub(super) audience_is_endpoint: bool,
    pub(super) skew: ClockSkew,
}

impl fmt::Debug for OAuth2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OAuth2")
            .field("endpoints", &self.0.endpoints)
            .field("grant", &self.0.grant.as_str())
            .field("client", &self.0.client)
            .finish_non_exhaustive()
    }
}
