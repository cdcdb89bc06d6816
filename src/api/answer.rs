//! From an answer of the server to a value or to a typed error.

use std::time::{Duration, SystemTime};

use http::header::{DATE, RETRY_AFTER};
use http::{HeaderMap, StatusCode};
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::models::AuthError;
use crate::error::{Error, ErrorKind};

const LONGEST_CODE: usize = 64;
const LONGEST_MESSAGE: usize = 200;
/// So many characters of a secret in a message are taken for an echo of it.
const ECHO: usize = 8;

pub(super) struct Answer {
    pub(super) operation: &'static str,
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Zeroizing<Vec<u8>>,
}

impl Answer {
    /// The answer itself if it is a success of this operation, the typed error that it stands for
    /// if it is not.
    pub(super) fn into_success(
        self,
        expected: &[StatusCode],
        secrets: &[&str],
    ) -> Result<Self, Error> {
        if expected.contains(&self.status) {
            Ok(self)
        } else if self.status.is_success() {
            let text = format!(
                "the answer is {}, which is not in the contract",
                self.status
            );
            Err(self.error(ErrorKind::Protocol, &text, None))
        } else if self.status.is_redirection() {
            Err(redirected(self.operation, self.status))
        } else {
            Err(self.refusal(secrets))
        }
    }

    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_slice(&self.body).map_err(|error| {
            // Without the JSON error itself: it may quote the body, and the body holds a token.
            let what = if self.body.is_empty() {
                "its body is empty".to_owned()
            } else if error.is_data() {
                format!(
                    "a field is missing or of the wrong type (line {}, column {})",
                    error.line(),
                    error.column()
                )
            } else {
                "its body is no JSON".to_owned()
            };
            self.error(
                ErrorKind::Protocol,
                &format!("the answer is not what the contract says: {what}"),
                None,
            )
        })
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

    fn refusal(&self, secrets: &[&str]) -> Error {
        let stated: Option<AuthError> = serde_json::from_slice(&self.body).ok();
        let code = stated
            .as_ref()
            .map(|error| error.code.as_str())
            .filter(|code| is_code(code) && !echoes(code, secrets));
        let text = match (&stated, code) {
            (Some(error), Some(code)) => match printable(&error.message, secrets) {
                Some(message) => format!("the auth server answers {code}: {message}"),
                None => format!("the auth server answers {code}"),
            },
            _ if self.body.is_empty() => {
                format!("the answer is {} with an empty body", self.status)
            }
            _ => format!(
                "the answer is {} with a body that is not the contract's; is something else \
                 answering for the auth server?",
                self.status
            ),
        };
        let kind = kind(self.status, code);
        let error = self.error(kind, &text, code.map(str::to_owned));
        match self.retry_after() {
            Some(pause) => error.with_retry_after(pause),
            None => error,
        }
    }

    fn error(&self, kind: ErrorKind, text: &str, code: Option<String>) -> Error {
        Error::new(kind, format!("{}: {text}", self.operation))
            .with_answer(self.status.as_u16(), code)
    }

    /// Seconds or an HTTP date (RFC 9110, section 10.2.3). A date is held against the server's
    /// own clock; where the server does not show it, the date says nothing.
    fn retry_after(&self) -> Option<Duration> {
        let value = self.header(RETRY_AFTER.as_str())?.trim();
        if value.bytes().all(|byte| byte.is_ascii_digit()) {
            return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
        }
        let date = httpdate::parse_http_date(value).ok()?;
        Some(date.duration_since(self.date()?).unwrap_or_default())
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

/// By the contract's code. A refusal without one is not the auth server's own, so it may pass.
fn kind(status: StatusCode, code: Option<&str>) -> ErrorKind {
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
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => ErrorKind::Denied,
        status if status.is_client_error() => ErrorKind::InvalidRequest,
        _ => ErrorKind::Server,
    }
}

fn is_code(code: &str) -> bool {
    (1..=LONGEST_CODE).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The message on one line and cut to length, unless it is empty or repeats a secret.
fn printable(message: &str, secrets: &[&str]) -> Option<String> {
    if message.trim().is_empty() {
        return None;
    }
    if echoes(message, secrets) {
        return Some("(its message repeats a secret and is withheld)".to_owned());
    }
    Some(
        message
            .chars()
            .map(|char| if char.is_control() { ' ' } else { char })
            .take(LONGEST_MESSAGE)
            .collect(),
    )
}

/// Whether any stretch of a secret stands in the text.
fn echoes(text: &str, secrets: &[&str]) -> bool {
    secrets.iter().any(|secret| {
        let secret: Vec<char> = secret.chars().collect();
        secret
            .windows(ECHO.min(secret.len()).max(1))
            .any(|stretch| text.contains(&stretch.iter().collect::<String>()))
    })
}
