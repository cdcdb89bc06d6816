//! Builds an [`AuthApi`].

use std::fmt;
use std::time::Duration;

use http::HeaderValue;

use super::client::AuthApi;
use crate::error::{Error, ErrorKind};
use crate::observe;
use crate::origin::PlainHttp;
use crate::wire::{Connection, endpoint};

const TIMEOUT: Duration = Duration::from_secs(15);
const BASE_URL: (&str, &str) = ("base URL", "https://api.example.com/v1");

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

impl AuthApi {
    /// Returns a client of the auth server at this base URL, such as `https://api.example.com/v1`, with the
    /// default settings of [`AuthApiBuilder`]. It makes no call.
    ///
    /// # Errors
    ///
    /// As [`AuthApiBuilder::build`]: [`ErrorKind::Config`] if the base URL is not a URL, is neither https nor
    /// http to a loopback address, or holds a user name, a password, a query or a fragment, or if the HTTP
    /// client cannot be built.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), everbearer::Error> {
    /// let api = everbearer::AuthApi::new("https://api.example.com/v1")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn new(base_url: impl AsRef<str>) -> Result<Self, Error> {
        Self::builder(base_url).build()
    }

    /// Returns a builder for a client of the auth server at this base URL.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), everbearer::Error> {
    /// let api = everbearer::AuthApi::builder("https://api.example.com/v1")
    ///     .client_id("client_abc123")
    ///     .build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn builder(base_url: impl AsRef<str>) -> AuthApiBuilder {
        AuthApiBuilder::new(base_url.as_ref())
    }
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
    /// network. Secrets are then sent unencrypted. Name the host in full and in lower case, without a port.
    /// [`build`](Self::build) logs a warning if the base URL needs this permission.
    ///
    /// It does not allow sending short-term tokens over plain http: see
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

    /// Sets the reqwest client that sends the calls, with its proxy, its certificates and its connections.
    /// Default: a client that [`build`](Self::build) creates.
    ///
    /// Build it with [`redirect::Policy::none`](reqwest::redirect::Policy::none). A client that follows
    /// redirects sends no secret to another origin: it cannot send the bodies again, and it drops credentials
    /// when the origin changes. `AuthApi` returns an error for a response from another URL than the one it
    /// called.
    ///
    /// If the client has a proxy, calls over plain http go through the proxy unencrypted, to a loopback
    /// address or to a host that [`allow_plain_http_to`](Self::allow_plain_http_to) names. The default client
    /// uses no proxy for such calls.
    ///
    /// Set its [`pool_idle_timeout`](reqwest::ClientBuilder::pool_idle_timeout) to a few seconds. Servers and
    /// middleboxes close idle connections, often silently, and a call on such a connection may fail or time
    /// out. The repetition of a failed call uses the same client, and may get another such connection.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let client = reqwest::Client::builder()
    ///     .redirect(reqwest::redirect::Policy::none())
    ///     .pool_idle_timeout(Duration::from_secs(2))
    ///     .build()?;
    /// let builder = everbearer::AuthApi::builder("https://api.example.com/v1").http_client(client);
    /// # Ok(())
    /// # }
    /// ```
    pub fn http_client(mut self, client: reqwest::Client) -> Self {
        self.http = Some(client);
        self
    }

    /// Sets the client ID that each call sends as `X-Client-Id`. The ID is not a secret. Default: a request
    /// for a long-term token sends its own client ID in this header, and other calls send none.
    ///
    /// ```
    /// let builder = everbearer::AuthApi::builder("https://api.example.com/v1").client_id("client_abc123");
    /// ```
    pub fn client_id(mut self, id: impl Into<String>) -> Self {
        self.client_id = Some(id.into());
        self
    }

    /// Sets how long one call may take, from its start to the end of the response. Default: 15 s.
    ///
    /// The default [client](Self::http_client) also has a connect timeout of 5 s, and closes idle connections
    /// after 2 s.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let builder = everbearer::AuthApi::builder("https://api.example.com/v1")
    ///     .timeout(Duration::from_secs(10));
    /// ```
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Builds the [`AuthApi`]. It makes no call.
    ///
    /// # Errors
    ///
    /// Returns [`ErrorKind::Config`] if
    ///
    /// - the base URL is not a URL, or holds a user name, a password, a query or a fragment;
    /// - the base URL is neither https nor http to a loopback address or to a host that
    ///   [`allow_plain_http_to`](Self::allow_plain_http_to) names;
    /// - the client ID cannot be sent in a header;
    /// - the timeout is zero;
    /// - the HTTP client cannot be built.
    ///
    /// With reqwest's feature `rustls-no-provider`, the client cannot be built until a rustls
    /// `CryptoProvider` is installed for the process. reqwest panics in that case: the panic hook runs before
    /// this method returns the error, and with `panic = "abort"` the process aborts.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), everbearer::Error> {
    /// let api = everbearer::AuthApi::builder("https://api.example.com/v1").build()?;
    /// assert!(everbearer::AuthApi::builder("http://api.example.com/v1").build().is_err());
    /// # Ok(())
    /// # }
    /// ```
    pub fn build(self) -> Result<AuthApi, Error> {
        self.plain_http.validate()?;
        let (base, origin) = endpoint(&self.base_url, BASE_URL, &self.plain_http)?;
        if base.query().is_some() {
            return Err(config(
                "the base URL holds a query or a fragment; leave them out",
            ));
        }
        if self.timeout.is_zero() {
            return Err(config(
                "AuthApiBuilder::timeout is zero; it must be longer than zero",
            ));
        }
        let client_id = self
            .client_id
            .map(HeaderValue::try_from)
            .transpose()
            .map_err(|_| config("the client ID holds characters that a header cannot hold"))?;
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
    /// Leaves out the base URL, which is not validated yet and may contain a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthApiBuilder")
            .field("client_id", &self.client_id)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}
