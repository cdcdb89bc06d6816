//! What happened, as values; the same values become tracing events and metrics.

pub(crate) mod causes;
mod log;
#[cfg(feature = "metrics")]
mod metrics;
#[cfg(not(feature = "metrics"))]
mod no_metrics;
mod status;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::broadcast;

#[cfg(feature = "reqwest-middleware")]
pub(crate) use log::log_no_origin;
#[cfg(all(unix, feature = "file-store"))]
pub(crate) use log::log_unwatched;
pub(crate) use log::{
    log_assumed_life, log_clock, log_doubtful_life, log_exposed_auth_server, log_exposed_file,
    log_exposed_origin, log_left_out,
};
#[cfg(feature = "metrics")]
pub(crate) use metrics::Metrics;
#[cfg(not(feature = "metrics"))]
pub(crate) use no_metrics::Metrics;
pub use status::{LongTermStatus, State, Status};

use crate::error::Error;
use crate::unwind::caught;

const TARGET: &str = "everbearer";
/// So many events are kept for a subscriber that is slow to read them.
const BACKLOG: usize = 256;
/// The maximum number of uncovered origins that are logged as warnings.
const MOST_ORIGINS: usize = 64;

/// Something that happened to a provider, in the order in which it happened.
///
/// Each is also a tracing event with the target `everbearer`, as
/// [`guide::observation`](crate::guide::observation) lists them. None holds a secret.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
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
    /// An exchange returned the token in use again.
    #[non_exhaustive]
    Unchanged {
        /// The scopes that were asked for; empty if all.
        scopes: Arc<[String]>,
        /// The token's generation.
        generation: u64,
        /// How much of its life is left, by the latest statement.
        left: Duration,
        /// How long the exchange took.
        took: Duration,
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
    /// An exchange has failed, and there is no valid token: callers cannot be served until one succeeds. If the
    /// scope set is retired or evicted, or the provider shuts down, no [`OutageEnded`](Self::OutageEnded)
    /// follows.
    #[non_exhaustive]
    OutageBegan {
        /// The scopes that were asked for; empty if all.
        scopes: Arc<[String]>,
        /// Why the last exchange failed.
        error: Error,
        /// How many exchanges in a row have failed.
        failures: u32,
    },
    /// One or more outages go on. The provider reports this 30 s after the first outage began, and then after
    /// pauses that double, up to 1 h.
    #[non_exhaustive]
    OutageContinues {
        /// How many scope sets that are in use have no valid token.
        scope_sets: usize,
        /// How long the longest outage has lasted.
        lasted: Duration,
        /// Why the last exchange of the scope set with the longest outage failed.
        error: Error,
    },
    /// There is a valid token again.
    #[non_exhaustive]
    OutageEnded {
        /// The scopes that were asked for; empty if all.
        scopes: Arc<[String]>,
        /// How many exchanges it took, from the first one that failed to the one that returned the token.
        attempts: u64,
        /// How long the outage lasted.
        lasted: Duration,
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
    /// [`TokenProvider::set_long_term_token`](crate::TokenProvider::set_long_term_token).
    #[non_exhaustive]
    LongTermRenewed {
        /// Its ID, if it is known.
        token_id: Option<String>,
    },
    /// Somebody else has put another long-term token into the
    /// [store](crate::TokenProviderBuilder::store), and it was taken up.
    #[non_exhaustive]
    LongTermReloaded {
        /// Its ID, if it is known.
        token_id: Option<String>,
    },
    /// A rotation of the long-term token began.
    RotationBegan,
    /// The next long-term token is durably stored, was proven by an exchange, and is the one in
    /// use from now on. The one before is revoked after
    /// [`RotationPolicy::grace`](crate::RotationPolicy::grace).
    #[non_exhaustive]
    Rotated {
        /// The new one's ID, if it is known.
        token_id: Option<String>,
        /// The ID of the one before, if it is known.
        previous_id: Option<String>,
    },
    /// A rotation, or what else is to be done about the long-term token, failed; the one in use
    /// stays in use.
    #[non_exhaustive]
    RotationFailed {
        /// Why.
        error: Error,
        /// Whether the one before failed in the same way.
        repeats: bool,
        /// In how long it is tried again.
        retry_in: Option<Duration>,
    },
    /// The store could not be read or written. What was read from it last stays in use, and what
    /// is to be written is kept until it can be.
    #[non_exhaustive]
    StoreFailed {
        /// Why.
        error: Error,
        /// Whether the last attempt failed in the same way.
        repeats: bool,
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
    /// The shutdown's deadline passed before these revocations ended. The first 100 are reported one by one,
    /// as [`Revocation`](Self::Revocation); this counts the others.
    #[non_exhaustive]
    RevocationsUnfinished {
        /// How many tokens may still be valid.
        tokens: usize,
    },
    /// The shutdown is over.
    ShutDown,
}

/// What happens to a provider from now on; see
/// [`TokenProvider::subscribe`](crate::TokenProvider::subscribe).
#[derive(Debug)]
pub struct Subscription {
    receiver: broadcast::Receiver<Event>,
    /// The generations that were in use when the subscription began. Their swaps may be reported later.
    known: Vec<u64>,
}

impl Subscription {
    /// The next event; `None` once the provider is gone. A subscriber that falls more than
    /// 256 behind misses the oldest ones.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no event.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            match self.receiver.recv().await {
                Ok(Event::Swapped { generation, .. }) if self.known.contains(&generation) => {}
                Ok(event) => return Some(event),
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }
}

/// Where events are told.
#[derive(Debug)]
pub(crate) struct Observers {
    provider: String,
    /// Told of what is no event.
    pub(crate) metrics: Metrics,
    /// Made for the first who listens: its backlog takes 32 KiB.
    sender: OnceLock<broadcast::Sender<Event>>,
    /// The origins of requests that no configured origin covers, and whether a refusal by each was logged.
    uncovered: Mutex<HashMap<Box<str>, bool>>,
}

impl Observers {
    pub(crate) fn new(provider: &str, metrics: Metrics) -> Self {
        Self {
            provider: provider.to_owned(),
            metrics,
            sender: OnceLock::new(),
            uncovered: Mutex::default(),
        }
    }

    /// Logs that a request to this origin goes out without a token: as a warning once for each origin, for
    /// [`MOST_ORIGINS`] at most.
    pub(crate) fn uncovered(&self, origin: &str) {
        let is_first = {
            let mut known = self.uncovered_origins();
            let is_first = !known.contains_key(origin) && known.len() < MOST_ORIGINS;
            if is_first {
                known.insert(origin.into(), false);
            }
            is_first
        };
        log::log_left_without_token(&self.provider, origin, is_first);
    }

    /// Logs that such a request was refused: once for each of these origins.
    pub(crate) fn uncovered_refusal(&self, origin: &str) {
        let is_logged = self
            .uncovered_origins()
            .get_mut(origin)
            .is_none_or(|is_logged| std::mem::replace(is_logged, true));
        if !is_logged {
            log::log_refused_without_token(&self.provider, origin);
        }
    }

    fn uncovered_origins(&self) -> MutexGuard<'_, HashMap<Box<str>, bool>> {
        self.uncovered
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a subscription at a moment when these generations are in use.
    pub(crate) fn subscribe(&self, known: Vec<u64>) -> Subscription {
        let sender = self.sender.get_or_init(|| broadcast::Sender::new(BACKLOG));
        Subscription {
            receiver: sender.subscribe(),
            known,
        }
    }

    pub(crate) fn tell(&self, event: Event) {
        log::log(&self.provider, &event);
        self.metrics.note(&event);
        if let Some(sender) = self.sender.get() {
            // That nobody listens any more is no failure.
            let _ = sender.send(event);
        }
    }
}

/// The span within which the issuer exchanges, obtains included. All spans have the level ERROR, so that each
/// line within them names the provider, whatever the level of the log is.
pub(crate) fn exchange_span(provider: &str, scopes: &[String]) -> tracing::Span {
    span(|| tracing::error_span!(target: TARGET, "exchange", provider, ?scopes))
}

/// The span within which the long-term token is rotated.
pub(crate) fn rotation_span(provider: &str) -> tracing::Span {
    span(|| tracing::error_span!(target: TARGET, "rotation", provider))
}

/// The span within which the issuer revokes a token.
pub(crate) fn revocation_span(provider: &str, token_id: Option<&str>) -> tracing::Span {
    span(|| tracing::error_span!(target: TARGET, "revocation", provider, token_id))
}

/// The span within which the store waits for a change.
pub(crate) fn watch_span(provider: &str) -> tracing::Span {
    span(|| tracing::error_span!(target: TARGET, "watch", provider))
}

/// Returns the span that `make` creates, or a disabled span if the subscriber panics.
fn span(make: impl FnOnce() -> tracing::Span) -> tracing::Span {
    caught(make).unwrap_or_else(tracing::Span::none)
}
