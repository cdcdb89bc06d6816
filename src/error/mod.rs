//! The error type of the crate. Cloning it is cheap, since all callers that waited for one exchange get the
//! same error.

mod kind;
#[cfg(feature = "reqwest")]
mod of_reqwest;
mod withhold;

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use kind::ErrorKind;

use crate::text::on_one_line;
use crate::unwind::caught;

/// The longest text of a user's error, in characters.
const LONGEST_TEXT: usize = 16_384;

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
    /// Creates an error of any kind, for a [`TokenIssuer`](crate::TokenIssuer) or a
    /// [`TokenStore`](crate::TokenStore) of your own.
    ///
    /// The kind decides what the provider does next ([`is_retryable`](Self::is_retryable)). The text becomes
    /// one line of at most 16,384 characters. The provider withholds it if it repeats a secret that the
    /// provider knows.
    ///
    /// # Examples
    ///
    /// ```
    /// use everbearer::{Error, ErrorKind};
    ///
    /// let error = Error::new(ErrorKind::Server, "vault is sealed; unseal it").with_status(503);
    /// assert!(error.is_retryable());
    /// assert_eq!(error.to_string(), "vault is sealed; unseal it");
    /// ```
    pub fn new(kind: ErrorKind, text: impl Into<String>) -> Self {
        // As a message, the text is searched for secrets.
        Self::own(kind, "").with_message(on_one_line(&text.into(), LONGEST_TEXT))
    }

    /// Creates a retryable error for a [`TokenIssuer`](crate::TokenIssuer) of your own, with the kind
    /// [`ErrorKind::Issuer`]. The provider retries after a backoff.
    ///
    /// The provider may drop `source` while it holds a lock, so a destructor of `source` must not call the
    /// provider.
    ///
    /// # Examples
    ///
    /// ```
    /// use everbearer::Error;
    ///
    /// let error = Error::transient(std::io::Error::other("no route to host"));
    /// assert!(error.is_retryable());
    /// ```
    pub fn transient(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::own(ErrorKind::Issuer, "the token issuer failed").with_source(source)
    }

    /// Creates an error that is not retryable for a [`TokenIssuer`](crate::TokenIssuer) of your own, with the
    /// kind [`ErrorKind::Denied`]. The provider pauses, as
    /// [`RetryPolicy::terminal_backoff`](crate::RetryPolicy::terminal_backoff) describes.
    ///
    /// The provider may drop `source` while it holds a lock, so a destructor of `source` must not call the
    /// provider.
    ///
    /// # Examples
    ///
    /// ```
    /// use everbearer::Error;
    ///
    /// let error = Error::terminal("the role does not exist").with_code("invalid_grant");
    /// assert!(!error.is_retryable());
    /// ```
    pub fn terminal(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::own(ErrorKind::Denied, "the token issuer refused the request").with_source(source)
    }

    /// Creates an error for a [`TokenStore`](crate::TokenStore) of your own that cannot be read or written,
    /// with the kind [`ErrorKind::Store`]. The provider tries again.
    ///
    /// The provider may drop `source` while it holds a lock, so a destructor of `source` must not call the
    /// provider.
    ///
    /// # Examples
    ///
    /// ```
    /// use everbearer::{Error, ErrorKind};
    ///
    /// let error = Error::store(std::io::Error::other("the database is read-only"));
    /// assert_eq!(error.kind(), ErrorKind::Store);
    /// ```
    pub fn store(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::own(ErrorKind::Store, "the token store failed").with_source(source)
    }

    /// Creates the error that a [`TokenStore`](crate::TokenStore) of your own returns if it holds another
    /// version than the one that was to be replaced, with the kind [`ErrorKind::Conflict`].
    ///
    /// # Examples
    ///
    /// ```
    /// use everbearer::{Error, ErrorKind};
    ///
    /// assert_eq!(Error::conflict().kind(), ErrorKind::Conflict);
    /// ```
    pub fn conflict() -> Self {
        Self::own(
            ErrorKind::Conflict,
            "another process has changed the record in the token store",
        )
    }

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

    /// Creates the error of an answer of the auth server that is not a success, by its HTTP status and error code
    /// (RFC 6749, section 5.2), for a [`TokenIssuer`](crate::TokenIssuer) of your own.
    ///
    /// A 5xx decides first, then a 401 with a code, then a known code, then the status:
    ///
    /// | Answer | Kind |
    /// |---|---|
    /// | 5xx, 408, 425; the code `temporarily_unavailable` or `server_error` | [`Server`](ErrorKind::Server) |
    /// | 429; the code `rate_limited`, `rate_limit_exceeded`, `slow_down` or `too_many_requests` | [`RateLimited`](ErrorKind::RateLimited) |
    /// | 401 with any code; `invalid_client`, `invalid_grant`, `access_denied` and their like; 403 with any code | [`Denied`](ErrorKind::Denied) |
    /// | another 4xx with a code | [`InvalidRequest`](ErrorKind::InvalidRequest) |
    /// | a 4xx without a code, which may come from a gateway | [`Protocol`](ErrorKind::Protocol) |
    ///
    /// If the server sends no codes, pass one that fits, such as `invalid_token` with a 403 that refuses the
    /// long-term token.
    ///
    /// # Examples
    ///
    /// ```
    /// use everbearer::{Error, ErrorKind};
    ///
    /// let error = Error::from_status(400, Some("invalid_client"), "the client is unknown");
    /// assert_eq!(error.kind(), ErrorKind::Denied);
    /// assert_eq!(error.code(), Some("invalid_client"));
    /// assert!(Error::from_status(503, None, "sealed").is_retryable());
    /// ```
    pub fn from_status(status: u16, code: Option<&str>, text: impl Into<String>) -> Self {
        let error = Self::new(ErrorKind::of_status(status, code), text).with_status(status);
        match code {
            Some(code) => error.with_code(code),
            None => error,
        }
    }

    /// Withholds the parts of the error that repeat one of these secrets, for a [`TokenIssuer`](crate::TokenIssuer)
    /// that has secrets of its own. The provider does the same for the tokens and secrets that it knows.
    ///
    /// # Examples
    ///
    /// ```
    /// use everbearer::{Error, ErrorKind};
    ///
    /// let error = Error::new(ErrorKind::Denied, "the client correct-horse is unknown");
    /// let error = error.without_secrets(&["correct-horse"]);
    /// assert!(!error.to_string().contains("correct-horse"));
    /// ```
    #[must_use]
    pub fn without_secrets(self, secrets: &[&str]) -> Self {
        self.without(secrets)
    }

    /// Sets the server's error code, such as `invalid_token`.
    ///
    /// If a provider has a grant, it obtains another long-term token after an error that is not
    /// [retryable](Self::is_retryable) and has the code `invalid_token`, `token_expired` or `invalid_grant`, and
    /// after an [`ErrorKind::Denied`] without a code.
    ///
    /// ```
    /// use everbearer::Error;
    ///
    /// let error = Error::terminal("the refresh token was revoked").with_code("invalid_grant");
    /// assert_eq!(error.code(), Some("invalid_grant"));
    /// ```
    #[must_use]
    pub fn with_code(mut self, code: impl Into<String>) -> Self {
        Arc::make_mut(&mut self.inner).code = Some(code.into());
        self
    }

    /// Sets the cause, which [`source`](StdError::source) returns.
    ///
    /// The provider may drop `source` while it holds a lock, so a destructor of `source` must not call the
    /// provider.
    ///
    /// ```
    /// use everbearer::{Error, ErrorKind};
    ///
    /// let cause = std::io::Error::other("no route to host");
    /// let error = Error::new(ErrorKind::Unreachable, "vault:8200").with_source(cause);
    /// assert!(std::error::Error::source(&error).is_some());
    /// ```
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Arc::make_mut(&mut self.inner).source = Some(Arc::new(Source(Some(source.into()))));
        self
    }

    /// Sets the HTTP status of the auth server's response.
    ///
    /// ```
    /// use everbearer::{Error, ErrorKind};
    ///
    /// let error = Error::new(ErrorKind::Denied, "permission denied").with_status(403);
    /// assert_eq!(error.status(), Some(403));
    /// ```
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        Arc::make_mut(&mut self.inner).status = Some(status);
        self
    }

    /// Sets the pause that the server requested.
    ///
    /// ```
    /// use std::time::Duration;
    /// use everbearer::{Error, ErrorKind};
    ///
    /// let error = Error::new(ErrorKind::RateLimited, "too many requests")
    ///     .with_retry_after(Duration::from_secs(20));
    /// assert_eq!(error.retry_after(), Some(Duration::from_secs(20)));
    /// ```
    #[must_use]
    pub fn with_retry_after(mut self, pause: Duration) -> Self {
        Arc::make_mut(&mut self.inner).retry_after = Some(pause);
        self
    }

    /// States that the request was not sent, such as when no connection could be established, so that the server cannot
    /// have acted on it. With [`Needs::Replacing`](crate::Needs::Replacing), the provider then repeats the exchange as
    /// after any other failure.
    ///
    /// ```
    /// use everbearer::{Error, ErrorKind};
    ///
    /// let error = Error::new(ErrorKind::Unreachable, "connection refused").unsent();
    /// ```
    #[must_use]
    pub fn unsent(mut self) -> Self {
        Arc::make_mut(&mut self.inner).is_unsent = true;
        self
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

    /// Creates an error whose text this crate wrote, which repeats no secret.
    pub(crate) fn own(kind: ErrorKind, text: impl Into<String>) -> Self {
        Self {
            inner: Arc::new(Inner {
                kind,
                text: text.into(),
                message: None,
                status: None,
                code: None,
                retry_after: None,
                is_unsent: false,
                source: None,
            }),
        }
    }

    /// Prefixes the text with the place of the error, or with what has led to it.
    #[cfg(any(all(unix, feature = "file-store"), feature = "oauth2"))]
    pub(crate) fn at(mut self, place: impl fmt::Display) -> Self {
        let inner = Arc::make_mut(&mut self.inner);
        inner.text = format!("{place}: {}", inner.text);
        self
    }

    /// Creates the error of stored content that cannot be used, for this reason.
    pub(crate) fn unreadable(how: &str) -> Self {
        Self::own(ErrorKind::Store, format!("the stored content {how}"))
    }

    /// Adds the message of the auth server, truncated and on one line.
    pub(crate) fn with_message(mut self, message: String) -> Self {
        Arc::make_mut(&mut self.inner).message = Some(message);
        self
    }

    #[cfg(any(feature = "auth-api", feature = "oauth2"))]
    pub(crate) fn with_answer(mut self, status: u16, code: Option<String>) -> Self {
        let inner = Arc::make_mut(&mut self.inner);
        inner.status = Some(status);
        inner.code = code;
        self
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
