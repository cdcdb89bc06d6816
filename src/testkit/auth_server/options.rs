//! The options of the auth server for tests: what the contract leaves to the server.

use std::fmt;

use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, VerificationAlgorithm,
};

/// Holds a public key with which the server checks assertions, in the bytes that [ring] accepts.
///
/// # Examples
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
    /// For the `alg` `ES256`: the uncompressed point, `0x04` and both coordinates, 65 bytes.
    Es256(Vec<u8>),
    /// For the `alg` `RS256`: a DER-encoded PKCS#1 `RSAPublicKey` of 2048 to 8192 bits.
    Rs256(Vec<u8>),
    /// For the `alg` `EdDSA` on Ed25519: 32 bytes.
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

/// Selects where a response states the ID of its token. The `jti` of a JWT is always the token's ID.
///
/// # Examples
///
/// ```
/// use everbearer::testkit::{AuthServer, TokenIds};
///
/// let builder = AuthServer::builder().token_ids(TokenIds::JtiOnly);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum TokenIds {
    /// In the member `token_id` of the body, and for a long-term token also in the header `X-Token-Id`.
    #[default]
    Body,
    /// In the header `X-Token-Id` for a long-term token, and in the `jti` for a short-term token, never in
    /// the body.
    HeaderOnly,
    /// In the `jti` only. Clients do not learn the ID of an opaque long-term token.
    JtiOnly,
}

/// Selects what happens to the old long-term token when one of its short-term tokens obtains the next one.
///
/// # Examples
///
/// ```
/// use everbearer::testkit::{AuthServer, OldLongTermToken};
///
/// let builder = AuthServer::builder().rotation(OldLongTermToken::DiesAtOnce);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OldLongTermToken {
    /// The old token stays valid until it expires or is revoked. The server revokes an unused token that had
    /// already replaced it, since the response with that token may have been lost.
    #[default]
    LivesOn,
    /// The server revokes the old token at once, and every other token that had already replaced it.
    /// Short-term tokens that were obtained with it stay valid until they expire.
    DiesAtOnce,
}
