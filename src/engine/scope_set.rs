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
    /// In order, each once.
    pub(crate) scopes: Arc<[String]>,
    pub(crate) current: CurrentToken,
    /// Held by the exchange that is under way. A runtime that ends drops its tasks in any order, so
    /// that the next driver may be there before the exchange of the last one is gone.
    pub(crate) exchanging: tokio::sync::Mutex<()>,
    /// Wakes the callers that wait: look again.
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

    /// Ends at the next tick after this call, whenever it is first polled.
    pub(crate) fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }

    pub(crate) fn wake_callers(&self) {
        self.changed.notify_waiters();
    }
}

/// The same set in the same form, however it is written.
pub(crate) fn normalized(scopes: impl IntoIterator<Item = impl Into<String>>) -> Arc<[String]> {
    let mut scopes: Vec<String> = scopes.into_iter().map(Into::into).collect();
    scopes.sort_unstable();
    scopes.dedup();
    scopes.into()
}
