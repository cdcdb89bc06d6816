//! One set of scopes, as callers and the driver see it.

use std::sync::Arc;

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use super::cell::Cell;
use crate::machine::LaneId;

#[derive(Debug)]
pub(super) struct Lane {
    pub(super) id: LaneId,
    /// In order, each once.
    pub(super) scopes: Arc<[String]>,
    pub(super) cell: Cell,
    /// Held by the exchange that is under way. A runtime that ends drops its tasks in any order, so
    /// that the next driver may be there before the exchange of the last one is gone.
    pub(super) exchanging: tokio::sync::Mutex<()>,
    /// Wakes the callers that wait: look again.
    tick: Notify,
}

impl Lane {
    pub(super) fn new(id: LaneId, scopes: Arc<[String]>) -> Arc<Self> {
        Arc::new(Self {
            id,
            scopes,
            cell: Cell::default(),
            exchanging: tokio::sync::Mutex::default(),
            tick: Notify::new(),
        })
    }

    /// Ends at the next tick after this call, whenever it is first polled.
    pub(super) fn tick(&self) -> Notified<'_> {
        self.tick.notified()
    }

    pub(super) fn wake_callers(&self) {
        self.tick.notify_waiters();
    }
}

/// The same set in the same form, however it is written.
pub(super) fn normalized(scopes: impl IntoIterator<Item = impl Into<String>>) -> Arc<[String]> {
    let mut scopes: Vec<String> = scopes.into_iter().map(Into::into).collect();
    scopes.sort_unstable();
    scopes.dedup();
    scopes.into()
}
