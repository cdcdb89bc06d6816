//! JSON Web Tokens: the server's own, signed with Ed25519, and the ones that clients sign.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::error::Unspecified;
use ring::rand::{self, SystemRandom};
use ring::signature::VerificationAlgorithm;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use serde_json::{Map, Value, json};

const OWN_ALGORITHM: &str = "EdDSA";

/// Signs with a key that lives as long as the server.
pub(super) struct Signer {
    key_pair: Ed25519KeyPair,
    key_id: String,
}

impl Signer {
    pub(super) fn new(key_id: String) -> Result<Self, Unspecified> {
        let seed = rand::generate::<[u8; 32]>(&SystemRandom::new())?.expose();
        let key_pair = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| Unspecified)?;
        Ok(Self { key_pair, key_id })
    }

    pub(super) fn sign(&self, claims: &Value) -> String {
        let header = json!({ "alg": OWN_ALGORITHM, "typ": "JWT", "kid": self.key_id });
        let signed = format!("{}.{}", encode(&header), encode(claims));
        let signature = self.key_pair.sign(signed.as_bytes());
        format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
    }

    /// The claims of a token that this signer signed and nobody changed.
    pub(super) fn verify(&self, token: &str) -> Option<Map<String, Value>> {
        let jwt = SignedJwt::parse(token)?;
        let is_own = jwt.header_text("alg") == Some(OWN_ALGORITHM)
            && jwt.header_text("kid") == Some(&self.key_id)
            && jwt.is_signed_with(&ED25519, self.key_pair.public_key().as_ref());
        is_own.then_some(jwt.claims)
    }
}

/// A JWT taken apart. Its claims are only claims until the signature has been checked.
pub(super) struct SignedJwt<'a> {
    pub(super) claims: Map<String, Value>,
    header: Map<String, Value>,
    signed: &'a str,
    signature: Vec<u8>,
}

impl<'a> SignedJwt<'a> {
    pub(super) fn parse(token: &'a str) -> Option<Self> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let header = decode_object(header)?;
        if header.contains_key("crit") {
            return None;
        }
        Some(Self {
            claims: decode_object(claims)?,
            header,
            signed,
            signature: BASE64_URL_SAFE_NO_PAD.decode(signature).ok()?,
        })
    }

    pub(super) fn header_text(&self, name: &str) -> Option<&str> {
        self.header.get(name)?.as_str()
    }

    pub(super) fn is_signed_with(
        &self,
        algorithm: &'static dyn VerificationAlgorithm,
        public_key: &[u8],
    ) -> bool {
        UnparsedPublicKey::new(algorithm, public_key)
            .verify(self.signed.as_bytes(), &self.signature)
            .is_ok()
    }
}

fn encode(part: &Value) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(part.to_string())
}

fn decode_object(part: &str) -> Option<Map<String, Value>> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(part).ok()?;
    serde_json::from_slice(&bytes).ok()
}
