//! Serves callers on the slow path, under the engine lock.

use std::sync::Arc;

use super::current::Published;
use super::scope_set::ScopeSet;
use super::state::{Engine, shut_down};
use crate::clock::Moment;
use crate::error::{Error, ErrorKind};
use crate::machine::{Demand, Generation, Input, Outlook, SetId};

/// How a caller on the slow path is served.
pub(crate) enum Service {
    Token(Arc<Published>),
    /// Wait until the scope set has changed, and ask again.
    Wait {
        /// Whether an exchange is in flight, so that the driver need not be woken.
        is_in_flight: bool,
    },
}

/// What a waiting caller needs, and which exchanges it has seen.
#[derive(Debug)]
pub(crate) struct Asking {
    pub(crate) newer_than: Generation,
    pub(crate) give_up_at: Moment,
    /// How many exchanges of the scope set had ended when the caller began to wait.
    pub(crate) seen: Option<u64>,
    /// The scope set that was evicted to open the caller's, for the observers.
    pub(crate) evicted: Option<Arc<[String]>>,
}

impl Engine {
    /// Serves a caller, or notes its demand, by the state at one moment.
    pub(crate) fn serve(
        &mut self,
        set: &Arc<ScopeSet>,
        asking: &mut Asking,
        now: Moment,
    ) -> Result<Service, Error> {
        if let Some(published) = set.current.good(now, asking.newer_than) {
            self.machine.handle(Input::Used(set.id), now);
            if self.machine.is_lazy() && published.window.refresh_at <= now {
                self.demand(set.id, Demand::Refresh, now);
            }
            return Ok(Service::Token(published));
        }
        if !self.machine.is_running() {
            return Err(shut_down());
        }
        asking.evicted = self.open(set, now)?;
        let attempts = self.sets.attempts_of(set.id);
        let last_error = self.sets.last_error(set.id).cloned();
        let outlook = self.machine.outlook(set.id, asking.newer_than, now);
        let has_failed = attempts > *asking.seen.get_or_insert(attempts);
        let is_hopeless = match outlook {
            Outlook::Imminent => false,
            Outlook::At(at) => at > asking.give_up_at,
            Outlook::Unchanged => return Err(unchanged()),
            Outlook::Refused | Outlook::ShutDown => true,
        };
        if let Some(error) = last_error.filter(|_| has_failed || is_hopeless) {
            return Err(error);
        }
        self.demand(set.id, Demand::NewerThan(asking.newer_than), now);
        Ok(Service::Wait {
            is_in_flight: self.machine.is_exchanging(set.id),
        })
    }

    fn demand(&mut self, set: SetId, demand: Demand, now: Moment) {
        self.machine.handle(Input::Demanded { set, demand }, now);
    }

    /// Opens the scope set unless it is open. Returns the scope set that was evicted for it.
    fn open(&mut self, set: &Arc<ScopeSet>, now: Moment) -> Result<Option<Arc<[String]>>, Error> {
        if self.machine.is_open(set.id) {
            return Ok(None);
        }
        let evicted = if self.machine.has_room() {
            None
        } else {
            self.evict(now)?
        };
        self.machine.handle(Input::Opened(set.id), now);
        self.sets.insert(set);
        Ok(evicted)
    }

    /// Evicts the scope set that has been idle longest. Its tokens are revoked after the grace.
    fn evict(&mut self, now: Moment) -> Result<Option<Arc<[String]>>, Error> {
        self.note_uses(now);
        let evicted = self.machine.evict(now).ok_or_else(|| {
            Error::own(
                ErrorKind::TooManyScopeSets,
                "all scope sets that ScopePolicy::max_sets allows were in use within the last 30 s, or \
                 are in a pause that the server requested; use fewer scope sets, or raise \
                 ScopePolicy::max_sets",
            )
        })?;
        let Some(retired) = self.close(evicted, now) else {
            return Ok(None);
        };
        let scopes = Arc::clone(&retired.set.scopes);
        self.evicted.insert(evicted, retired);
        Ok(Some(scopes))
    }
}

fn unchanged() -> Error {
    Error::own(
        ErrorKind::Unchanged,
        "the auth server returned the token in use again; try again when that token has expired",
    )
}
