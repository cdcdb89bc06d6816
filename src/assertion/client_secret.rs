//! Assertions that are signed with a client secret.

use async_trait::async_trait;
use ring::hmac;

use super::signer::AssertionSigner;
use crate::error::Error;
use crate::secret::SecretSource;

/// Signs with the client secret, which it reads each time.
pub(super) struct ClientSecret(pub(super) SecretSource);

#[async_trait]
impl AssertionSigner for ClientSecret {
    fn algorithm(&self) -> &'static str {
        "HS256"
    }

    async fn sign(&self, signing_input: &[u8]) -> Result<Vec<u8>, Error> {
        let secret = self.0.read().await?;
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes());
        Ok(hmac::sign(&key, signing_input).as_ref().to_vec())
    }
}
