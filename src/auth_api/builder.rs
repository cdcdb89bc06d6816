//! How an [`AuthApi`] is configured.

use std::fmt;
use std::time::Duration;

use http::HeaderValue;
use reqwest::Url;

use super::AuthApi;
use crate::error::{Error, ErrorKind};
use crate::observe;
use crate::origin::{Origin, PlainHttp};
use crate::wire::Connection;

const TIMEOUT: Duration = Duration::from_secs(15);

/// Configures an [`AuthApi`].
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use everbearer::AuthApi;
///
/// # fn main() -> Result<(), everbearer::Error> {
/// let api = AuthApi::builder("https://api.example.com/v1")
///     .client_id("client_abc123")
///     .timeout(Duration::from_secs(10))
///     .build()?;
/// # Ok(())
/// # }
/// ```
#[must_use]
pub struct AuthApiBuilder {
    base_url: String,
    http: Option<reqwest::Client>,
    client_id: Option<String>,
    timeout: Duration,
    plain_http: PlainHttp,
}

impl AuthApiBuilder {
    pub(super) fn new(base_url: &str) -> Self {
        Self {
            base_url: base_url.to_owned(),
            http: None,
            client_id: None,
            timeout: TIMEOUT,
            plain_http: PlainHttp::by("AuthApiBuilder::allow_plain_http_to"),
        }
    }

    /// Allows a base URL with plain http to this host, such as `auth.internal` in a service mesh or a compose
    /// network: secrets are sent there unencrypted. The host must be named in full and in lower case, without
    /// a port. Building the [`AuthApi`] logs a warning if its base URL makes use of this.
    ///
    /// This says nothing about where the short-term token may go: see
    /// [`TokenProviderBuilder::allow_plain_http_to`](crate::TokenProviderBuilder::allow_plain_http_to).
    ///
    /// ```
    /// # fn main() -> Result<(), everbearer::Error> {
    /// let api = everbearer::AuthApi::builder("http://auth.internal:8080/v1")
    ///     .allow_plain_http_to("auth.internal")
    ///     .build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn allow_plain_http_to(mut self, host: impl Into<String>) -> Self {
        self.plain_http.allow(host.into());
        self
    }

    /// Goes through this client, with its proxy, its certificates and its connections, instead of
    /// one of its own.
    ///
    /// Build it with [`redirect::Policy::none`](reqwest::redirect::Policy::none). One that follows
    /// redirects takes no secret elsewhere, since bodies are sent in a way that it cannot send
    /// again, and it drops credentials when it changes the origin; an answer from another URL than
    /// the one that was asked is refused. If it has a proxy, calls on plain http, to a loopback address
    /// or to a host that [`allow_plain_http_to`](Self::allow_plain_http_to) names, go there in the clear; a client
    /// of its own takes no proxy for those.
    ///
    /// Set its [`pool_idle_timeout`](reqwest::ClientBuilder::pool_idle_timeout) to a few seconds: servers
    /// and middleboxes close idle connections, often silently, and a call on such a connection may fail or
    /// time out. A repeated call goes through this client, too, and may meet another such connection.
    pub fn http_client(mut self, client: reqwest::Client) -> Self {
        self.http = Some(client);
        self
    }

    /// Sends this client ID, which is no secret, as `X-Client-Id` with every call. Without it, a
    /// request for a long-term token still says whose it is.
    pub fn client_id(mut self, id: impl Into<String>) -> Self {
        self.client_id = Some(id.into());
        self
    }

    /// How long one call may take, from its beginning to the end of the answer. Default: 15 s.
    /// The client that is built without [`http_client`](Self::http_client) also has a connect timeout
    /// of 5 s, and closes idle connections after 2 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The configured [`AuthApi`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] if the base URL is none, is neither https nor http to a loopback address or to a
    /// host that [`allow_plain_http_to`](Self::allow_plain_http_to) names, or holds a user name, a password, a query or a fragment; if the client ID cannot stand in a
    /// header; if the timeout is zero; or if the HTTP client cannot be built.
    ///
    /// With reqwest's feature `rustls-no-provider`, the client cannot be built until a process-wide
    /// rustls `CryptoProvider` is installed. reqwest then panics: the panic hook runs before the error
    /// is returned, and with `panic = "abort"` the process aborts.
    pub fn build(self) -> Result<AuthApi, Error> {
        self.plain_http.validate()?;
        // The error does not repeat the URL, which may hold a password.
        let base = Url::parse(&self.base_url).map_err(|error| {
            config(&format!(
                "the base URL is not a URL ({error}); it must look like https://api.example.com/v1"
            ))
        })?;
        if !base.username().is_empty() || base.password().is_some() {
            return Err(config(
                "the base URL holds a user name or a password; leave them out",
            ));
        }
        let host = base.host_str().unwrap_or_default();
        let origin = Origin::of(base.scheme(), host, base.port(), &self.plain_http)?;
        if !matches!(base.scheme(), "http" | "https") {
            return Err(config("the base URL is not an https URL; use https"));
        }
        if base.query().is_some() || base.fragment().is_some() {
            return Err(config(
                "the base URL holds a query or a fragment; leave them out",
            ));
        }
        if self.timeout.is_zero() {
            return Err(config(
                "the timeout of AuthApi is zero; it must be longer than zero",
            ));
        }
        let client_id = self
            .client_id
            .map(HeaderValue::try_from)
            .transpose()
            .map_err(|_| config("the client ID holds characters that cannot stand in a header"))?;
        let connection = Connection::new(self.http, &origin, self.timeout)?;
        if origin.is_exposed() {
            observe::log_exposed_auth_server(&origin.to_string());
        }
        Ok(AuthApi {
            base,
            origin,
            client_id,
            connection,
        })
    }
}

fn config(text: &str) -> Error {
    Error::own(ErrorKind::Config, text)
}

impl fmt::Debug for AuthApiBuilder {
    /// Without the base URL, which is not checked yet and may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthApiBuilder")
            .field("client_id", &self.client_id)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}
