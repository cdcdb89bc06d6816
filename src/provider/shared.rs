//! What the handles, the callers that wait and the driver have in common.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};

use super::cell::Cell;
use super::shutdown::ShutdownReport;
use crate::clock::{Clock, Moment};
use crate::error::Error;
use crate::issuer::{Grant, TokenIssuer};
use crate::machine::{Event, Machine};
use crate::observe::Observers;
use crate::origin::Origin;
use crate::policy::{RefreshPolicy, RetryPolicy, ShutdownPolicy};
use crate::token::{LongTermToken, ShortTermToken};

/// What the builder puts together, and nobody changes afterwards.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) issuer: Arc<dyn TokenIssuer>,
    pub(super) grant: Option<Grant>,
    pub(super) scopes: Vec<String>,
    pub(super) origins: Arc<[Origin]>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) refresh: RefreshPolicy,
    pub(super) retry: RetryPolicy,
    pub(super) shutdown: ShutdownPolicy,
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) settings: Settings,
    pub(super) cell: Cell,
    pub(super) observers: Observers,
    /// Wakes the driver: the machine was told something.
    pub(super) wake: Notify,
    /// Wakes the callers that wait.
    pub(super) progress: watch::Sender<Progress>,
    engine: Mutex<Engine>,
}

/// What the driver works on. It outlives a driver that goes away with its runtime.
#[derive(Debug)]
pub(super) struct Engine {
    pub(super) machine: Machine,
    pub(super) driven: bool,
    pub(super) long_term: Option<LongTermToken>,
    /// The tokens to revoke at shutdown, with when they end by themselves.
    pub(super) minted: Vec<(ShortTermToken, Moment)>,
}

/// What callers that wait need to know.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress {
    /// How many exchanges have ended.
    pub(super) exchanges: u64,
    /// Why the last one failed, if it did.
    pub(super) error: Option<Error>,
    /// Set when the shutdown is over.
    pub(super) report: Option<ShutdownReport>,
}

impl Shared {
    pub(super) fn new(settings: Settings, long_term: Option<LongTermToken>, seed: u64) -> Self {
        let machine = Machine::new(settings.refresh.clone(), settings.retry.clone(), seed);
        let (progress, _) = watch::channel(Progress::default());
        Self {
            settings,
            cell: Cell::default(),
            observers: Observers::new(),
            wake: Notify::new(),
            progress,
            engine: Mutex::new(Engine {
                machine,
                driven: false,
                long_term,
                minted: Vec::new(),
            }),
        }
    }

    pub(super) fn now(&self) -> Moment {
        self.settings.clock.now()
    }

    /// Never held across an await, nor while anything is called that is not ours.
    pub(super) fn engine(&self) -> MutexGuard<'_, Engine> {
        self.engine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the machine what happened, and the driver that it was told.
    pub(super) fn signal(&self, event: Event) {
        let now = self.now();
        self.engine().machine.handle(event, now);
        self.wake.notify_one();
    }
}
