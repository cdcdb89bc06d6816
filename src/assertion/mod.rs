//! Assertions: JWTs with which a client authenticates, or that it exchanges for a token (RFC 7523).

#[cfg(feature = "assertion")]
mod client_secret;
mod jwt;
mod signer;
#[cfg(feature = "assertion")]
mod signing_key;

pub use jwt::Assertion;
pub use signer::AssertionSigner;
#[cfg(feature = "assertion")]
pub use signing_key::SigningKey;
