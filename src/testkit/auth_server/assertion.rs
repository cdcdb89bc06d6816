//! The proof that a client gives with a JWT of its own (RFC 7523).

use std::time::Duration;

use serde_json::{Map, Value};

use super::clock::UnixTime;
use super::jwt::SignedJwt;
use super::options::ClientKey;
use super::refusal::Refusal;

const LONGEST_LIFE: Duration = Duration::from_secs(60 * 60);

/// What an assertion is held against.
pub(super) struct Expected<'a> {
    pub(super) client_id: &'a str,
    pub(super) keys: &'a [ClientKey],
    pub(super) audiences: &'a [String],
    pub(super) now: UnixTime,
}

/// Checks everything but whether it was used before, for which the caller gets the `jti`.
pub(super) fn check(assertion: &str, expected: &Expected<'_>) -> Result<String, Refusal> {
    let jwt = SignedJwt::parse(assertion)
        .ok_or_else(|| Refusal::invalid_grant("The assertion is no signed JWT."))?;
    check_signature(&jwt, expected.keys)?;
    check_parties(&jwt.claims, expected)?;
    check_times(&jwt.claims, expected.now)?;
    text(&jwt.claims, "jti")
        .filter(|jti| !jti.is_empty())
        .map(str::to_owned)
        .ok_or_else(|| Refusal::invalid_grant("The assertion has no jti."))
}

fn check_signature(jwt: &SignedJwt<'_>, keys: &[ClientKey]) -> Result<(), Refusal> {
    let algorithm = jwt.header_text("alg");
    let mut candidates = keys
        .iter()
        .filter(|key| algorithm == Some(key.jwt_algorithm()))
        .peekable();
    if candidates.peek().is_none() {
        return Err(Refusal::invalid_grant(
            "The assertion's alg is that of no registered key.",
        ));
    }
    if candidates.any(|key| jwt.is_signed_with(key.verification(), key.bytes())) {
        Ok(())
    } else {
        Err(Refusal::invalid_grant(
            "The assertion's signature does not match a registered key.",
        ))
    }
}

fn check_parties(claims: &Map<String, Value>, expected: &Expected<'_>) -> Result<(), Refusal> {
    for name in ["iss", "sub"] {
        if text(claims, name) != Some(expected.client_id) {
            let message = format!("The assertion's {name} is not the client_id.");
            return Err(Refusal::invalid_grant(message));
        }
    }
    let is_for_us = |audience: &Value| {
        audience
            .as_str()
            .is_some_and(|url| expected.audiences.iter().any(|ours| ours == url))
    };
    let is_meant_for_us = match claims.get("aud") {
        Some(Value::Array(audiences)) => audiences.iter().any(is_for_us),
        Some(audience) => is_for_us(audience),
        None => false,
    };
    if is_meant_for_us {
        Ok(())
    } else {
        Err(Refusal::invalid_grant(
            "The assertion's aud names neither this server nor its token endpoint.",
        ))
    }
}

fn check_times(claims: &Map<String, Value>, now: UnixTime) -> Result<(), Refusal> {
    let expires = time(claims, "exp")
        .ok_or_else(|| Refusal::invalid_grant("The assertion has no usable exp."))?;
    if expires <= now {
        return Err(Refusal::invalid_grant("The assertion has expired."));
    }
    if expires > now.plus(LONGEST_LIFE) {
        return Err(Refusal::invalid_grant(
            "The assertion's exp is more than an hour away.",
        ));
    }
    if claims.contains_key("nbf") && time(claims, "nbf").is_none_or(|start| now < start) {
        return Err(Refusal::invalid_grant("The assertion is not valid yet."));
    }
    Ok(())
}

fn text<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    claims.get(name)?.as_str()
}

fn time(claims: &Map<String, Value>, name: &str) -> Option<UnixTime> {
    UnixTime::from_numeric_date(claims.get(name)?.as_f64()?)
}
