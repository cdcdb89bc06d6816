//! The choices that a deployment of the Auth API may make either way.

use std::fmt;

use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, VerificationAlgorithm,
};

/// A public key that assertions are checked with, in the bytes that [ring] takes.
///
/// ```
/// use everbearer::testkit::{AuthServer, ClientKey};
/// use ring::rand::SystemRandom;
/// use ring::signature::{Ed25519KeyPair, KeyPair};
///
/// # fn main() -> Result<(), ring::error::Unspecified> {
/// let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new())?;
/// let key_pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref())?;
/// let public_key = ClientKey::EdDsa(key_pair.public_key().as_ref().to_vec());
/// let server = AuthServer::builder().client_key(public_key);
/// # let _ = server;
/// # Ok(())
/// # }
/// ```
///
/// [ring]: https://docs.rs/ring/0.17/ring/signature/
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientKey {
    /// For `alg` `ES256`: the uncompressed point, `0x04` and both coordinates, 65 bytes.
    Es256(Vec<u8>),
    /// For `alg` `RS256`: a DER-encoded PKCS#1 `RSAPublicKey` of 2048 to 8192 bits.
    Rs256(Vec<u8>),
    /// For `alg` `EdDSA` on Ed25519: 32 bytes.
    EdDsa(Vec<u8>),
}

impl ClientKey {
    pub(super) fn jwt_algorithm(&self) -> &'static str {
        match self {
            Self::Es256(_) => "ES256",
            Self::Rs256(_) => "RS256",
            Self::EdDsa(_) => "EdDSA",
        }
    }

    pub(super) fn verification(&self) -> &'static dyn VerificationAlgorithm {
        match self {
            Self::Es256(_) => &ECDSA_P256_SHA256_FIXED,
            Self::Rs256(_) => &RSA_PKCS1_2048_8192_SHA256,
            Self::EdDsa(_) => &ED25519,
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Es256(bytes) | Self::Rs256(bytes) | Self::EdDsa(bytes) => bytes,
        }
    }
}

impl fmt::Debug for ClientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientKey({})", self.jwt_algorithm())
    }
}

/// Where a client finds the ID of a token that it was given.
///
/// The `jti` of a JWT is always the token's ID.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum TokenIds {
    /// In `token_id` of the response's body; for a long-term token in `X-Token-Id` as well.
    #[default]
    Body,
    /// Never in a body. A long-term token has it in `X-Token-Id`, a short-term token in its `jti`.
    HeaderOnly,
    /// In the `jti` and nowhere else: the client of an opaque long-term token is not told its ID.
    JtiOnly,
}

/// What becomes of the old long-term token when a short-term one of its own obtains the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OldLongTermToken {
    /// It lives on until it ends or is revoked. Another token that has replaced it already, but
    /// was never used, is revoked: the response that told of it may have been lost.
    #[default]
    LivesOn,
    /// It is revoked at once, together with every other token that has replaced it already. The
    /// short-term tokens minted from it live on until they end.
    DiesAtOnce,
}
