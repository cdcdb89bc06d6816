//! What happened, as values; the same values become tracing events and metrics.

pub(crate) mod causes;
mod event;
mod log;
#[cfg(feature = "metrics")]
mod metrics;
#[cfg(not(feature = "metrics"))]
mod no_metrics;
mod status;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::broadcast;

pub use event::{Event, Subscription};
#[cfg(any(feature = "auth-api", feature = "oauth2"))]
pub(crate) use log::log_exposed_auth_server;
#[cfg(any(feature = "reqwest-middleware", feature = "tower"))]
pub(crate) use log::log_no_origin;
#[cfg(all(unix, feature = "file-store"))]
pub(crate) use log::log_unwatched;
pub(crate) use log::{
    log_assumed_life, log_clock, log_doubtful_life, log_exposed_file, log_exposed_origin,
    log_left_out,
};
#[cfg(feature = "metrics")]
pub(crate) use metrics::Metrics;
#[cfg(not(feature = "metrics"))]
pub(crate) use no_metrics::Metrics;
pub use status::{LongTermStatus, State, Status};

use event::TARGET;

use crate::unwind::caught;

/// So many events are kept for a subscriber that is slow to read them.
const BACKLOG: usize = 256;
/// The maximum number of uncovered origins that are logged as warnings.
const MOST_ORIGINS: usize = 64;

/// Where events are told.
#[derive(Debug)]
pub(crate) struct Observers {
    provider: Arc<str>,
    /// Told of what is no event.
    pub(crate) metrics: Metrics,
    /// Made for the first who listens: its backlog takes 32 KiB.
    sender: OnceLock<broadcast::Sender<Event>>,
    /// The origins of requests that no configured origin covers, and whether a refusal by each was logged.
    uncovered: Mutex<BTreeMap<Box<str>, bool>>,
}

impl Observers {
    pub(crate) fn new(provider: Arc<str>, metrics: Metrics) -> Self {
        Self {
            provider,
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

    fn uncovered_origins(&self) -> MutexGuard<'_, BTreeMap<Box<str>, bool>> {
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
