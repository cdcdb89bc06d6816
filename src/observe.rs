//! What happened, as values; the same values become tracing events.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::broadcast;

use crate::error::Error;

const TARGET: &str = "everbearer";
/// So many happenings are kept for a subscriber that is slow to read them.
const BACKLOG: usize = 256;

/// Something that happened to a provider, in the order in which it happened.
///
/// Each is also a tracing event with the target `everbearer`, as
/// [`guide::observation`](crate::guide::observation) lists them. None holds a secret.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Happening {
    /// A long-term token was obtained by a grant.
    #[non_exhaustive]
    LongTermObtained {
        /// Its ID, if the server gave one.
        token_id: Option<String>,
    },
    /// An exchange began.
    #[non_exhaustive]
    ExchangeBegan {
        /// The scopes that are asked for; empty if all.
        scopes: Arc<[String]>,
        /// How many exchanges in a row have failed before this one.
        failures: u32,
    },
    /// An exchange brought a token, which took the place of the one before.
    #[non_exhaustive]
    Swapped {
        /// The scopes that were asked for; empty if all.
        scopes: Arc<[String]>,
        /// Counts the tokens of this provider, of all its sets of scopes; the first is 1.
        generation: u64,
        /// The new token's ID, if the server gave one.
        token_id: Option<String>,
        /// How long the new token lives, counted from when it was asked for.
        life: Duration,
        /// How long the exchange took.
        took: Duration,
        /// How much of its life the token before had left; `None` if there was none before.
        previous_left: Option<Duration>,
    },
    /// An exchange brought no token. The token in use, if it is still good, stays in use.
    #[non_exhaustive]
    ExchangeFailed {
        /// The scopes that were asked for; empty if all.
        scopes: Arc<[String]>,
        /// Why.
        error: Error,
        /// How many exchanges in a row have failed, this one included.
        failures: u32,
        /// Whether the one before failed in the same way.
        repeats: bool,
        /// In how long the next attempt begins by itself; `None` if only a caller in need of a
        /// token brings it about.
        retry_in: Option<Duration>,
    },
    /// A resource server refused the token in use, and it is exchanged for another.
    #[non_exhaustive]
    Denied {
        /// The scopes of the token; empty if all.
        scopes: Arc<[String]>,
        /// The generation that was refused.
        generation: u64,
    },
    /// Nobody has used a set of scopes for long: its tokens are no longer refreshed, and are
    /// revoked.
    #[non_exhaustive]
    ScopesRetired {
        /// The set.
        scopes: Arc<[String]>,
    },
    /// There is another long-term token, by
    /// [`TokenProvider::renew`](crate::TokenProvider::renew).
    #[non_exhaustive]
    LongTermRenewed {
        /// Its ID, if it is known.
        token_id: Option<String>,
    },
    /// The shutdown began: no exchange begins any more.
    #[non_exhaustive]
    ShutdownBegan {
        /// How many short-term tokens are to be revoked.
        tokens: usize,
    },
    /// A token was revoked, or could not be and is not tried again.
    #[non_exhaustive]
    Revocation {
        /// Its ID, if the server gave one.
        token_id: Option<String>,
        /// Why it may live on; `None` if it is gone.
        error: Option<Error>,
    },
    /// The shutdown is over.
    ShutDown,
}

/// How a provider is at one moment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Status {
    /// In a word.
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
    /// The long-term token, if there is one.
    pub long_term: Option<LongTermStatus>,
}

/// What is known of the long-term token.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LongTermStatus {
    /// Its ID, if it is known.
    pub token_id: Option<String>,
    /// How long the provider has had it.
    pub age: Duration,
    /// When it ends by the server's clock, if that is known.
    pub expires_at: Option<SystemTime>,
}

/// A provider's state in a word.
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
    /// It is over.
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

/// What happens to a provider from now on; see
/// [`TokenProvider::subscribe`](crate::TokenProvider::subscribe).
#[derive(Debug)]
pub struct Subscription {
    receiver: broadcast::Receiver<Happening>,
}

impl Subscription {
    /// The next happening; `None` once the provider is gone. A subscriber that falls more than
    /// 256 behind misses the oldest ones.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no happening.
    pub async fn next(&mut self) -> Option<Happening> {
        loop {
            match self.receiver.recv().await {
                Ok(happening) => return Some(happening),
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }
}

/// Where happenings are told.
#[derive(Debug)]
pub(crate) struct Observers {
    sender: broadcast::Sender<Happening>,
}

impl Observers {
    pub(crate) fn new() -> Self {
        let (sender, _) = broadcast::channel(BACKLOG);
        Self { sender }
    }

    pub(crate) fn subscribe(&self) -> Subscription {
        Subscription {
            receiver: self.sender.subscribe(),
        }
    }

    pub(crate) fn tell(&self, happening: Happening) {
        log(&happening);
        // That nobody listens is no failure.
        let _ = self.sender.send(happening);
    }
}

/// The span within which the issuer exchanges, obtains included.
pub(crate) fn exchange_span(scopes: &[String]) -> tracing::Span {
    tracing::info_span!(target: TARGET, "exchange", ?scopes)
}

/// The span within which the issuer revokes a token.
pub(crate) fn revocation_span(token_id: Option<&str>) -> tracing::Span {
    tracing::info_span!(target: TARGET, "revocation", token_id)
}

fn log(happening: &Happening) {
    match happening {
        Happening::LongTermObtained { token_id } => {
            tracing::info!(target: TARGET, token_id, "obtained a long-term token");
        }
        Happening::LongTermRenewed { token_id } => {
            tracing::info!(target: TARGET, token_id, "took another long-term token");
        }
        Happening::ExchangeBegan { scopes, failures } => {
            tracing::debug!(target: TARGET, ?scopes, failures, "exchange began");
        }
        Happening::Swapped {
            scopes,
            generation,
            token_id,
            life,
            took,
            previous_left,
        } => tracing::info!(
            target: TARGET,
            ?scopes,
            generation,
            token_id,
            life_ms = millis(*life),
            took_ms = millis(*took),
            previous_left_ms = previous_left.map(millis),
            "swapped in a new token"
        ),
        Happening::ExchangeFailed {
            scopes,
            error,
            failures,
            repeats,
            retry_in,
        } => {
            let error_kind = error.kind().as_str();
            let retry_in_ms = retry_in.map(millis);
            // A failure that repeats warns once.
            if *repeats {
                tracing::debug!(
                    target: TARGET,
                    ?scopes, error_kind, %error, failures, retry_in_ms, "exchange failed"
                );
            } else {
                tracing::warn!(
                    target: TARGET,
                    ?scopes, error_kind, %error, failures, retry_in_ms, "exchange failed"
                );
            }
        }
        Happening::Denied { scopes, generation } => tracing::info!(
            target: TARGET,
            ?scopes,
            generation,
            "a resource server refused the token"
        ),
        Happening::ScopesRetired { scopes } => {
            tracing::info!(target: TARGET, ?scopes, "retired a set of scopes");
        }
        Happening::ShutdownBegan { tokens } => {
            tracing::info!(target: TARGET, tokens, "shutting down");
        }
        Happening::Revocation { token_id, error } => match error {
            None => tracing::info!(target: TARGET, token_id, "revoked a token"),
            Some(error) => {
                let error_kind = error.kind().as_str();
                tracing::warn!(
                    target: TARGET,
                    token_id, error_kind, %error, "could not revoke a token"
                );
            }
        },
        Happening::ShutDown => tracing::info!(target: TARGET, "shut down"),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
