//! The one error type, cheap to clone: one failure reaches many waiters.

mod kind;
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

/// Why no token is to be had, or why a call to the auth server failed.
///
/// Cloning it is a reference count: all callers that waited for one exchange are given the same
/// failure. Its text and that of its [`source`](StdError::source)s hold no secret.
///
/// # Examples
///
/// ```
/// use everbearer::{Error, ErrorKind};
///
/// fn worth_a_retry(error: &Error) -> bool {
///     match error.kind() {
///         ErrorKind::Denied => false, // the credential is no longer good: tell a person
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
    /// What the auth server said, or the text of a user's error.
    message: Option<String>,
    status: Option<u16>,
    code: Option<String>,
    retry_after: Option<Duration>,
    source: Option<Arc<Source>>,
}

/// A user's error, whose destructor may panic.
struct Source(Option<Box<dyn StdError + Send + Sync>>);

impl Drop for Source {
    fn drop(&mut self) {
        let source = self.0.take();
        caught(|| drop(source));
    }
}

impl Error {
    /// Creates an error of any kind, for a [`TokenIssuer`](crate::TokenIssuer) or a
    /// [`TokenStore`](crate::TokenStore) of your own. The kind decides what the provider does next
    /// ([`is_retryable`](Self::is_retryable)). The text becomes one line of at most 16,384 characters; the provider
    /// withholds it if it repeats a secret that the provider knows.
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

    /// A failure of a user's own [`TokenIssuer`](crate::TokenIssuer) that may pass: the engine
    /// backs off and tries again.
    ///
    /// The provider may drop `source` while it holds a lock, so a destructor of `source` must not call the
    /// provider.
    pub fn transient(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::new(ErrorKind::Issuer, "the token issuer failed").with_source(source)
    }

    /// A failure of a user's own [`TokenIssuer`](crate::TokenIssuer) that will not pass by
    /// itself: the engine stops trying until something changes.
    ///
    /// The provider may drop `source` while it holds a lock, so a destructor of `source` must not call the
    /// provider.
    pub fn terminal(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::new(ErrorKind::Denied, "the token issuer refuses").with_source(source)
    }

    /// A failure of a user's own [`TokenStore`](crate::TokenStore): what it holds cannot be read or
    /// written at the moment.
    ///
    /// The provider may drop `source` while it holds a lock, so a destructor of `source` must not call the
    /// provider.
    pub fn store(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::new(ErrorKind::Store, "the token store failed").with_source(source)
    }

    /// What a user's own [`TokenStore`](crate::TokenStore) says when another version is there than
    /// the one that was to be replaced.
    pub fn conflict() -> Self {
        Self::new(
            ErrorKind::Conflict,
            "somebody else has changed what the token store holds",
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

    /// Says the server's error code, such as `invalid_token`.
    ///
    /// A provider that starts from a grant obtains another long-term token after an error that is not
    /// [retryable](Self::is_retryable) and has the code `invalid_token`, `token_expired` or `invalid_grant`, and
    /// after an [`ErrorKind::Denied`] that has neither a code nor a [status](Self::with_status). An issuer for a
    /// server without error codes sets `invalid_token` where the server refuses the long-term token.
    #[must_use]
    pub fn with_code(mut self, code: impl Into<String>) -> Self {
        Arc::make_mut(&mut self.inner).code = Some(code.into());
        self
    }

    /// Adds the cause, which [`source`](StdError::source) returns.
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

    /// Says the HTTP status of the auth server's answer. An [`ErrorKind::Denied`] with a status refuses the
    /// long-term token only if its [code](Self::with_code) says so.
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

    /// Says how long the server asks to wait.
    #[must_use]
    pub fn with_retry_after(mut self, pause: Duration) -> Self {
        Arc::make_mut(&mut self.inner).retry_after = Some(pause);
        self
    }

    /// What kind of failure this is.
    pub fn kind(&self) -> ErrorKind {
        self.inner.kind
    }

    /// Whether the same call may succeed later without anyone changing anything.
    pub fn is_retryable(&self) -> bool {
        self.inner.kind.is_retryable()
    }

    /// How long the server asked to wait (`Retry-After`), counted from its answer.
    pub fn retry_after(&self) -> Option<Duration> {
        self.inner.retry_after
    }

    /// The auth server's error code, such as `invalid_grant`, known or not.
    pub fn code(&self) -> Option<&str> {
        self.inner.code.as_deref()
    }

    /// The HTTP status of the auth server's answer.
    pub fn status(&self) -> Option<u16> {
        self.inner.status
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
                source: None,
            }),
        }
    }

    /// Names the place that this is about.
    #[cfg(all(unix, feature = "file-store"))]
    pub(crate) fn at(mut self, place: impl fmt::Display) -> Self {
        let inner = Arc::make_mut(&mut self.inner);
        inner.text = format!("{place}: {}", inner.text);
        self
    }

    /// What is stored cannot be used, for this reason.
    pub(crate) fn unreadable(how: &str) -> Self {
        Self::new(ErrorKind::Store, format!("what is stored {how}"))
    }

    /// Adds what the auth server said: one line, cut to length.
    pub(crate) fn with_message(mut self, message: String) -> Self {
        Arc::make_mut(&mut self.inner).message = Some(message);
        self
    }

    #[cfg(feature = "auth-api")]
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
    fn the_text_does_not_repeat_its_source() {
        let error = Error::transient("sealed");
        assert_eq!(error.to_string(), "the token issuer failed");
        assert_eq!(error.source().unwrap().to_string(), "sealed");
    }
}
