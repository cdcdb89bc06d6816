//! The JWTs: their claims and their header.

use std::fmt;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

#[cfg(feature = "assertion")]
use super::client_secret::ClientSecret;
use super::signer::AssertionSigner;
use crate::clock::{Clock, SystemClock};
use crate::error::{Error, ErrorKind};
use crate::secret::{Secret, SecretSource};

/// Creates signed JWTs, a new one for each request: for client authentication with `private_key_jwt` or
/// `client_secret_jwt`, for the JWT bearer grant (RFC 7523), or for an issuer of your own.
///
/// By default, a JWT has `iss` and `sub`, both with the issuer; `aud`, the server; `iat`, 10 seconds ago, so
/// that a server whose clock is behind accepts the JWT; `exp`, 60 seconds after `iat`; and a random `jti`. It
/// has no `nbf`.
///
/// # Examples
///
/// ```
/// # use everbearer::{AssertionSigner, Error, async_trait};
/// # struct Key;
/// # #[async_trait]
/// # impl AssertionSigner for Key {
/// #     fn algorithm(&self) -> &str { "RS256" }
/// #     async fn sign(&self, _: &[u8]) -> Result<Vec<u8>, Error> { Ok(vec![1]) }
/// # }
/// use std::time::Duration;
/// use everbearer::Assertion;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Error> {
/// # let key = Key;
/// // The JWT of a GitHub App.
/// let assertion = Assertion::new("1234567", key)
///     .backdate(Duration::from_secs(60))
///     .lifetime(Duration::from_secs(600));
/// let jwt = assertion.sign("https://api.github.com").await?;
/// assert_eq!(jwt.expose().split('.').count(), 3);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Assertion {
    issuer: String,
    signer: Arc<dyn AssertionSigner>,
    audience: Option<String>,
    lifetime: Duration,
    backdate: Duration,
    claims: Map<String, Value>,
    header: Map<String, Value>,
    /// The secret that signs, if the signer reads one.
    secret: Option<SecretSource>,
}

impl Assertion {
    /// Creates assertions of this issuer: the client ID, or the account that the JWT names.
    ///
    /// ```
    /// # fn example(signer: impl everbearer::AssertionSigner) {
    /// let assertion = everbearer::Assertion::new("client_abc123", signer);
    /// # }
    /// ```
    pub fn new(issuer: impl Into<String>, signer: impl AssertionSigner) -> Self {
        Self {
            issuer: issuer.into(),
            signer: Arc::new(signer),
            audience: None,
            lifetime: Duration::from_secs(60),
            backdate: Duration::from_secs(10),
            claims: Map::new(),
            header: Map::new(),
            secret: None,
        }
    }

    /// Creates assertions that are signed with a client secret, by HS256: `client_secret_jwt` (`OpenID`
    /// Connect Core 1.0, section 9). Needs the feature `assertion`. The secret is read for each JWT.
    ///
    /// ```
    /// use everbearer::{Assertion, SecretSource};
    ///
    /// let secret = SecretSource::file("/run/secrets/client-secret");
    /// let assertion = Assertion::client_secret("client_abc123", secret);
    /// ```
    #[cfg(feature = "assertion")]
    pub fn client_secret(client_id: impl Into<String>, secret: impl Into<SecretSource>) -> Self {
        let secret = secret.into();
        let signer = ClientSecret(secret.clone());
        Self {
            secret: Some(secret),
            ..Self::new(client_id, signer)
        }
    }

    /// Sets the `aud`, by which the server recognizes that the JWT is meant for it. Default: what the caller
    /// of [`sign`](Self::sign) names, such as the URL of the token endpoint.
    ///
    /// ```
    /// # fn example(assertion: everbearer::Assertion) {
    /// let assertion = assertion.audience("https://auth.example.com");
    /// # }
    /// ```
    #[must_use]
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audience = Some(audience.into());
        self
    }

    /// Sets the `kid` of the header, by which the server finds the public key. Default: none.
    ///
    /// ```
    /// # fn example(assertion: everbearer::Assertion) {
    /// let assertion = assertion.key_id("2026-11");
    /// # }
    /// ```
    #[must_use]
    pub fn key_id(self, key_id: impl Into<String>) -> Self {
        self.header("kid", key_id.into())
    }

    /// Sets how long after `iat` the JWT expires: longer than the [backdate](Self::backdate). Default: 60 s. Some servers refuse a longer lifetime than
    /// they allow.
    ///
    /// ```
    /// # fn example(assertion: everbearer::Assertion) {
    /// let assertion = assertion.lifetime(std::time::Duration::from_secs(300));
    /// # }
    /// ```
    #[must_use]
    pub const fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// Sets how long ago `iat` lies, for servers whose clock is behind. Default: 10 s.
    ///
    /// ```
    /// # fn example(assertion: everbearer::Assertion) {
    /// use std::time::Duration;
    ///
    /// let assertion = assertion.backdate(Duration::from_secs(60)).lifetime(Duration::from_secs(120));
    /// # }
    /// ```
    #[must_use]
    pub const fn backdate(mut self, backdate: Duration) -> Self {
        self.backdate = backdate;
        self
    }

    /// Sets a claim, also one that the JWT has by default. `null` leaves the claim out.
    ///
    /// ```
    /// # fn example(assertion: everbearer::Assertion) {
    /// let assertion = assertion.claim("sub", "user@example.com").claim("jti", serde_json::Value::Null);
    /// # }
    /// ```
    #[must_use]
    pub fn claim(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.claims.insert(name.into(), value.into());
        self
    }

    /// Sets a parameter of the header, such as `x5t#S256`. `null` leaves the parameter out.
    ///
    /// ```
    /// # fn example(assertion: everbearer::Assertion) {
    /// let assertion = assertion.header("x5t#S256", "bxZ0N8E0bsXyDUcPBjFY2Vg6T1EkeO0b8MGKz2nTp8Y");
    /// # }
    /// ```
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.header.insert(name.into(), value.into());
        self
    }

    /// Signs a new JWT. `audience` is its `aud`, unless [`audience`](Self::audience) sets another.
    ///
    /// # Errors
    ///
    /// Returns the error of the signer; [`ErrorKind::Config`] if the assertion has no issuer, an empty audience or key ID,
    /// an `alg` of its own, or a lifetime that is not longer than the backdate, if the signer names no algorithm, or if
    /// this machine's clock is before 1970; [`ErrorKind::Issuer`] if the signature is empty.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the signer's future.
    ///
    /// # Examples
    ///
    /// ```
    /// # async fn example(assertion: everbearer::Assertion) -> Result<(), everbearer::Error> {
    /// let jwt = assertion.sign("https://auth.example.com/token").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn sign(&self, audience: &str) -> Result<Secret, Error> {
        self.validate()?;
        self.sign_at(audience, SystemClock.wall(), &[]).await
    }

    /// Signs a new JWT that is issued at this time, with these claims besides.
    pub(crate) async fn sign_at(
        &self,
        audience: &str,
        now: SystemTime,
        claims: &[(&str, String)],
    ) -> Result<Secret, Error> {
        let issued_at = now.duration_since(UNIX_EPOCH).map_err(|_| {
            Error::own(
                ErrorKind::Config,
                "the machine's clock is before 1970, so an assertion cannot state when it was issued; set the \
                 clock",
            )
        })?;
        let issued_at = issued_at.saturating_sub(self.backdate);
        let expires_at = issued_at.saturating_add(self.lifetime);
        let mut all = Map::from_iter([
            ("iss".to_owned(), json!(self.issuer)),
            ("sub".to_owned(), json!(self.issuer)),
            (
                "aud".to_owned(),
                json!(self.audience.as_deref().unwrap_or(audience)),
            ),
            ("iat".to_owned(), json!(issued_at.as_secs())),
            ("exp".to_owned(), json!(expires_at.as_secs())),
            ("jti".to_owned(), json!(fresh_id()?)),
        ]);
        let claims = claims
            .iter()
            .map(|(name, value)| ((*name).to_owned(), json!(value)));
        all.extend(claims);
        let claims = overridden(all, &self.claims);
        let mut jwt = format!(
            "{}.{}",
            encode(self.algorithm_and_header()?),
            encode(claims)
        );
        let signature = Zeroizing::new(self.signer.sign(jwt.as_bytes()).await?);
        if signature.is_empty() {
            return Err(Error::own(
                ErrorKind::Issuer,
                "the assertion's signer returned an empty signature",
            ));
        }
        jwt.push('.');
        BASE64.encode_string(&*signature, &mut jwt);
        Ok(Secret::from(jwt))
    }

    /// Checks what can be checked without signing.
    pub(crate) fn validate(&self) -> Result<(), Error> {
        let is_empty_text = |value: Option<&Value>| value.is_some_and(|value| value == "");
        let what = if self.issuer.is_empty() {
            "issuer is empty"
        } else if self.audience.as_deref() == Some("") {
            "audience is empty"
        } else if is_empty_text(self.header.get("kid")) {
            "key ID is empty"
        } else if self.header.contains_key("alg") {
            "`alg` is the signer's; do not set it"
        } else if self.lifetime < self.backdate + Duration::from_secs(1) {
            "lifetime, which counts from `iat`, must be longer than the backdate"
        } else {
            let secret = self.secret.as_ref();
            return secret.map_or(Ok(()), |it| it.validate("the client secret"));
        };
        let text = format!("the assertion's {what}");
        Err(Error::own(ErrorKind::Config, text))
    }

    /// Returns who issues the assertions.
    #[cfg(feature = "oauth2")]
    pub(crate) fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Returns the secret that signs, if the signer reads one.
    #[cfg(feature = "oauth2")]
    pub(crate) const fn secret(&self) -> Option<&SecretSource> {
        self.secret.as_ref()
    }

    fn algorithm_and_header(&self) -> Result<Map<String, Value>, Error> {
        let algorithm = self.signer.algorithm();
        if algorithm.is_empty() || algorithm.eq_ignore_ascii_case("none") {
            return Err(Error::own(
                ErrorKind::Config,
                "the assertion's signer returned no algorithm; it must return one such as ES256",
            ));
        }
        let header = [
            ("alg".to_owned(), json!(algorithm)),
            ("typ".to_owned(), json!("JWT")),
        ];
        Ok(overridden(Map::from_iter(header), &self.header))
    }
}

impl fmt::Debug for Assertion {
    /// Without the signer, whose `Debug` may be a user's, and without the values of claims.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Assertion")
            .field("issuer", &self.issuer)
            .field("audience", &self.audience)
            .field("lifetime", &self.lifetime)
            .field("backdate", &self.backdate)
            .finish_non_exhaustive()
    }
}

/// Returns the members with those that were set, and without those that were set to `null`.
fn overridden(mut members: Map<String, Value>, set: &Map<String, Value>) -> Map<String, Value> {
    members.extend(set.clone());
    members.retain(|_, value| !value.is_null());
    members
}

fn encode(members: Map<String, Value>) -> String {
    BASE64.encode(Value::Object(members).to_string())
}

/// Returns 128 random bits in hexadecimal digits, which an attacker cannot guess.
fn fresh_id() -> Result<String, Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| {
        Error::own(
            ErrorKind::Issuer,
            "the system returned no random bytes for the assertion's ID",
        )
        .with_source(error)
    })?;
    Ok(bytes.iter().fold(String::new(), |mut id, byte| {
        let _ = write!(id, "{byte:02x}");
        id
    }))
}
