//! The error type of the crate. Cloning it is cheap, since all callers that waited for one exchange get the
//! same error.

mod create;
mod kind;
#[cfg(feature = "reqwest")]
mod of_reqwest;
mod withhold;

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use kind::ErrorKind;

use crate::unwind::caught;

/// Describes why no token is available, or why a call to the auth server failed.
///
/// All callers that waited for one exchange get clones of the same error; a clone increments a reference
/// count. The text of the error and the texts of its [`source`](StdError::source)s contain no secret.
///
/// # Examples
///
/// ```
/// use everbearer::{Error, ErrorKind};
///
/// fn worth_a_retry(error: &Error) -> bool {
///     match error.kind() {
///         ErrorKind::Denied => false, // alert an operator: the credential must be replaced
///         _ => error.is_retryable(),
///     }
/// }
/// # assert!(worth_a_retry(&Error::transient("the vault is sealed")));
/// ```
#[derive(Clone)]
pub struct Error {
    inner: Arc<Inner>,
}

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    text: String,
    /// The message of the auth server, or the text of a user's error.
    message: Option<String>,
    status: Option<u16>,
    code: Option<String>,
    retry_after: Option<Duration>,
    /// Whether the server cannot have acted on the request.
    is_unsent: bool,
    source: Option<Arc<Source>>,
}

/// An error of user code, whose destructor may panic.
struct Source(Option<Box<dyn StdError + Send + Sync>>);

impl Drop for Source {
    fn drop(&mut self) {
        let source = self.0.take();
        caught(|| drop(source));
    }
}

impl Error {
    /// Finds an error of this crate: `error` itself, or the first one in the chain of its sources. Use it to
    /// find why `BearerMiddleware` did not send a request, even if other middleware has wrapped the error.
    ///
    /// # Examples
    ///
    /// ```
    /// use everbearer::{Error, ErrorKind};
    ///
    /// #[derive(Debug, thiserror::Error)]
    /// #[error("the report was not sent")]
    /// struct NotSent(#[source] Error);
    ///
    /// let error = NotSent(Error::transient("the auth server is down"));
    /// let found = Error::find_in(&error).unwrap();
    /// assert_eq!(found.kind(), ErrorKind::Issuer);
    /// assert!(found.is_retryable());
    /// ```
    pub fn find_in<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(found) = error.downcast_ref() {
                return Some(found);
            }
            next = error.source();
        }
        None
    }

    /// Returns whether the server may have acted on the request although its answer did not arrive.
    pub(crate) fn has_unknown_outcome(&self) -> bool {
        let is_rejected = match self.inner.status {
            // The answer cannot be used, and may have replaced the token.
            Some(200..=299) => return true,
            Some(300..=407 | 409..=499) => true,
            // A proxy answers 503, too, if the connection breaks behind it.
            Some(503) => self.code().is_some() || self.retry_after().is_some(),
            _ => false,
        };
        match self.kind() {
            ErrorKind::Timeout
            | ErrorKind::Unreachable
            | ErrorKind::Server
            | ErrorKind::Protocol
            | ErrorKind::Issuer => !self.inner.is_unsent && !is_rejected,
            _ => false,
        }
    }

    /// Returns the kind of the error.
    ///
    /// # Examples
    ///
    /// ```
    /// use everbearer::{Error, ErrorKind, LongTermToken};
    ///
    /// let error = LongTermToken::new("").unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::InvalidToken);
    /// ```
    pub fn kind(&self) -> ErrorKind {
        self.inner.kind
    }

    /// Returns whether the same call may succeed later without a change of the configuration or the
    /// credential.
    ///
    /// # Examples
    ///
    /// ```
    /// use everbearer::{Error, ErrorKind};
    ///
    /// assert!(Error::new(ErrorKind::Server, "502 from the gateway").is_retryable());
    /// assert!(!Error::new(ErrorKind::Denied, "unknown client").is_retryable());
    /// ```
    pub fn is_retryable(&self) -> bool {
        self.inner.kind.is_retryable()
    }

    /// Returns the pause that the server requested (`Retry-After`), counted from its response.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use everbearer::Error;
    ///
    /// let error = Error::transient("busy").with_retry_after(Duration::from_secs(3));
    /// assert_eq!(error.retry_after(), Some(Duration::from_secs(3)));
    /// ```
    pub fn retry_after(&self) -> Option<Duration> {
        self.inner.retry_after
    }

    /// Returns the error code of the auth server's response, such as `invalid_grant`, including unknown
    /// codes.
    ///
    /// # Examples
    ///
    /// ```
    /// use everbearer::Error;
    ///
    /// assert_eq!(Error::terminal("refused").with_code("invalid_grant").code(), Some("invalid_grant"));
    /// ```
    pub fn code(&self) -> Option<&str> {
        self.inner.code.as_deref()
    }

    /// Returns the HTTP status of the auth server's response.
    ///
    /// # Examples
    ///
    /// ```
    /// use everbearer::Error;
    ///
    /// assert_eq!(Error::transient("bad gateway").with_status(502).status(), Some(502));
    /// ```
    pub fn status(&self) -> Option<u16> {
        self.inner.status
    }

    /// Returns whether the code says that the server does not accept the token.
    pub(crate) fn names_refused_token(&self) -> bool {
        let codes = [
            "invalid_token",
            "token_expired",
            "token_revoked",
            "invalid_grant",
        ];
        let code = self.code().filter(|_| !self.is_retryable());
        code.is_some_and(|code| codes.iter().any(|it| code.eq_ignore_ascii_case(it)))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = &self.inner.text;
        match &self.inner.message {
            Some(message) if text.is_empty() => f.write_str(message),
            Some(message) => write!(f, "{text}: {message}"),
            None => f.write_str(text),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.inner;
        let mut out = f.debug_struct("Error");
        out.field("kind", &inner.kind)
            .field("text", &self.to_string());
        if let Some(status) = inner.status {
            out.field("status", &status);
        }
        if let Some(code) = &inner.code {
            out.field("code", code);
        }
        if let Some(pause) = inner.retry_after {
            out.field("retry_after", &pause);
        }
        if let Some(source) = self.source() {
            out.field("source", &source);
        }
        out.finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self.inner.source.as_ref()?.0.as_ref() {
            Some(source) => Some(&**source),
            None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clone_is_the_same_failure() {
        let error = Error::transient("sealed").with_retry_after(Duration::from_secs(3));
        let clone = error.clone();
        assert!(Arc::ptr_eq(&error.inner, &clone.inner));
        assert_eq!(clone.retry_after(), Some(Duration::from_secs(3)));
        assert!(clone.is_retryable());
        assert!(!Error::terminal("no such role").is_retryable());
    }

    #[test]
    fn o21_an_answer_that_cannot_be_used_may_have_replaced_the_token() {
        let of = |status| Error::own(ErrorKind::Config, "DPoP").with_status(status);
        assert!(of(200).has_unknown_outcome());
        assert!(!of(400).has_unknown_outcome());
        let busy = Error::own(ErrorKind::Server, "busy").with_status(503);
        assert!(
            busy.has_unknown_outcome(),
            "the connection behind a proxy broke"
        );
        let refused = busy.with_retry_after(Duration::from_secs(1));
        assert!(!refused.has_unknown_outcome());
    }

    #[test]
    fn the_text_does_not_repeat_its_source() {
        let error = Error::transient("sealed");
        assert_eq!(error.to_string(), "the token issuer failed");
        assert_eq!(error.source().unwrap().to_string(), "sealed");
    }
}
