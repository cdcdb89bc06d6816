//! What signs assertions.

use async_trait::async_trait;

use crate::error::Error;

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
