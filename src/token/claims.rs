//! The claims of a JWT (RFC 7519, section 4.1) that say something about its life.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::lifetime::UnixMillis;

/// Decoded, never verified; what is absent or makes no sense is `None`.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Claims {
    #[serde(default, deserialize_with = "numeric_date")]
    pub(super) exp: Option<UnixMillis>,
    #[serde(default, deserialize_with = "numeric_date")]
    pub(super) iat: Option<UnixMillis>,
    #[serde(default, deserialize_with = "numeric_date")]
    pub(super) nbf: Option<UnixMillis>,
    #[serde(default, deserialize_with = "text")]
    pub(super) jti: Option<String>,
}

impl Claims {
    /// The claims of a token that is a JWT; none for a token that is not.
    pub(super) fn decode(token: &str) -> Self {
        // Of the two insecure decoders this is the one that does not look at the header: an `alg`
        // that it does not know says nothing about `exp`.
        jsonwebtoken::dangerous::insecure_decode_claims(token).unwrap_or_default()
    }
}

fn numeric_date<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<UnixMillis>, D::Error> {
    Ok(UnixMillis::from_json(&Value::deserialize(deserializer)?))
}

fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::String(text) if !text.is_empty() => Ok(Some(text)),
        _ => Ok(None),
    }
}
