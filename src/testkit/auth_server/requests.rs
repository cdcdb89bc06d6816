//! Reading what the contract says about a request's headers and body.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use http::HeaderMap;
use http::header::{AUTHORIZATION, CONTENT_TYPE};

use super::ledger::TokenRef;
use super::refusal::Refusal;
use super::wire::{LongTokenRequest, ShortTokenRequest};

/// A body as axum hands it over.
pub(super) type ReceivedBody = Result<Bytes, BytesRejection>;

pub(super) fn long_token(
    headers: &HeaderMap,
    body: ReceivedBody,
) -> Result<LongTokenRequest, Refusal> {
    let body = whole(body)?;
    check_is_json(headers)?;
    let request = LongTokenRequest::parse(&body)?;
    let names_other_client = |id: &http::HeaderValue| id.as_bytes() != request.client_id.as_bytes();
    if headers
        .get_all("x-client-id")
        .iter()
        .any(names_other_client)
    {
        return Err(Refusal::invalid_request(
            "X-Client-Id and `client_id` name different clients.",
        ));
    }
    Ok(request)
}

pub(super) fn short_token(
    headers: &HeaderMap,
    body: ReceivedBody,
) -> Result<ShortTokenRequest, Refusal> {
    let body = whole(body)?;
    if !body.is_empty() {
        check_is_json(headers)?;
    }
    ShortTokenRequest::parse(&body)
}

pub(super) fn whole(body: ReceivedBody) -> Result<Bytes, Refusal> {
    body.map_err(|_| Refusal::invalid_request("The body is too long, or it broke off."))
}

pub(super) fn bearer(headers: &HeaderMap) -> TokenRef {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(first) = values.next() else {
        return TokenRef::Absent;
    };
    // Generated clients send the same header twice.
    if values.any(|other| other != first) {
        return TokenRef::Malformed;
    }
    first
        .to_str()
        .map_or(TokenRef::Malformed, parse_authorization)
}

fn parse_authorization(value: &str) -> TokenRef {
    let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
    if !scheme.eq_ignore_ascii_case("bearer") {
        return TokenRef::Absent;
    }
    let token = token.trim_matches(' ');
    if is_b64token(token) {
        TokenRef::Token(token.to_owned())
    } else {
        TokenRef::Malformed
    }
}

/// RFC 6750, section 2.1.
fn is_b64token(token: &str) -> bool {
    let unpadded = token.trim_end_matches('=');
    !unpadded.is_empty()
        && unpadded
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte))
}

fn check_is_json(headers: &HeaderMap) -> Result<(), Refusal> {
    let is_json = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"));
    if is_json {
        Ok(())
    } else {
        Err(Refusal::invalid_request(
            "The Content-Type is not application/json.",
        ))
    }
}
