//! What kind of failure an error is.

/// What kind of failure an [`Error`](super::Error) is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Something that was configured cannot work; the text says what, and what to do.
    Config,
    /// A token that cannot stand in a header, or that is not what it claims to be.
    InvalidToken,
    /// The auth server could not be reached, or the connection broke.
    Unreachable,
    /// The auth server did not answer in time.
    Timeout,
    /// The auth server asks for a pause (429).
    RateLimited,
    /// The auth server failed (5xx).
    Server,
    /// The auth server refuses the credential (401, 403, `invalid_grant` and its kin): trying
    /// again with the same one is no use. Also what [`invalidate`](crate::TokenProvider::invalidate) says
    /// of a token that was minted just now.
    Denied,
    /// The auth server refuses the request as such (400 and other 4xx, with a code), or answers a
    /// revocation with an empty 404.
    InvalidRequest,
    /// The answer is not what the contract says: no JSON, an empty token, one already expired, a
    /// refusal without a code. Something else may answer for the auth server.
    Protocol,
    /// A [`TokenIssuer`](crate::TokenIssuer), a [signer](crate::AssertionSigner) or a callback of
    /// the user's failed or panicked.
    Issuer,
    /// The caller waited as long as the policy allows; its source is the last failure, if any.
    WaitTimeout,
    /// The file of a [`SecretSource`](crate::SecretSource) is missing, empty or unreadable, or another user can
    /// replace it; the text names the path. The next attempt may succeed.
    Secret,
    /// A [`TokenStore`](crate::TokenStore) cannot be read or written, or holds no whole record.
    Store,
    /// Another process has changed what a [`TokenStore`](crate::TokenStore) holds.
    Conflict,
    /// As many sets of scopes have tokens as the policy allows.
    TooManyScopeSets,
    /// No token lives as long as the caller asks for.
    LifetimeTooShort,
    /// The auth server returned the token in use again instead of a newer one.
    Unchanged,
    /// The provider was shut down.
    ShutDown,
    /// There is no tokio runtime to run on, or it is shutting down.
    NoRuntime,
}

impl ErrorKind {
    /// A stable name, for metrics and log fields.
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
            Self::LifetimeTooShort => "too_short_lived",
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
}
