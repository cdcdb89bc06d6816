//! Why the server says no.

use std::borrow::Cow;

#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) reason: Reason,
    pub(super) message: Cow<'static, str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    InvalidRequest,
    InvalidGrant,
    InvalidScope,
    InvalidClient,
    MissingToken,
    InvalidToken,
    RevokedToken,
    ExpiredToken,
    InsufficientScope { needed: &'static str },
    NotFound,
    MethodNotAllowed,
    RateLimited { retry_after_seconds: u64 },
}

impl Reason {
    /// The `code` of the contract's `AuthError`.
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidGrant => "invalid_grant",
            Self::InvalidScope => "invalid_scope",
            Self::InvalidClient => "invalid_client",
            Self::MissingToken | Self::InvalidToken | Self::RevokedToken => "invalid_token",
            Self::ExpiredToken => "token_expired",
            Self::InsufficientScope { .. } => "insufficient_scope",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::RateLimited { .. } => "rate_limited",
        }
    }
}

impl Refusal {
    pub(super) fn new(reason: Reason, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            reason,
            message: message.into(),
        }
    }

    pub(super) fn invalid_request(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Reason::InvalidRequest, message)
    }

    pub(super) fn invalid_grant(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Reason::InvalidGrant, message)
    }

    pub(super) fn invalid_token(message: &'static str) -> Self {
        Self::new(Reason::InvalidToken, message)
    }

    pub(super) fn missing_token() -> Self {
        Self::new(Reason::MissingToken, "A bearer token is required.")
    }

    pub(super) fn insufficient_scope(needed: &'static str) -> Self {
        let message = format!("The token lacks the scope {needed}.");
        Self::new(Reason::InsufficientScope { needed }, message)
    }
}
