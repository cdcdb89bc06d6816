//! How errors are made.

use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;

use super::{Error, ErrorKind, Inner, Source};
use crate::text::on_one_line;

/// The longest text of a user's error, in characters.
const LONGEST_TEXT: usize = 16_384;

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
    pub(crate) fn at(mut self, place: impl std::fmt::Display) -> Self {
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
