//! Responses in the contract's shapes.

use axum::body::Body;
use axum::response::Response;
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::json;

use super::ledger::{Issued, TokenKind};
use super::options::TokenIds;
use super::refusal::{Reason, Refusal};
use super::wire::{AuthError, TokenResponse};

const TOKEN_ID: HeaderName = HeaderName::from_static("x-token-id");

/// What a `WWW-Authenticate` header calls the endpoints behind it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Realm {
    Auth,
    Jobs,
}

pub(super) fn issued(issued: &Issued, token_ids: TokenIds) -> Response {
    let body = TokenResponse {
        token_type: "Bearer",
        access_token: &issued.text,
        expires_in: issued.expires_in.as_secs(),
        expires_at: issued.expires.to_rfc3339(),
        scopes: &issued.scopes,
        token_id: (token_ids == TokenIds::Body).then_some(&issued.token_id),
    };
    let mut response = json(StatusCode::CREATED, json!(body).to_string());
    if issued.kind == TokenKind::LongTerm && token_ids != TokenIds::JtiOnly {
        set(response.headers_mut(), TOKEN_ID, &issued.token_id);
    }
    response
}

pub(super) fn refused(refusal: &Refusal, realm: Realm) -> Response {
    let status = status_of(refusal.reason);
    let mut response = error(status, refusal.reason.code(), &refusal.message);
    let headers = response.headers_mut();
    if let Reason::RateLimited {
        retry_after_seconds,
    } = refusal.reason
    {
        headers.insert(RETRY_AFTER, retry_after_seconds.into());
    }
    if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
        set(headers, WWW_AUTHENTICATE, &challenge(refusal, realm));
    }
    response
}

pub(super) fn error(status: StatusCode, code: &str, message: &str) -> Response {
    json(status, json!(AuthError { code, message }).to_string())
}

pub(super) fn json(status: StatusCode, body: impl Into<Body>) -> Response {
    typed(status, "application/json", body)
}

pub(super) fn typed(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Body>,
) -> Response {
    let mut response = empty(status);
    *response.body_mut() = body.into();
    set(response.headers_mut(), CONTENT_TYPE, content_type);
    response
}

pub(super) fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// Leaves out what no header can carry.
pub(super) fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

impl Realm {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Jobs => "jobs",
        }
    }
}

fn status_of(reason: Reason) -> StatusCode {
    match reason {
        Reason::InvalidRequest | Reason::InvalidGrant | Reason::InvalidScope => {
            StatusCode::BAD_REQUEST
        }
        Reason::InvalidClient
        | Reason::MissingToken
        | Reason::InvalidToken
        | Reason::RevokedToken
        | Reason::ExpiredToken => StatusCode::UNAUTHORIZED,
        Reason::InsufficientScope { .. } => StatusCode::FORBIDDEN,
        Reason::NotFound => StatusCode::NOT_FOUND,
        Reason::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        Reason::RateLimited { .. } => StatusCode::TOO_MANY_REQUESTS,
    }
}

/// RFC 6750, section 3: whoever sent no token is told of no error.
fn challenge(refusal: &Refusal, realm: Realm) -> String {
    let realm = format!("Bearer realm=\"{}\"", realm.name());
    let message = &refusal.message;
    match refusal.reason {
        Reason::InvalidToken | Reason::RevokedToken | Reason::ExpiredToken => {
            format!("{realm}, error=\"invalid_token\", error_description=\"{message}\"")
        }
        Reason::InsufficientScope { needed } => format!(
            "{realm}, error=\"insufficient_scope\", error_description=\"{message}\", \
             scope=\"{needed}\""
        ),
        _ => realm,
    }
}
