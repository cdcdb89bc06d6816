//! One set of scopes, as callers and the driver see it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use super::current::CurrentToken;
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
}

/// Counts a caller as waiting until it is dropped.
pub(crate) struct WaitingCaller<'a>(&'a ScopeSet);

impl Drop for WaitingCaller<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
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
        })
    }

    /// Counts the caller as waiting. A scope set with waiting callers is in use.
    pub(crate) fn begin_waiting(&self) -> WaitingCaller<'_> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        WaitingCaller(self)
    }

    pub(crate) fn has_waiting(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
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
