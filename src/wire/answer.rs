//! An answer of a server, and the meaning of its status and headers.

use std::time::{Duration, SystemTime};

use http::header::{DATE, RETRY_AFTER};
use http::{HeaderMap, StatusCode};
use serde::de::IgnoredAny;
use zeroize::Zeroizing;

use super::json_object::readable;
use super::{http_date, reset_headers};
use crate::clock::{Clock as _, SystemClock};
use crate::error::{Error, ErrorKind};
use crate::text::on_one_line;

const LONGEST_CODE: usize = 64;
const LONGEST_MESSAGE: usize = 200;

pub(crate) struct Answer<'a> {
    pub(crate) operation: &'static str,
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Zeroizing<Vec<u8>>,
    /// The secrets in the request, which must not appear in an error's text.
    pub(crate) secrets: Vec<&'a str>,
}

impl Answer<'_> {
    pub(crate) fn is_empty(&self) -> bool {
        self.body.trim_ascii().is_empty()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .get(name)?
            .to_str()
            .ok()
            .filter(|value| !value.is_empty())
    }

    pub(crate) fn date(&self) -> Option<SystemTime> {
        http_date::parse(self.header(DATE.as_str())?)
    }

    pub(crate) fn error(&self, kind: ErrorKind, text: &str, code: Option<String>) -> Error {
        Error::own(kind, format!("{}: {text}", self.operation))
            .with_answer(self.status.as_u16(), code)
    }

    /// Returns the error of a failed answer, with the server's error code and message, if it sent them. The error
    /// repeats no secret of the request.
    #[cfg(feature = "auth-api")]
    pub(crate) fn refused(&self, code: Option<String>, message: Option<String>) -> Error {
        let kind = ErrorKind::of_status(self.status.as_u16(), code.as_deref());
        self.refused_as(kind, code, message)
    }

    /// Like [`refused`](Self::refused), with an error of this kind.
    pub(crate) fn refused_as(
        &self,
        kind: ErrorKind,
        code: Option<String>,
        message: Option<String>,
    ) -> Error {
        if self.status.is_redirection() {
            return redirected(self.operation, self.status);
        }
        let code = code.filter(|code| is_code(code));
        let text = match &code {
            Some(code) => format!("the auth server answers {code}"),
            _ if self.is_empty() => format!("the answer is {} with an empty body", self.status),
            _ => format!(
                "the answer is {} with an unexpected body; check that no proxy answers for the auth server",
                self.status
            ),
        };
        // Truncated before it is searched for secrets.
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

    /// Checks that a success of a revocation is the server's own: without a body, or with JSON. A captive portal answers
    /// with a page.
    pub(crate) fn check_revoked(&self) -> Result<(), Error> {
        let text = readable(&self.body);
        if self.is_empty() || serde_json::from_str::<IgnoredAny>(&text).is_ok() {
            return Ok(());
        }
        Err(self.not_revoked("a body that is not JSON"))
    }

    pub(crate) fn not_revoked(&self, with: &str) -> Error {
        let text = format!(
            "the answer is {} with {with}, so the token is not revoked; check that no proxy or \
             captive portal answers for the auth server",
            self.status
        );
        self.error(ErrorKind::Protocol, &text, None)
    }

    /// Returns the pause of `Retry-After`: seconds, or an HTTP date (RFC 9110, section 10.2.3). A date is
    /// compared with the `Date` of the answer, or with the local clock if there is none.
    fn retry_after(&self) -> Option<Duration> {
        let now = || self.date().unwrap_or_else(|| SystemClock::default().wall());
        let Some(value) = self.header(RETRY_AFTER.as_str()).map(str::trim) else {
            let is_limited = self.status == StatusCode::TOO_MANY_REQUESTS;
            return is_limited.then(|| reset_headers::pause(&self.headers, now()))?;
        };
        if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
            return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
        }
        let date = http_date::parse(value)?;
        Some(date.duration_since(now()).unwrap_or_default())
    }
}

pub(super) fn redirected(operation: &str, status: StatusCode) -> Error {
    Error::own(
        ErrorKind::Protocol,
        format!(
            "{operation}: the auth server redirects, and secrets are not sent to another URL; configure \
             the final URL"
        ),
    )
    .with_answer(status.as_u16(), None)
}

/// Returns whether this is a code, and not a sentence.
pub(crate) fn is_code(code: &str) -> bool {
    (1..=LONGEST_CODE).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_graphic())
}
