//! The kinds of error.

/// Classifies an [`Error`](super::Error).
///
/// # Examples
///
/// ```
/// use everbearer::{Error, ErrorKind};
///
/// let error = Error::new(ErrorKind::Timeout, "vault did not answer within 5 s");
/// match error.kind() {
///     ErrorKind::Denied => println!("replace the credential: {error}"),
///     _ if error.is_retryable() => println!("will be retried: {error}"),
///     _ => println!("failed: {error}"),
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The configuration is invalid. The text says what is wrong and what to do.
    Config,
    /// A token cannot be sent in a header, or its ID cannot be sent in a URL.
    InvalidToken,
    /// The auth server could not be reached, or the connection broke.
    Unreachable,
    /// The auth server did not respond in time.
    Timeout,
    /// The auth server requested a pause (429).
    RateLimited,
    /// The auth server failed (5xx).
    Server,
    /// The auth server refused the credential (401, 403, `invalid_grant` and similar codes), so retrying with
    /// the same credential does not help. [`invalidate`](crate::TokenProvider::invalidate) also returns it if
    /// the refused token is too new to be replaced.
    Denied,
    /// The auth server refused the request (400 and other 4xx with a code), or responded to a revocation with
    /// an empty 404.
    InvalidRequest,
    /// The response breaks the contract: it is not JSON, its token is empty or has expired, or it is a
    /// refusal without a code. Another server may have responded in place of the auth server.
    Protocol,
    /// A [`TokenIssuer`](crate::TokenIssuer), an [`AssertionSigner`](crate::AssertionSigner) or a callback of
    /// yours failed or panicked.
    Issuer,
    /// The caller waited as long as [`RetryPolicy::wait_timeout`](crate::RetryPolicy::wait_timeout) or its
    /// own limit allows. The source is the last failure, if there was one.
    WaitTimeout,
    /// The file of a [`SecretSource`](crate::SecretSource) is missing, empty or unreadable, or another user
    /// can replace it. The text names the path. The next attempt may succeed.
    Secret,
    /// A [`TokenStore`](crate::TokenStore) cannot be read or written, or holds no complete record.
    Store,
    /// Another process has changed the record in a [`TokenStore`](crate::TokenStore).
    Conflict,
    /// As many scope sets have tokens as [`ScopePolicy::max_sets`](crate::ScopePolicy::max_sets) allows.
    TooManyScopeSets,
    /// As many providers are in use as [`TokenProviders::max_providers`](crate::TokenProviders::max_providers) allows.
    TooManyProviders,
    /// The auth server issues no token that is valid for as long as the caller needs.
    LifetimeTooShort,
    /// The auth server returned the token in use again instead of a newer one.
    Unchanged,
    /// The provider has been shut down.
    ShutDown,
    /// The call was made outside of a tokio runtime, or the runtime is shutting down.
    NoRuntime,
}

impl ErrorKind {
    /// Returns a stable name, for metrics and log fields.
    ///
    /// # Examples
    ///
    /// ```
    /// use everbearer::ErrorKind;
    ///
    /// assert_eq!(ErrorKind::RateLimited.as_str(), "rate_limited");
    /// ```
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::InvalidToken => "invalid_token",
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
            Self::RateLimited => "rate_limited",
            Self::Server => "server",
            Self::Denied => "denied",
            Self::InvalidRequest => "invalid_request",
            Self::Protocol => "protocol",
            Self::Issuer => "issuer",
            Self::WaitTimeout => "wait_timeout",
            Self::Secret => "secret",
            Self::Store => "store",
            Self::Conflict => "conflict",
            Self::TooManyScopeSets => "too_many_scope_sets",
            Self::TooManyProviders => "too_many_providers",
            Self::LifetimeTooShort => "lifetime_too_short",
            Self::Unchanged => "unchanged",
            Self::ShutDown => "shut_down",
            Self::NoRuntime => "no_runtime",
        }
    }

    pub(super) const fn is_retryable(self) -> bool {
        match self {
            Self::Unreachable
            | Self::Timeout
            | Self::RateLimited
            | Self::Server
            | Self::Protocol
            | Self::Issuer
            | Self::WaitTimeout
            | Self::Secret
            | Self::Store
            | Self::Conflict
            | Self::TooManyScopeSets
            | Self::TooManyProviders
            | Self::Unchanged => true,
            Self::Config
            | Self::InvalidToken
            | Self::Denied
            | Self::InvalidRequest
            | Self::LifetimeTooShort
            | Self::ShutDown
            | Self::NoRuntime => false,
        }
    }

    /// Returns what a failed answer means, by its HTTP status and the server's error code.
    ///
    /// 1. A 5xx is the server's own failure, whatever its code.
    /// 2. A 401 with a code is a refusal, whatever the code.
    /// 3. Otherwise a known code decides.
    /// 4. Otherwise the status decides. A refusal without a code may come from a gateway, so it is
    ///    retryable.
    pub(crate) fn of_status(status: u16, code: Option<&str>) -> Self {
        if status >= 500 {
            return Self::Server;
        }
        if status == 401 && code.is_some() {
            return Self::Denied;
        }
        let code = code.map(str::to_ascii_lowercase);
        match code.as_deref() {
            Some("rate_limited" | "rate_limit_exceeded" | "slow_down" | "too_many_requests") => {
                return Self::RateLimited;
            }
            Some("temporarily_unavailable" | "server_error") => return Self::Server,
            Some(
                "invalid_grant"
                | "invalid_client"
                | "unauthorized"
                | "unauthorized_client"
                | "invalid_token"
                | "token_expired"
                | "token_revoked"
                | "insufficient_scope"
                | "access_denied",
            ) => return Self::Denied,
            _ => {}
        }
        match status {
            429 => Self::RateLimited,
            408 | 425 => Self::Server,
            400..=499 if code.is_none() => Self::Protocol,
            403 => Self::Denied,
            400..=499 => Self::InvalidRequest,
            _ => Self::Server,
        }
    }
}
