//! What the handles, the callers that wait and the driver have in common.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use http::StatusCode;
use tokio::sync::{Notify, watch};

use super::engine::Engine;
use super::keeper::Keeper;
use super::report::ShutdownReport;
use super::scope_set::ScopeSet;
use super::time::Time;
use crate::clock::{Clock, Moment, TICK};
use crate::error::{Error, ErrorKind};
use crate::issuer::{Grant, IssuerProfile, Needs, TokenIssuer};
use crate::machine::{Input, Window};
use crate::observe::{Metrics, Observers};
use crate::origin::{Origin, PlainHttp};
use crate::policy::{Policies, ShutdownPolicy};
use crate::store::TokenStore;
use crate::token::LongTermToken;

/// What the builder puts together, and nobody changes afterwards.
pub(super) struct Settings {
    pub(super) name: String,
    pub(super) issuer: Arc<dyn TokenIssuer>,
    pub(super) profile: IssuerProfile,
    /// How another long-term token is obtained when there is none, or it is refused.
    pub(super) recover_with: Option<Grant>,
    /// How the next one is obtained.
    pub(super) rotate_with: Option<Grant>,
    pub(super) store: Arc<dyn TokenStore>,
    /// Whether others may know the store, too.
    pub(super) shares_store: bool,
    pub(super) origins: Arc<[Origin]>,
    /// The hosts to which the token may go on plain http.
    pub(super) plain_http: PlainHttp,
    /// The statuses that refuse a token.
    pub(super) refusals: Arc<[StatusCode]>,
    pub(super) policies: Policies,
    pub(super) shutdown: ShutdownPolicy,
}

pub(super) struct Shared {
    pub(super) settings: Settings,
    pub(super) time: Time,
    pub(super) observers: Observers,
    /// Held by whoever changes the long-term token.
    pub(super) keeper: tokio::sync::Mutex<Keeper>,
    /// Wakes those who wait for a rotation.
    pub(super) rotated: watch::Sender<()>,
    /// Wakes the driver: the machine was told something.
    pub(super) wake: Notify,
    /// Set when the shutdown is over.
    pub(super) report: watch::Sender<Option<ShutdownReport>>,
    engine: Mutex<Engine>,
}

impl Shared {
    pub(super) fn new(
        settings: Settings,
        clock: Arc<dyn Clock>,
        root: &Arc<ScopeSet>,
        long_term: Option<LongTermToken>,
        seed: u64,
    ) -> Self {
        let time = Time::new(clock);
        let now = time.now_or_last();
        // What a shared store holds goes first.
        let in_use = long_term.clone().filter(|_| !settings.shares_store);
        let engine = Engine::new(settings.policies.clone(), root, in_use, seed, now);
        let (report, _) = watch::channel(None);
        let (rotated, _) = watch::channel(());
        let metrics = Metrics::new(&settings.name, settings.policies.scopes.max_sets);
        let observers = Observers::new(&settings.name, metrics);
        Self {
            settings,
            time,
            observers,
            keeper: tokio::sync::Mutex::new(Keeper::new(long_term)),
            rotated,
            wake: Notify::new(),
            report,
            engine: Mutex::new(engine),
        }
    }

    pub(super) fn needs_long_term(&self) -> bool {
        self.settings.profile.needs != Needs::Nothing
    }

    /// Returns the current moment, or the last reading if the clock fails.
    pub(super) fn now(&self) -> Moment {
        self.time.now_or_last()
    }

    /// Returns the current moment, by which a token may be served, or an error if the clock fails.
    pub(super) fn now_or_error(&self) -> Result<Moment, Error> {
        self.time.now().ok_or_else(|| {
            Error::own(
                ErrorKind::Issuer,
                "the provider's clock panicked, or reads more than 400 years after its origin; check \
                 the Clock that TokenProviderBuilder::clock was given",
            )
        })
    }

    /// Returns the current wall time, or the last reading if the clock fails.
    pub(super) fn wall(&self) -> SystemTime {
        self.time.wall()
    }

    /// The engine lock, which is never held across an await or while user code runs.
    pub(super) fn engine(&self) -> MutexGuard<'_, Engine> {
        self.engine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the machine what happened, and the driver that it was told.
    pub(super) fn signal(&self, event: Input) {
        let now = self.now();
        self.engine().machine.handle(event, now);
        self.wake.notify_one();
    }

    /// Until when the hot path serves a token that a driver looks after: its clock may be a tick
    /// behind. Of a lazy provider, the first caller after the refresh became due has to bring it
    /// about.
    pub(super) fn served_until(&self, window: Window) -> Moment {
        let until = if self.settings.policies.refresh.lazy {
            window.refresh_at
        } else {
            window.usable_until
        };
        until.min(window.ends_at.back_by(TICK))
    }
}
