//! Builds an [`OAuth2`].

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

use super::client::{Inner, OAuth2};
use super::client_auth::ClientAuth;
use super::clock_skew::ClockSkew;
use super::discovery::{Discovery, Endpoints, Metadata};
use super::endpoint::{Place, TokenEndpoint};
use super::grant::OAuthGrant;
use super::params::Params;
use crate::error::{Error, ErrorKind};
use crate::observe;
use crate::origin::{Origin, PlainHttp};
use crate::secret::SecretSource;
use crate::wire::{Connection, endpoint};

const TIMEOUT: Duration = Duration::from_secs(15);
const TOKEN_URL: (&str, &str) = ("token URL", "https://auth.example.com/token");
const REVOCATION_URL: (&str, &str) = ("revocation URL", "https://auth.example.com/revoke");
const ISSUER: (&str, &str) = ("issuer", "https://auth.example.com");
/// A request takes half of the grace at most.
const SHORTEST_GRACE: Duration = Duration::from_secs(4);

/// Configures an [`OAuth2`]. Every setting has a default.
///
/// # Examples
///
/// ```
/// use everbearer::{OAuth2, SecretSource, TokenEndpoint};
///
/// # fn main() -> Result<(), everbearer::Error> {
/// let server = TokenEndpoint::discover("https://auth.example.com/realms/prod");
/// let issuer = OAuth2::client_credentials(server, "client_abc123", SecretSource::env("CLIENT_SECRET"))
///     .resource("https://api.example.com")
///     .build()?;
/// # Ok(())
/// # }
/// ```
#[must_use]
pub struct OAuth2Builder {
    endpoint: TokenEndpoint,
    grant: OAuthGrant,
    client: ClientAuth,
    params: Params,
    revocation_url: Option<String>,
    transient: Vec<String>,
    shares_tokens: bool,
    revokes_access_tokens: Option<bool>,
    reuse_grace: Duration,
    audience_is_endpoint: bool,
    uses_mtls_aliases: bool,
    http: Option<reqwest::Client>,
    timeout: Duration,
    plain_http: PlainHttp,
}

impl OAuth2Builder {
    pub(super) fn new(endpoint: TokenEndpoint, grant: OAuthGrant, client: ClientAuth) -> Self {
        Self {
            endpoint,
            grant,
            client,
            params: Params::default(),
            revocation_url: None,
            transient: Vec::new(),
            shares_tokens: false,
            revokes_access_tokens: None,
            reuse_grace: Duration::ZERO,
            audience_is_endpoint: false,
            uses_mtls_aliases: false,
            http: None,
            timeout: TIMEOUT,
            plain_http: PlainHttp::by("OAuth2Builder::allow_plain_http_to"),
        }
    }

    /// Sets how the client authenticates, in place of the default of the grant.
    ///
    /// ```
    /// use everbearer::{ClientAuth, OAuth2};
    ///
    /// let builder = OAuth2::client_credentials("https://auth.example.com/token", "id", "secret")
    ///     .client_auth(ClientAuth::post("id", "secret"));
    /// ```
    pub fn client_auth(mut self, client: ClientAuth) -> Self {
        self.client = client;
        self
    }

    /// Adds the parameter `audience`: the API for which the token is issued. Auth0 demands it.
    ///
    /// ```
    /// # fn example(builder: everbearer::OAuth2Builder) {
    /// let builder = builder.audience("https://api.example.com");
    /// # }
    /// ```
    pub fn audience(self, audience: impl Into<String>) -> Self {
        self.param("audience", audience)
    }

    /// Adds the parameter `resource` (RFC 8707). It can be repeated.
    ///
    /// ```
    /// # fn example(builder: everbearer::OAuth2Builder) {
    /// let builder = builder.resource("https://api.example.com").resource("https://jobs.example.com");
    /// # }
    /// ```
    pub fn resource(self, resource: impl Into<String>) -> Self {
        self.param("resource", resource)
    }

    /// Adds a parameter to each token request. A name can be repeated. [`build`](Self::build)
    /// returns an error for a parameter that the grant or the client authentication sets, and for `scope`: use
    /// [`TokenProviderBuilder::scopes`](crate::TokenProviderBuilder::scopes).
    ///
    /// ```
    /// # fn example(builder: everbearer::OAuth2Builder) {
    /// let builder = builder.param("connector_id", "github");
    /// # }
    /// ```
    pub fn param(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.params.text(name.into(), value.into());
        self
    }

    /// Adds a parameter whose value is secret, such as an `actor_token`. It is read for each request, and no error
    /// repeats it.
    ///
    /// ```
    /// use everbearer::SecretSource;
    ///
    /// # fn example(builder: everbearer::OAuth2Builder) {
    /// let builder = builder.secret_param("actor_token", SecretSource::file("/run/secrets/actor"));
    /// # }
    /// ```
    pub fn secret_param(mut self, name: impl Into<String>, value: impl Into<SecretSource>) -> Self {
        self.params.secret(name.into(), value.into());
        self
    }

    /// Sets the revocation endpoint (RFC 7009). Default: that of the discovered metadata. Without one, the shutdown
    /// report lists the tokens as [`Unsupported`](crate::RevocationOutcome::Unsupported).
    ///
    /// ```
    /// # fn example(builder: everbearer::OAuth2Builder) {
    /// let builder = builder.revocation_url("https://auth.example.com/revoke");
    /// # }
    /// ```
    pub fn revocation_url(mut self, url: impl Into<String>) -> Self {
        self.revocation_url = Some(url.into());
        self
    }

    /// Sets whether the server returns the same access token to several clients, as `ServiceNow` and `WSO2` do. If it
    /// does, the provider revokes no access token. Default: false.
    ///
    /// ```
    /// # fn example(builder: everbearer::OAuth2Builder) {
    /// let builder = builder.shares_tokens(true);
    /// # }
    /// ```
    pub fn shares_tokens(mut self, shares_tokens: bool) -> Self {
        self.shares_tokens = shares_tokens;
        self
    }

    /// Sets whether the provider revokes access tokens that it does not use any more, at shutdown and when it evicts a
    /// scope set. Default: true, and false with the grant `refresh_token`, since a server may revoke the refresh token
    /// together with an access token (RFC 7009, section 2.1), as oidc-provider does. A shutdown that revokes the refresh
    /// token revokes the access tokens in any case.
    ///
    /// ```
    /// # fn example(builder: everbearer::OAuth2Builder) {
    /// let builder = builder.revokes_access_tokens(true);
    /// # }
    /// ```
    pub fn revokes_access_tokens(mut self, revokes: bool) -> Self {
        self.revokes_access_tokens = Some(revokes);
        self
    }

    /// Sets whether an exchange may replace the refresh token. Default: true. The provider then makes one exchange at
    /// a time, also across the processes that share its store. If the server keeps the refresh token, `false` allows
    /// exchanges for several scope sets at once; the provider stores a refresh token that comes nevertheless. Other grants
    /// ignore this setting.
    ///
    /// ```
    /// # fn example(builder: everbearer::OAuth2Builder) {
    /// let builder = builder.rotates_refresh_tokens(false);
    /// # }
    /// ```
    pub fn rotates_refresh_tokens(mut self, rotates: bool) -> Self {
        if let OAuthGrant::RefreshToken { is_replaced } = &mut self.grant {
            *is_replaced = rotates;
        }
        self
    }

    /// Sets for how long the server accepts a replaced refresh token once more. Default: zero.
    /// [`guide::oauth2`](crate::guide::oauth2) describes when to set it. The [timeout](Self::timeout) is then at most
    /// half of the grace, so that a request whose response was lost is repeated in time.
    ///
    /// ```
    /// # fn example(builder: everbearer::OAuth2Builder) {
    /// let builder = builder.reuse_grace(std::time::Duration::from_secs(30));
    /// # }
    /// ```
    pub fn reuse_grace(mut self, grace: Duration) -> Self {
        self.reuse_grace = grace;
        self
    }

    /// Sets error codes and statuses after which the provider retries with backoff, and which it would otherwise treat
    /// as a refusal: an `error`, a member of Entra ID's `error_codes`, or a status such as `404`.
    ///
    /// ```
    /// # fn example(builder: everbearer::OAuth2Builder) {
    /// let builder = builder.transient(["50196", "404"]);
    /// # }
    /// ```
    pub fn transient<S: Into<String>>(mut self, codes: impl IntoIterator<Item = S>) -> Self {
        self.transient.extend(codes.into_iter().map(Into::into));
        self
    }

    /// Sets whether the `aud` of the client's assertion is the URL of the endpoint that is called, as Okta demands it, also at the
    /// revocation endpoint. Default: false; see [`ClientAuth::jwt`].
    ///
    /// ```
    /// # fn example(builder: everbearer::OAuth2Builder) {
    /// let builder = builder.audience_is_endpoint(true);
    /// # }
    /// ```
    pub fn audience_is_endpoint(mut self, is_endpoint: bool) -> Self {
        self.audience_is_endpoint = is_endpoint;
        self
    }

    /// Sets whether discovered endpoints are those of `mtls_endpoint_aliases` (RFC 8705, section 5). Default: false.
    ///
    /// ```
    /// # fn example(builder: everbearer::OAuth2Builder) {
    /// let builder = builder.mtls_aliases(true);
    /// # }
    /// ```
    pub fn mtls_aliases(mut self, uses_aliases: bool) -> Self {
        self.uses_mtls_aliases = uses_aliases;
        self
    }

    /// Sets the reqwest client that sends the requests, with its proxy, its certificates and, for mutual TLS, its
    /// identity. Default: a client that [`build`](Self::build) creates.
    ///
    /// Build it with [`redirect::Policy::none`](reqwest::redirect::Policy::none), and set its
    /// [`pool_idle_timeout`](reqwest::ClientBuilder::pool_idle_timeout) to a few seconds, since servers close idle
    /// connections. A client that follows redirects sends no secret to another origin, and the issuer returns an error
    /// for a response from another URL.
    ///
    /// ```
    /// # fn example(builder: everbearer::OAuth2Builder) -> Result<(), reqwest::Error> {
    /// let client = reqwest::Client::builder()
    ///     .redirect(reqwest::redirect::Policy::none())
    ///     .build()?;
    /// let builder = builder.http_client(client);
    /// # Ok(())
    /// # }
    /// ```
    pub fn http_client(mut self, client: reqwest::Client) -> Self {
        self.http = Some(client);
        self
    }

    /// Sets how long one request may take, from its start to the end of the response. Default: 15 s.
    ///
    /// ```
    /// # fn example(builder: everbearer::OAuth2Builder) {
    /// let builder = builder.timeout(std::time::Duration::from_secs(5));
    /// # }
    /// ```
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Allows endpoints with plain http on this host. Secrets are then sent unencrypted. Name the host in full and in
    /// lower case, without a port. Loopback addresses need no permission.
    ///
    /// ```
    /// # fn example(builder: everbearer::OAuth2Builder) {
    /// let builder = builder.allow_plain_http_to("keycloak.internal");
    /// # }
    /// ```
    pub fn allow_plain_http_to(mut self, host: impl Into<String>) -> Self {
        self.plain_http.allow(host.into());
        self
    }

    /// Builds the issuer. It sends nothing.
    ///
    /// # Errors
    ///
    /// Returns [`ErrorKind::Config`] if
    ///
    /// - an endpoint is not a URL, holds a user name, a password or a fragment, or is neither https nor http to a
    ///   loopback address or to a host that [`allow_plain_http_to`](Self::allow_plain_http_to) names;
    /// - the client ID, a secret or a parameter's name is empty, or the grant sets the parameter itself;
    /// - the issuer has a query, or [`mtls_aliases`](Self::mtls_aliases) is set for a token URL;
    /// - [`reuse_grace`](Self::reuse_grace) is shorter than 4 s, or the grant is not `refresh_token`;
    /// - the type of the subject token is empty, or the assertion is invalid, as [`Assertion::sign`] lists it;
    /// - the timeout is zero, or the HTTP client cannot be built, as without a rustls `CryptoProvider`.
    ///
    /// [`Assertion::sign`]: crate::Assertion::sign
    ///
    /// # Examples
    ///
    /// ```
    /// use everbearer::OAuth2;
    ///
    /// assert!(OAuth2::client_credentials("https://auth.example.com/token", "id", "secret").build().is_ok());
    /// assert!(OAuth2::client_credentials("http://auth.example.com/token", "id", "secret").build().is_err());
    /// ```
    pub fn build(self) -> Result<OAuth2, Error> {
        self.plain_http.validate()?;
        self.client.validate()?;
        self.params.validate()?;
        match &self.grant {
            OAuthGrant::JwtBearer(assertion) => assertion.validate()?,
            OAuthGrant::TokenExchange {
                subject,
                subject_type,
            } => {
                subject.validate("the subject token")?;
                if subject_type.is_empty() {
                    return Err(config("the type of the subject token is empty"));
                }
            }
            OAuthGrant::ClientCredentials | OAuthGrant::RefreshToken { .. } => {}
        }
        if self.timeout.is_zero() {
            let text = "OAuth2Builder::timeout is zero; it must be longer than zero";
            return Err(config(text));
        }
        if !self.reuse_grace.is_zero() {
            if !matches!(self.grant, OAuthGrant::RefreshToken { .. }) {
                return Err(config(
                    "OAuth2Builder::reuse_grace is for refresh tokens; remove it",
                ));
            }
            if self.reuse_grace < SHORTEST_GRACE {
                return Err(config(
                    "OAuth2Builder::reuse_grace is shorter than 4 s; set 4 s or more, or none",
                ));
            }
        }
        if self.uses_mtls_aliases && matches!(self.endpoint.0, Place::Url(_)) {
            return Err(config(
                "OAuth2Builder::mtls_aliases is for discovered endpoints; use TokenEndpoint::discover, or pass the URL of \
                 the alias",
            ));
        }
        let revocation = self.revocation_url.as_deref();
        let revocation = revocation.map(|url| endpoint(url, REVOCATION_URL, &self.plain_http));
        let (revocation, revocation_origin) = revocation.transpose()?.unzip();
        let (endpoints, origin) = match self.endpoint.0 {
            Place::Url(url) => {
                let (token, origin) = endpoint(&url, TOKEN_URL, &self.plain_http)?;
                let audience = token.to_string();
                let metadata = Metadata {
                    token,
                    revocation,
                    audience,
                    posts_secret: false,
                };
                (Endpoints::Given(Arc::new(metadata)), origin)
            }
            Place::Issuer(name) => {
                let (issuer, origin) = endpoint(&name, ISSUER, &self.plain_http)?;
                if issuer.query().is_some() {
                    return Err(config("the issuer holds a query; leave it out"));
                }
                let discovery = Discovery {
                    issuer,
                    name,
                    revocation,
                    uses_mtls_aliases: self.uses_mtls_aliases,
                    plain_http: self.plain_http,
                    found: Mutex::new(None),
                };
                (Endpoints::Discovered(Box::new(discovery)), origin)
            }
        };
        let timeout = if self.reuse_grace.is_zero() {
            self.timeout
        } else {
            self.timeout.min(self.reuse_grace / 2)
        };
        let origins = [Some(origin), revocation_origin];
        let origins: Vec<Origin> = origins.into_iter().flatten().collect();
        // A proxy of the environment must not see plain http, to whichever of them it goes.
        let plain = origins.iter().find(|origin| !origin.is_encrypted());
        let Some(least) = plain.or(origins.first()) else {
            return Err(config("there is no endpoint"));
        };
        let connection = Connection::new(self.http, least, timeout)?;
        let exposed = origins.iter().filter(|origin| origin.is_exposed());
        for origin in exposed {
            observe::log_exposed_auth_server(&origin.to_string());
        }
        let is_refresh = matches!(self.grant, OAuthGrant::RefreshToken { .. });
        let keeps_access_tokens = !self.revokes_access_tokens.unwrap_or(!is_refresh);
        Ok(OAuth2(Arc::new(Inner {
            endpoints,
            grant: self.grant,
            client: self.client,
            params: self.params,
            connection,
            transient: self.transient,
            shares_tokens: self.shares_tokens,
            keeps_access_tokens,
            reuse_grace: self.reuse_grace,
            audience_is_endpoint: self.audience_is_endpoint,
            skew: ClockSkew::default(),
        })))
    }
}

fn config(text: &str) -> Error {
    Error::own(ErrorKind::Config, text)
}

impl fmt::Debug for OAuth2Builder {
    /// Leaves out the URLs, which are not validated yet and may contain a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OAuth2Builder")
            .field("grant", &self.grant.as_str())
            .field("client", &self.client)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}
