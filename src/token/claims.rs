//! The claims of a JWT (RFC 7519, section 4.1) about its lifetime.

use serde_json::{Map, Value};

use super::date::UnixMillis;

/// The claims, decoded and not verified. A claim that is absent or invalid is `None`.
#[derive(Clone, Debug)]
pub(super) struct Claims {
    pub(super) exp: Option<UnixMillis>,
    pub(super) iat: Option<UnixMillis>,
    pub(super) nbf: Option<UnixMillis>,
    pub(super) jti: Option<String>,
}

impl Claims {
    pub(super) const NONE: Self = Self {
        exp: None,
        iat: None,
        nbf: None,
        jti: None,
    };

    /// Returns the claims of a JWT; `None` for another token.
    pub(super) fn decode(token: &str) -> Option<Self> {
        // This insecure decoder ignores the header, so an unknown `alg` does not hide `exp`.
        let claims: Map<String, Value> =
            jsonwebtoken::dangerous::insecure_decode_claims(token).ok()?;
        let date = |name| UnixMillis::from_json(claims.get(name)?);
        let jti = claims.get("jti").and_then(Value::as_str);
        Some(Self {
            exp: date("exp"),
            iat: date("iat"),
            nbf: date("nbf"),
            jti: jti.filter(|jti| !jti.is_empty()).map(str::to_owned),
        })
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;

    use super::*;

    fn jwt(header: &str, claims: &str) -> String {
        format!("{}.{}.c2ln", BASE64.encode(header), BASE64.encode(claims))
    }

    #[test]
    fn w17_an_algorithm_that_nobody_knows_does_not_hide_the_claims() {
        for header in [
            r#"{"alg":"ES256K"}"#,
            r#"{"alg":"ES512"}"#,
            r#"{"alg":"none"}"#,
            r#"{"alg":"XYZ999","crit":["x"]}"#,
            "no header at all",
        ] {
            let claims =
                Claims::decode(&jwt(header, r#"{"exp":1000,"iat":100,"jti":"id"}"#)).unwrap();
            assert_eq!(
                claims.exp.unwrap().since(claims.iat.unwrap()).as_secs(),
                900
            );
            assert_eq!(claims.jti.as_deref(), Some("id"));
        }
    }

    #[test]
    fn w17_a_token_that_is_no_jwt_has_no_claims() {
        for token in [
            "opaque",
            "a.b",
            "a.b.c",
            "...",
            "",
            "a.!!!.c",
            &jwt("{}", "[1]"),
        ] {
            assert!(Claims::decode(token).is_none(), "{token}");
        }
    }

    #[test]
    fn w11_claims_of_another_type_are_absent_and_the_others_count() {
        let claims = r#"{"exp":{"at":1},"iat":null,"nbf":"soon","jti":17,"sub":["x"]}"#;
        let claims = Claims::decode(&jwt("{}", claims)).unwrap();
        assert!(claims.exp.is_none() && claims.iat.is_none() && claims.nbf.is_none());
        assert!(claims.jti.is_none());
        let beyond = Claims::decode(&jwt("{}", r#"{"exp":1e400,"jti":"id"}"#));
        assert!(beyond.is_none(), "JSON that cannot be read states nothing");
    }
}
