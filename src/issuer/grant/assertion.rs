//! Assertions: JWTs by which a client proves that it holds a private key (RFC 7523).

use std::fmt;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use async_trait::async_trait;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::clock::{Clock, SystemClock};
use crate::error::{Error, ErrorKind};
use crate::secret::Secret;

/// How long an assertion lives: one request, and as much as the server's clock may be ahead.
const LIFE: Duration = Duration::from_secs(300);

/// Signs assertions with a private key.
///
/// `SigningKey` (feature `assertion`) signs with a key in PEM. Implement the trait for a key that stays where
/// it is, such as in an HSM or in the key management of a cloud; that needs no feature.
///
/// # Examples
///
/// ```
/// use everbearer::{AssertionSigner, Error, Grant};
///
/// #[derive(Debug)]
/// struct CloudKey {
///     name: String,
/// }
///
/// #[async_trait::async_trait]
/// impl AssertionSigner for CloudKey {
///     fn algorithm(&self) -> &str {
///         "ES256"
///     }
///
///     async fn sign(&self, signing_input: &[u8]) -> Result<Vec<u8>, Error> {
///         ask_the_cloud(&self.name, signing_input).await.map_err(Error::transient)
///     }
/// }
/// # async fn ask_the_cloud(_: &str, _: &[u8]) -> Result<Vec<u8>, std::io::Error> { Ok(vec![0]) }
///
/// let key = CloudKey { name: "projects/p/keys/auth".to_owned() };
/// let grant = Grant::assertion("client_abc123", key).key_id("2026-11");
/// ```
#[async_trait]
pub trait AssertionSigner: Send + Sync + 'static {
    /// Returns the `alg` of the JWT, such as `ES256` (RFC 7518, section 3.1).
    fn algorithm(&self) -> &str;

    /// Signs these bytes, and returns the signature in the form that RFC 7518 defines.
    ///
    /// For `ES256`, that is both numbers, one after the other, in 64 bytes. Most key management services
    /// return DER instead, which must be converted.
    ///
    /// # Errors
    ///
    /// Returns the failure of the signer. After a [retryable](Error::is_retryable) error, the provider
    /// retries after a backoff, with a new assertion.
    ///
    /// # Cancel safety
    ///
    /// The provider may drop the future at any await, after a timeout or when its runtime shuts down.
    async fn sign(&self, signing_input: &[u8]) -> Result<Vec<u8>, Error>;
}

/// All but the claims: a new JWT is made for each request.
#[derive(Clone)]
pub(super) struct Assertion {
    pub(super) signer: Arc<dyn AssertionSigner>,
    pub(super) audience: Option<String>,
    pub(super) key_id: Option<String>,
}

impl fmt::Debug for Assertion {
    /// Without the signer, whose `Debug` may be a user's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Assertion")
            .field("audience", &self.audience)
            .field("key_id", &self.key_id)
            .finish_non_exhaustive()
    }
}

impl Assertion {
    pub(super) fn new(signer: impl AssertionSigner) -> Self {
        Self {
            signer: Arc::new(signer),
            audience: None,
            key_id: None,
        }
    }

    /// A JWT that says that this client asks this server, unless the grant names another audience.
    /// There is no `nbf`: a server whose clock is behind would refuse it.
    pub(super) async fn sign(&self, client_id: &str, server: &str) -> Result<Secret, Error> {
        let now = SystemClock.wall().duration_since(UNIX_EPOCH).map_err(|_| {
            Error::own(
                ErrorKind::Config,
                "the machine's clock is before 1970, so an assertion cannot state when it was issued; set the \
                 clock",
            )
        })?;
        let claims = json!({
            "iss": client_id,
            "sub": client_id,
            "aud": self.audience.as_deref().unwrap_or(server),
            "iat": now.as_secs(),
            "exp": (now + LIFE).as_secs(),
            "jti": fresh_id()?,
        });
        let mut jwt = format!("{}.{}", encode(&self.header()?), encode(&claims));
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

    fn header(&self) -> Result<Value, Error> {
        let algorithm = self.signer.algorithm();
        if algorithm.is_empty() || algorithm.eq_ignore_ascii_case("none") {
            return Err(Error::own(
                ErrorKind::Config,
                "the assertion's signer returned no algorithm; it must return one such as ES256",
            ));
        }
        let mut header = json!({ "alg": algorithm, "typ": "JWT" });
        if let (Some(id), Some(header)) = (&self.key_id, header.as_object_mut()) {
            header.insert("kid".to_owned(), json!(id));
        }
        Ok(header)
    }
}

fn encode(value: &Value) -> String {
    BASE64.encode(value.to_string())
}

/// 128 bits that nobody can guess, in hexadecimal digits.
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
