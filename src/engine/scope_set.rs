//! One set of scopes, as callers and the driver see it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use super::current::{CurrentToken, USE_PRECISION};
use crate::calls::Time;
use crate::clock::Moment;
use crate::machine::SetId;

#[derive(Debug)]
pub(crate) struct ScopeSet {
    pub(crate) id: SetId,
    /// Sorted, each once.
    pub(crate) scopes: Arc<[String]>,
    pub(crate) current: CurrentToken,
    /// Held by the exchange in flight. A runtime drops its tasks in any order, so the next driver may start before
    /// the previous exchange is dropped.
    pub(crate) exchanging: tokio::sync::Mutex<()>,
    /// Wakes the waiting callers when the scope set has changed.
    changed: Notify,
    /// How many callers wait.
    waiting: AtomicUsize,
    /// When a caller last stopped to wait, in nanoseconds from the clock's origin.
    waited_until: AtomicU64,
}

/// Counts a caller as waiting until it is dropped.
pub(crate) struct WaitingCaller<'a> {
    set: &'a ScopeSet,
    time: &'a Time,
}

impl Drop for WaitingCaller<'_> {
    /// Runs no user code.
    fn drop(&mut self) {
        let now = self.time.last().nanos();
        self.set.waited_until.fetch_max(now, Ordering::Relaxed);
        self.set.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl ScopeSet {
    pub(crate) fn new(id: SetId, scopes: Arc<[String]>) -> Arc<Self> {
        Arc::new(Self {
            id,
            scopes,
            current: CurrentToken::default(),
            exchanging: tokio::sync::Mutex::default(),
            changed: Notify::new(),
            waiting: AtomicUsize::new(0),
            waited_until: AtomicU64::new(0),
        })
    }

    /// Counts the caller as waiting. A scope set with waiting callers is in use.
    pub(crate) fn begin_waiting<'a>(&'a self, time: &'a Time) -> WaitingCaller<'a> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        WaitingCaller { set: self, time }
    }

    /// Returns when a caller was last served by the hot path, or has waited.
    pub(crate) fn last_use(&self, now: Moment) -> Moment {
        if self.waiting.load(Ordering::Relaxed) > 0 {
            return now;
        }
        let waited_until = Moment::from_nanos(self.waited_until.load(Ordering::Relaxed));
        let served_at = self.current.last_use() + USE_PRECISION;
        served_at.max(waited_until).min(now)
    }

    /// Completes at the first change after this call, also if it is polled later.
    pub(crate) fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }

    pub(crate) fn wake_callers(&self) {
        self.changed.notify_waiters();
    }
}

/// Returns the scopes sorted, each once, so that equal sets are equal.
pub(crate) fn normalized(scopes: impl IntoIterator<Item = impl Into<String>>) -> Arc<[String]> {
    let mut scopes: Vec<String> = scopes.into_iter().map(Into::into).collect();
    scopes.sort_unstable();
    scopes.dedup();
    scopes.into()
}
