//! The bodies of the contract, written from its text and shared with no client.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde::Serialize;

use super::fields::Fields;
use super::refusal::Refusal;

const TTL_SECONDS: RangeInclusive<i64> = 3_600..=7_776_000;

pub(super) struct LongTokenRequest {
    pub(super) grant_type: GrantType,
    pub(super) client_id: String,
    pub(super) client_secret: Option<String>,
    pub(super) otp_code: Option<String>,
    pub(super) assertion_type: Option<String>,
    pub(super) assertion: Option<String>,
    pub(super) scopes: Option<Vec<String>>,
    pub(super) ttl: Option<Duration>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum GrantType {
    ClientCredentials,
    Assertion,
}

pub(super) struct ShortTokenRequest {
    pub(super) long_token: Option<String>,
    pub(super) scopes: Option<Vec<String>>,
}

#[derive(Serialize)]
pub(super) struct TokenResponse<'a> {
    pub(super) token_type: &'static str,
    pub(super) access_token: &'a str,
    pub(super) expires_in: u64,
    pub(super) expires_at: String,
    pub(super) scopes: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) token_id: Option<&'a str>,
}

#[derive(Serialize)]
pub(super) struct AuthError<'a> {
    pub(super) code: &'a str,
    pub(super) message: &'a str,
}

impl LongTokenRequest {
    pub(super) fn parse(body: &[u8]) -> Result<Self, Refusal> {
        let mut fields = Fields::parse(body)?;
        let request = Self {
            grant_type: grant_type(&fields.required_text("grant_type")?)?,
            client_id: fields.required_text("client_id")?,
            client_secret: fields.text("client_secret")?,
            otp_code: fields.text("otp_code")?,
            assertion_type: fields.text("assertion_type")?,
            assertion: fields.text("assertion")?,
            scopes: fields.texts("scopes")?,
            ttl: fields.integer("ttl_seconds")?.map(ttl).transpose()?,
        };
        fields.finish()?;
        Ok(request)
    }
}

impl ShortTokenRequest {
    /// No body, `null` and `{}` are the same.
    pub(super) fn parse(body: &[u8]) -> Result<Self, Refusal> {
        let mut fields = match body.trim_ascii() {
            b"" | b"null" => Fields::none(),
            body => Fields::parse(body)?,
        };
        let request = Self {
            long_token: fields.text("long_token")?,
            scopes: fields.texts("scopes")?,
        };
        fields.finish()?;
        Ok(request)
    }
}

fn grant_type(name: &str) -> Result<GrantType, Refusal> {
    match name {
        "client_credentials" => Ok(GrantType::ClientCredentials),
        "assertion" => Ok(GrantType::Assertion),
        _ => Err(Refusal::invalid_request(
            "`grant_type` must be `client_credentials` or `assertion`.",
        )),
    }
}

fn ttl(seconds: i64) -> Result<Duration, Refusal> {
    match u64::try_from(seconds) {
        Ok(whole) if TTL_SECONDS.contains(&seconds) => Ok(Duration::from_secs(whole)),
        _ => Err(Refusal::invalid_request(format!(
            "`ttl_seconds` must lie between {} and {}.",
            TTL_SECONDS.start(),
            TTL_SECONDS.end(),
        ))),
    }
}
