//! The answer of the token endpoint (RFC 6749, section 5.1), read leniently.

use std::time::Duration;

use serde_json::Value;

use super::error;
use crate::error::{Error, ErrorKind};
use crate::issuer::ExchangeResponse;
use crate::token::{
    LongTermToken, ShortTermToken, TokenBuilder, date_from_json, duration_from_json,
};
use crate::wire::{Answer, JsonObject, readable};

/// Reads an answer. `transient` has the codes and statuses after which a request is retried; `scopes` are those that
/// were requested; `is_refresh` says whether the answer may replace the refresh token.
pub(super) fn read(
    answer: &Answer<'_>,
    transient: &[String],
    scopes: &[String],
    is_refresh: bool,
) -> Result<ExchangeResponse, Error> {
    let body = readable(&answer.body);
    let members = JsonObject::of(&body);
    let is_error = members.as_ref().is_some_and(error::is_error);
    let Some(members) = members.filter(|_| answer.status.is_success() && !is_error) else {
        return Err(error::refusal(answer, &body, transient));
    };
    let Value::String(access_token) = members.get("access_token") else {
        let text = "the response has no access_token; check that the URL is the token endpoint's";
        return Err(answer.error(ErrorKind::Protocol, text, None));
    };
    check_type(answer, &members.get("token_type"))?;
    let mut token = ShortTermToken::builder(&access_token).scopes(granted(&members, scopes));
    if let Some(life) = stated_life(&members.get("expires_in")) {
        token = token.expires_in(life);
    }
    let ends = ["expires_at", "expires_on"].map(|name| date_from_json(&members.get(name)));
    if let Some(end) = ends.into_iter().flatten().next() {
        token = token.expires_at(end);
    }
    let mut response = ExchangeResponse::from(finish(token, answer)?);
    if is_refresh
        && let Value::String(refresh_token) = members.get("refresh_token")
        && !refresh_token.is_empty()
    {
        let mut token = LongTermToken::builder(&refresh_token);
        let lives = ["refresh_expires_in", "refresh_token_expires_in"];
        let lives = lives.map(|name| stated_life(&members.get(name)));
        // Keycloak states 0 for a token that does not expire.
        if let Some(life) = lives.into_iter().flatten().find(|life| !life.is_zero()) {
            token = token.expires_in(life);
        }
        response = response.replacing(finish(token, answer)?);
    }
    Ok(response)
}

#[allow(
    private_bounds,
    reason = "the two token types are all that can be built"
)]
fn finish<T: From<crate::token::Issued>>(
    token: TokenBuilder<T>,
    answer: &Answer<'_>,
) -> Result<T, Error> {
    let token = match answer.date() {
        Some(time) => token.server_time(time),
        None => token,
    };
    token.build().map_err(|error| {
        answer
            .error(
                ErrorKind::Protocol,
                "the server returned an invalid token",
                None,
            )
            .with_source(error)
    })
}

/// Reads a lifetime. A negative one states nothing.
fn stated_life(value: &Value) -> Option<Duration> {
    let is_negative = match value {
        Value::Number(number) => number.as_f64().is_some_and(|number| number < 0.0),
        Value::String(text) => text.trim().starts_with('-'),
        _ => false,
    };
    duration_from_json(value).filter(|_| !is_negative)
}

/// Accepts a bearer token only: one of another type may not be sent as one (RFC 6749, section 7.1).
fn check_type(answer: &Answer<'_>, token_type: &Value) -> Result<(), Error> {
    let stated = match token_type {
        Value::String(stated) => stated.trim(),
        _ => "",
    };
    let is_bearer = ["", "bearer", "bearertoken"]
        .iter()
        .any(|it| stated.eq_ignore_ascii_case(it));
    if is_bearer {
        return Ok(());
    }
    let known = ["DPoP", "mac", "N_A", "PoP", "SAML"];
    let mut known = known.iter().filter(|it| stated.eq_ignore_ascii_case(it));
    // Another text may be the token itself.
    let shown = known.next().copied().unwrap_or("another type");
    let text = format!(
        "the server returned a token of the type {shown}, which cannot be sent as a bearer token; configure the \
         client for bearer tokens"
    );
    Err(answer.error(ErrorKind::Config, &text, None))
}

/// Returns the scopes of the token: those that were requested, if the answer states none (RFC 6749, section 5.1).
fn granted(members: &JsonObject<'_>, requested: &[String]) -> Vec<String> {
    let stated: Vec<String> = match members.get("scope") {
        Value::String(scope) => vec![scope],
        Value::Array(scopes) => {
            let scopes = scopes.into_iter();
            scopes
                .filter_map(|it| it.as_str().map(str::to_owned))
                .collect()
        }
        _ => return requested.to_vec(),
    };
    let scopes = stated.iter().flat_map(|it| it.split_ascii_whitespace());
    scopes.map(str::to_owned).collect()
}
