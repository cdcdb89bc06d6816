//! How the client authenticates, at the token endpoint and at the revocation endpoint alike.

use std::fmt;
use std::time::SystemTime;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use http::HeaderValue;

use super::request::Request;
use crate::assertion::Assertion;
use crate::error::{Error, ErrorKind};
use crate::secret::{Secret, SecretSource};
use crate::wire::form_encoded;

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Selects how the client authenticates to the OAuth server (RFC 6749, section 2.3). Exactly one way is used, the
/// same at the token endpoint and at the revocation endpoint. Secrets are read for each request.
///
/// # Examples
///
/// ```
/// use everbearer::{ClientAuth, SecretSource};
///
/// let client = ClientAuth::post("client_abc123", SecretSource::env("CLIENT_SECRET"));
/// ```
#[derive(Clone)]
pub struct ClientAuth {
    client_id: String,
    method: Method,
}

#[derive(Clone)]
enum Method {
    /// `client_secret_basic`, unless the server's metadata names `client_secret_post` only.
    Secret(SecretSource),
    Basic(SecretSource),
    BasicUnencoded(SecretSource),
    Post(SecretSource),
    Jwt(Assertion),
    Assertion(SecretSource),
    Public,
    None,
}

impl ClientAuth {
    fn new(client_id: impl Into<String>, method: Method) -> Self {
        Self {
            client_id: client_id.into(),
            method,
        }
    }

    pub(super) fn secret(id: impl Into<String>, secret: impl Into<SecretSource>) -> Self {
        Self::new(id, Method::Secret(secret.into()))
    }

    /// Sends the ID and the secret as HTTP Basic credentials, both form-encoded first (RFC 6749, section 2.3.1).
    ///
    /// ```
    /// let client = everbearer::ClientAuth::basic("client_abc123", "correct-horse");
    /// ```
    pub fn basic(client_id: impl Into<String>, secret: impl Into<SecretSource>) -> Self {
        Self::new(client_id, Method::Basic(secret.into()))
    }

    /// Sends the ID and the secret as HTTP Basic credentials without encoding them, for servers that do not decode
    /// them. This differs from [`basic`](Self::basic) only if one of them has other characters than letters, digits,
    /// `-`, `.`, `_` and `*`.
    ///
    /// ```
    /// let client = everbearer::ClientAuth::basic_unencoded("client_abc123", "correct horse");
    /// ```
    pub fn basic_unencoded(client_id: impl Into<String>, secret: impl Into<SecretSource>) -> Self {
        Self::new(client_id, Method::BasicUnencoded(secret.into()))
    }

    /// Sends the ID and the secret in the body, as `client_id` and `client_secret`.
    ///
    /// ```
    /// let client = everbearer::ClientAuth::post("client_abc123", "correct-horse");
    /// ```
    pub fn post(client_id: impl Into<String>, secret: impl Into<SecretSource>) -> Self {
        Self::new(client_id, Method::Post(secret.into()))
    }

    /// Signs a new assertion for each request (RFC 7523, section 2.2): `private_key_jwt`, or with
    /// `Assertion::client_secret` `client_secret_jwt`. The issuer of the assertion is the client ID. Its `aud` is the
    /// issuer if the endpoint is [discovered](super::TokenEndpoint::discover), and otherwise the URL of the token
    /// endpoint, also for revocations.
    ///
    /// ```
    /// # fn example(signer: impl everbearer::AssertionSigner) {
    /// use everbearer::{Assertion, ClientAuth};
    ///
    /// let client = ClientAuth::jwt(Assertion::new("client_abc123", signer).key_id("2026-11"));
    /// # }
    /// ```
    pub fn jwt(assertion: Assertion) -> Self {
        let client_id = assertion.issuer().to_owned();
        Self::new(client_id, Method::Jwt(assertion))
    }

    /// Sends an assertion that another program writes, such as a projected token of Kubernetes for workload identity.
    ///
    /// ```
    /// use everbearer::{ClientAuth, SecretSource};
    ///
    /// let jwt = SecretSource::file("/var/run/secrets/azure/tokens/azure-identity-token");
    /// let client = ClientAuth::assertion("client_abc123", jwt);
    /// ```
    pub fn assertion(client_id: impl Into<String>, jwt: impl Into<SecretSource>) -> Self {
        Self::new(client_id, Method::Assertion(jwt.into()))
    }

    /// Sends the client ID only: for a public client, and for mutual TLS (RFC 8705) with the certificate of
    /// [`OAuth2Builder::http_client`](super::OAuth2Builder::http_client).
    ///
    /// ```
    /// let client = everbearer::ClientAuth::public("client_abc123");
    /// ```
    pub fn public(client_id: impl Into<String>) -> Self {
        Self::new(client_id, Method::Public)
    }

    /// Sends nothing, where the grant alone identifies the client.
    ///
    /// ```
    /// let client = everbearer::ClientAuth::none();
    /// ```
    pub const fn none() -> Self {
        Self {
            client_id: String::new(),
            method: Method::None,
        }
    }

    /// Checks what can be checked without reading a secret.
    pub(super) fn validate(&self) -> Result<(), Error> {
        let has_id = !self.client_id.is_empty() || matches!(self.method, Method::None);
        if !has_id {
            return Err(Error::own(ErrorKind::Config, "the client ID is empty"));
        }
        match &self.method {
            Method::Secret(it)
            | Method::Basic(it)
            | Method::BasicUnencoded(it)
            | Method::Post(it) => it.validate("the client secret"),
            Method::Assertion(it) => it.validate("the client assertion"),
            Method::Jwt(it) => it.validate(),
            Method::Public | Method::None => Ok(()),
        }
    }

    /// Returns the secret that authenticates the client.
    pub(super) const fn source(&self) -> Option<&SecretSource> {
        match &self.method {
            Method::Secret(it)
            | Method::Basic(it)
            | Method::BasicUnencoded(it)
            | Method::Post(it)
            | Method::Assertion(it) => Some(it),
            Method::Jwt(it) => it.secret(),
            Method::Public | Method::None => None,
        }
    }

    /// Returns whether a request must not be sent twice, since an assertion is valid once.
    pub(super) const fn is_used_once(&self) -> bool {
        matches!(self.method, Method::Jwt(_))
    }

    /// Adds what authenticates the client to a request. `posts_secret`: the server's metadata names
    /// `client_secret_post`, and not `client_secret_basic`.
    pub(super) async fn authenticate(
        &self,
        request: &mut Request,
        audience: &str,
        posts_secret: bool,
        now: SystemTime,
    ) -> Result<(), Error> {
        let form = &mut request.form;
        match &self.method {
            Method::Secret(source) if posts_secret => {
                form.text("client_id", self.client_id.as_str());
                form.secret("client_secret", source.read().await?);
            }
            Method::Secret(source) | Method::Basic(source) => {
                let secret = source.read().await?;
                let id = form_encoded(&Secret::from(self.client_id.as_str()));
                let encoded = form_encoded(&secret);
                request.basic(id.expose(), &encoded)?;
                request.hidden.extend([secret, encoded]);
            }
            Method::BasicUnencoded(source) => {
                let secret = source.read().await?;
                request.basic(&self.client_id, &secret)?;
                request.hidden.push(secret);
            }
            Method::Post(source) => {
                form.text("client_id", self.client_id.as_str());
                form.secret("client_secret", source.read().await?);
            }
            Method::Jwt(assertion) => {
                let jwt = assertion.sign_at(audience, now, &[]).await?;
                form.text("client_id", self.client_id.as_str());
                form.text("client_assertion_type", ASSERTION_TYPE);
                form.secret("client_assertion", jwt);
            }
            Method::Assertion(source) => {
                form.text("client_id", self.client_id.as_str());
                form.text("client_assertion_type", ASSERTION_TYPE);
                form.secret("client_assertion", source.read().await?);
            }
            Method::Public => form.text("client_id", self.client_id.as_str()),
            Method::None => {}
        }
        Ok(())
    }
}

impl Request {
    fn basic(&mut self, id: &str, secret: &Secret) -> Result<(), Error> {
        let credentials = Secret::from(format!("{id}:{}", secret.expose()));
        let encoded = Secret::from(BASE64.encode(credentials.expose()));
        let header = Secret::from(format!("Basic {}", encoded.expose()));
        let mut header = HeaderValue::from_str(header.expose())
            .map_err(|_| Error::own(ErrorKind::Config, "the client secret cannot be sent"))?;
        header.set_sensitive(true);
        self.authorization = Some(header);
        self.hidden.push(encoded);
        Ok(())
    }
}

impl fmt::Debug for ClientAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let method = match &self.method {
            Method::Secret(_) | Method::Basic(_) => "client_secret_basic",
            Method::BasicUnencoded(_) => "client_secret_basic, unencoded",
            Method::Post(_) => "client_secret_post",
            Method::Jwt(_) => "jwt",
            Method::Assertion(_) => "assertion",
            Method::Public => "public",
            Method::None => "none",
        };
        f.debug_struct("ClientAuth")
            .field("client_id", &self.client_id)
            .field("method", &method)
            .finish()
    }
}
