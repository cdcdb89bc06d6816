//! The JSON bodies of requests. Private, since they serialize secrets.

use serde::Serialize;

use super::models;
use crate::secret::Secret;

#[derive(Serialize)]
pub(super) struct LongTokenRequest<'a> {
    grant_type: &'static str,
    client_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    otp_code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    assertion_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    assertion: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scopes: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl_seconds: Option<u64>,
}

impl<'a> From<&'a models::LongTokenRequest> for LongTokenRequest<'a> {
    fn from(request: &'a models::LongTokenRequest) -> Self {
        Self {
            grant_type: request.grant_type.as_str(),
            client_id: &request.client_id,
            client_secret: request.client_secret.as_ref().map(Secret::expose),
            otp_code: request.otp_code.as_ref().map(Secret::expose),
            assertion_type: request.assertion_type.as_deref(),
            assertion: request.assertion.as_ref().map(Secret::expose),
            scopes: request.scopes.as_deref(),
            ttl_seconds: request.ttl_seconds,
        }
    }
}

#[derive(Serialize)]
pub(super) struct ShortTokenRequest<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    long_token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scopes: Option<&'a [String]>,
}

impl<'a> From<&'a models::ShortTokenRequest> for ShortTokenRequest<'a> {
    fn from(request: &'a models::ShortTokenRequest) -> Self {
        Self {
            long_token: request.long_token.as_ref().map(Secret::expose),
            scopes: request.scopes.as_deref(),
        }
    }
}
