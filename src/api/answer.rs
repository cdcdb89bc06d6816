//! From an answer of the server to a value or to a typed error.

use std::time::{Duration, SystemTime};

use http::header::{DATE, RETRY_AFTER};
use http::{HeaderMap, StatusCode};
use serde::de::IgnoredAny;
use zeroize::Zeroizing;

use super::members::{Members, readable};
use super::models::{AuthError, TokenResponse};
use crate::clock::{Clock as _, SystemClock};
use crate::error::{Error, ErrorKind};
use crate::text::on_one_line;
use crate::token::Issued;

/// The contract's code for an ID that the server does not know.
const NOT_FOUND: &str = "not_found";
const LONGEST_CODE: usize = 64;
const LONGEST_MESSAGE: usize = 200;

pub(super) struct Answer<'a> {
    pub(super) operation: &'static str,
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Zeroizing<Vec<u8>>,
    /// The secrets in the request, which must not appear in an error's text.
    pub(super) secrets: Vec<&'a str>,
}

impl Answer<'_> {
    /// Returns the answer if it issues a token, or else the typed error that it stands for.
    pub(super) fn issued(self) -> Result<Self, Error> {
        match self.status {
            StatusCode::OK | StatusCode::CREATED => Ok(self),
            status if status.is_success() => {
                let text = format!("the auth server answered {status} instead of 200 or 201");
                Err(self.error(ErrorKind::Protocol, &text, None))
            }
            _ => Err(self.refusal()),
        }
    }

    /// Returns `Ok` if the answer means that the token is revoked:
    ///
    /// | Answer | Means |
    /// |---|---|
    /// | 2xx, without a body or with JSON that has no `code` | revoked |
    /// | 2xx with anything else, such as a captive portal's page | not revoked, retryable |
    /// | 404 with the code `not_found` | revoked: the server no longer knows the ID |
    /// | 404 with an empty body | unknown, not retryable |
    /// | anything else | not revoked |
    pub(super) fn revoked(self) -> Result<(), Error> {
        if self.status.is_success() {
            let text = readable(&self.body);
            return match Members::of(&text) {
                Some(members) if !members.get("code").is_null() => {
                    Err(self.not_revoked("an error code"))
                }
                None if serde_json::from_str::<IgnoredAny>(&text).is_err() && !self.is_empty() => {
                    Err(self.not_revoked("a body that is not JSON"))
                }
                _ => Ok(()),
            };
        }
        if self.status == StatusCode::NOT_FOUND && self.is_empty() {
            let text = "the answer is 404 with an empty body, and it is unknown whether the token \
                        is revoked; check that the base URL is the auth server's";
            return Err(self.error(ErrorKind::InvalidRequest, text, None));
        }
        match self.refusal() {
            refusal if refusal.status() == Some(404) && refusal.code() == Some(NOT_FOUND) => Ok(()),
            refusal => Err(refusal),
        }
    }

    fn is_empty(&self) -> bool {
        self.body.trim_ascii().is_empty()
    }

    fn not_revoked(&self, with: &str) -> Error {
        let text = format!(
            "the answer is {} with {with}, so the token is not revoked; check that no proxy or \
             captive portal answers for the auth server",
            self.status
        );
        self.error(ErrorKind::Protocol, &text, None)
    }

    /// Reads the token that the answer issues.
    pub(super) fn token<T: From<Issued>>(&self) -> Result<TokenResponse<T>, Error> {
        let text = readable(&self.body);
        let what = match Members::of(&text) {
            Some(members) => match TokenResponse::read(|name| members.get(name)) {
                Ok(mut response) => {
                    response.server_time = self.date();
                    return Ok(response);
                }
                Err(name) => format!("`{name}` is missing or of another type"),
            },
            None if self.body.is_empty() => "its body is empty".to_owned(),
            None => "its body is not a JSON object".to_owned(),
        };
        let text = format!("the answer is not what the contract says: {what}");
        Err(self.error(ErrorKind::Protocol, &text, None))
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .get(name)?
            .to_str()
            .ok()
            .filter(|value| !value.is_empty())
    }

    pub(super) fn date(&self) -> Option<SystemTime> {
        httpdate::parse_http_date(self.header(DATE.as_str())?).ok()
    }

    fn refusal(&self) -> Error {
        if self.status.is_redirection() {
            return redirected(self.operation, self.status);
        }
        let body = readable(&self.body);
        let members = Members::of(&body);
        let error = members.and_then(|members| AuthError::read(|name| members.get(name)));
        let (code, message) = error.map(|it| (it.code, it.message)).unzip();
        let code = code.filter(|code| is_code(code));
        let text = match &code {
            Some(code) => format!("the auth server answers {code}"),
            _ if self.is_empty() => format!("the answer is {} with an empty body", self.status),
            _ => format!(
                "the answer is {} with a body that is not the contract's; is something else \
                 answering for the auth server?",
                self.status
            ),
        };
        let kind = kind(self.status, code.as_deref());
        // Cut before it is searched for secrets.
        let message = message.map(|message| on_one_line(&message, LONGEST_MESSAGE));
        let message = message.filter(|message| code.is_some() && !message.trim().is_empty());
        let mut error = self.error(kind, &text, code);
        if let Some(message) = message {
            error = error.with_message(message);
        }
        let error = error.without(&self.secrets);
        match self.retry_after() {
            Some(pause) => error.with_retry_after(pause),
            None => error,
        }
    }

    fn error(&self, kind: ErrorKind, text: &str, code: Option<String>) -> Error {
        Error::new(kind, format!("{}: {text}", self.operation))
            .with_answer(self.status.as_u16(), code)
    }

    /// Returns the pause of `Retry-After`: seconds, or an HTTP date (RFC 9110, section 10.2.3). A date is
    /// compared with the `Date` of the answer, or with the local clock if there is none.
    fn retry_after(&self) -> Option<Duration> {
        let value = self.header(RETRY_AFTER.as_str())?.trim();
        if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
            return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
        }
        let date = httpdate::parse_http_date(value).ok()?;
        let now = self.date().unwrap_or_else(|| SystemClock::default().wall());
        Some(date.duration_since(now).unwrap_or_default())
    }
}

pub(super) fn redirected(operation: &str, status: StatusCode) -> Error {
    Error::new(
        ErrorKind::Protocol,
        format!(
            "{operation}: the auth server redirects, and a secret does not follow; set the base \
             URL to where the server really is"
        ),
    )
    .with_answer(status.as_u16(), None)
}

/// Returns what a failed answer means, by its status and the contract's code.
///
/// 1. A 5xx is the server's own failure, whatever its code.
/// 2. A 401 with a code is a refusal, whatever the code.
/// 3. Otherwise a known code decides.
/// 4. Otherwise the status decides. A refusal without a code may come from a gateway, so it is
///    retryable.
///
/// The other members of the body are ignored.
fn kind(status: StatusCode, code: Option<&str>) -> ErrorKind {
    if status.is_server_error() {
        return ErrorKind::Server;
    }
    if status == StatusCode::UNAUTHORIZED && code.is_some() {
        return ErrorKind::Denied;
    }
    match code {
        Some("rate_limited" | "slow_down") => return ErrorKind::RateLimited,
        Some("temporarily_unavailable" | "server_error") => return ErrorKind::Server,
        Some(
            "invalid_grant"
            | "invalid_client"
            | "unauthorized_client"
            | "invalid_token"
            | "token_expired"
            | "insufficient_scope"
            | "access_denied",
        ) => return ErrorKind::Denied,
        _ => {}
    }
    match status {
        StatusCode::TOO_MANY_REQUESTS => ErrorKind::RateLimited,
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY => ErrorKind::Server,
        status if status.is_client_error() && code.is_none() => ErrorKind::Protocol,
        StatusCode::FORBIDDEN => ErrorKind::Denied,
        status if status.is_client_error() => ErrorKind::InvalidRequest,
        _ => ErrorKind::Server,
    }
}

fn is_code(code: &str) -> bool {
    (1..=LONGEST_CODE).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_graphic())
}
