//! How a provider is at one moment.

use std::time::{Duration, SystemTime};

use crate::error::Error;

/// How a provider is at one moment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Status {
    /// Summary of the provider's state.
    pub state: State,
    /// Grows with each token of this provider, of all its sets of scopes; 0 if this set had none
    /// yet.
    pub generation: u64,
    /// The ID of the token in use, if there is one and the server gave one.
    pub token_id: Option<String>,
    /// How much longer the token in use may go on requests; zero if it may not.
    pub usable_for: Duration,
    /// When the token in use ends, by this machine's wall clock.
    pub expires_at: Option<SystemTime>,
    /// In how long the next exchange begins by itself; `None` if one is under way, or if only a
    /// caller in need of a token brings it about.
    pub next_exchange_in: Option<Duration>,
    /// How many exchanges in a row have failed.
    pub consecutive_failures: u32,
    /// Why the last exchange failed, if none has succeeded since.
    pub last_error: Option<Error>,
    /// Why the store could not be read or written the last time, if it could not.
    pub store_error: Option<Error>,
    /// The long-term token, if there is one.
    pub long_term: Option<LongTermStatus>,
}

/// What is known of the long-term token.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LongTermStatus {
    /// Its ID, if it is known.
    pub token_id: Option<String>,
    /// How long the provider has had it.
    pub age: Duration,
    /// When it ends by the server's clock, if that is known.
    pub expires_at: Option<SystemTime>,
    /// In how long it is rotated, if it is to be by time.
    pub rotates_in: Option<Duration>,
    /// Why the last rotation failed, if none has succeeded since.
    pub last_error: Option<Error>,
}

/// Summary of a provider's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum State {
    /// There is no token yet, and no attempt has failed.
    Starting,
    /// There is a good token, and the last exchange succeeded.
    Fresh,
    /// There is a good token, but the last attempt to replace it failed.
    Failing,
    /// There is no good token; attempts go on.
    Unavailable,
    /// There is no good token, and the auth server refuses the credential: a person or a new
    /// credential is needed.
    Refused,
    /// Tokens are being revoked.
    ShuttingDown,
    /// Shutdown has finished.
    ShutDown,
}

impl State {
    /// A stable name, for metrics and log fields.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Fresh => "fresh",
            Self::Failing => "failing",
            Self::Unavailable => "unavailable",
            Self::Refused => "refused",
            Self::ShuttingDown => "shutting_down",
            Self::ShutDown => "shut_down",
        }
    }
}
