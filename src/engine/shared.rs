//! State shared by handles, waiting callers and the driver.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::SystemTime;

use http::StatusCode;
use tokio::sync::Notify;

use super::long_term::handed_in;
use super::scope_set::ScopeSet;
use super::shutdown::report::ShutdownReport;
use super::state::Engine;
use crate::calls::UserCode;
use crate::clock::{Moment, Now, TICK};
use crate::error::{Error, ErrorKind};
use crate::issuer::{Grant, IssuerProfile, Needs};
use crate::machine::{Input, LongTerm, Recovers, Rotates, Setup, Window};
use crate::observe::{Metrics, Observers};
use crate::origin::{Origin, PlainHttp};
use crate::policy::{Policies, ShutdownPolicy};
use crate::token::LongTermToken;

/// Settings that do not change after `build`.
pub(crate) struct Settings {
    pub(crate) name: Arc<str>,
    /// The name under which metrics count the provider together with others.
    pub(crate) counted_as: Option<Arc<str>>,
    pub(crate) profile: IssuerProfile,
    /// The grant that obtains a long-term token if there is none, or if the server refuses it.
    pub(crate) recover_with: Option<Box<Grant>>,
    /// The grant that obtains the next long-term token.
    pub(crate) rotate_with: Option<Box<Grant>>,
    /// Whether other providers may use the store, too.
    pub(crate) shares_store: bool,
    pub(crate) origins: Arc<[Origin]>,
    /// The hosts to which the token may go on plain http.
    pub(crate) plain_http: PlainHttp,
    /// The statuses that refuse a token.
    pub(crate) refusals: Arc<[StatusCode]>,
    pub(crate) policies: Arc<Policies>,
    pub(crate) shutdown: ShutdownPolicy,
}

impl Settings {
    /// Returns what the rules for the long-term token need to know; `None` if the issuer needs no such token.
    fn setup(&self) -> Option<Setup> {
        let rotates = |grant: &Grant| {
            if grant.is_own_token() {
                Rotates::WithShortTerm
            } else {
                Rotates::WithGrant
            }
        };
        let recovers = |grant: &Grant| {
            if grant.is_one_time() {
                Recovers::WithOneTimeCode
            } else {
                Recovers::WithGrant
            }
        };
        (self.profile.needs != Needs::Nothing).then(|| Setup {
            shares_store: self.shares_store,
            replaces: self.profile.needs == Needs::Replacing,
            reuse_grace: self.profile.reuse_grace,
            rotates: self.rotate_with.as_deref().map(rotates),
            recovers: self.recover_with.as_deref().map(recovers),
            policies: Arc::clone(&self.policies),
        })
    }
}

pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) user_code: UserCode,
    pub(crate) observers: Observers,
    /// Held by the task for the long-term token that runs.
    pub(super) one_task: tokio::sync::Mutex<()>,
    /// See `in_order`.
    order: Mutex<()>,
    /// Wakes the driver after an input to the machine.
    pub(crate) wake: Notify,
    /// Set when the shutdown has ended.
    pub(crate) report: OnceLock<Box<ShutdownReport>>,
    /// Wakes the callers that wait for a rotation, a reload or the report.
    pub(crate) changed: Notify,
    engine: Mutex<Engine>,
}

impl Shared {
    pub(crate) fn new(
        settings: Settings,
        user_code: UserCode,
        root: &Arc<ScopeSet>,
        long_term: Option<LongTermToken>,
        seed: u64,
    ) -> Self {
        let now = Now {
            at: user_code.time.now_or_last(),
            wall: user_code.time.wall(),
        };
        let given = long_term.map(|token| handed_in(&settings.name, token, now.wall));
        let long_term = (settings.setup()).map(|setup| LongTerm::new(setup, given, seed, now));
        let engine = Engine::new(settings.policies.clone(), root, long_term, seed, now.at);
        let metrics = match &settings.counted_as {
            Some(name) => Metrics::without_gauges(name),
            None => Metrics::new(&settings.name, settings.policies.scopes.max_sets),
        };
        let observers = Observers::new(Arc::clone(&settings.name), metrics);
        Self {
            settings,
            user_code,
            observers,
            one_task: tokio::sync::Mutex::new(()),
            order: Mutex::new(()),
            wake: Notify::new(),
            report: OnceLock::new(),
            changed: Notify::new(),
            engine: Mutex::new(engine),
        }
    }

    /// Returns a key that identifies the provider while it calls the issuer or the store.
    pub(crate) fn key(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    pub(crate) fn needs_long_term(&self) -> bool {
        self.settings.profile.needs != Needs::Nothing
    }

    /// Returns the current moment, or the last reading if the clock fails.
    pub(crate) fn now(&self) -> Moment {
        self.user_code.time.now_or_last()
    }

    /// Returns the current moment, by which a token may be served, or an error if the clock fails.
    pub(crate) fn now_or_error(&self) -> Result<Moment, Error> {
        self.user_code.time.now().ok_or_else(|| {
            Error::own(
                ErrorKind::Issuer,
                "the provider's clock panicked, or reads 400 years or more after its origin; check \
                 the Clock of TokenProviderBuilder::clock",
            )
        })
    }

    /// Returns the current moment and wall time, or the last readings if the clock fails.
    pub(crate) fn both_clocks(&self) -> Now {
        Now {
            at: self.now(),
            wall: self.wall(),
        }
    }

    /// Returns the current wall time, or the last reading if the clock fails.
    pub(crate) fn wall(&self) -> SystemTime {
        self.user_code.time.wall()
    }

    /// The engine lock, which is never held across an await or while user code runs.
    pub(crate) fn engine(&self) -> MutexGuard<'_, Engine> {
        self.engine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Held while an exchange begins or ends and observers are told of it, so that they are told in that order. They must
    /// not wait for a token.
    pub(crate) fn in_order(&self) -> MutexGuard<'_, ()> {
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Passes an input to the machine, and wakes the driver.
    pub(crate) fn signal(&self, event: Input) {
        let now = self.now();
        self.engine().machine.handle(event, now);
        self.wake.notify_one();
    }

    /// Returns until when the hot path may serve the token: one tick earlier than its end. For a lazy provider, until
    /// the refresh is due.
    pub(crate) fn served_until(&self, window: Window) -> Moment {
        let until = if self.settings.policies.refresh.lazy {
            window.refresh_at
        } else {
            window.usable_until
        };
        until.min(window.ends_at.back_by(TICK))
    }
}
