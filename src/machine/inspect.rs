//! What others read of a machine.

use super::input::{Generation, SetId, Window};
use super::long_term::{Call, InFlight};
use super::set::{Outlook, SetState};
use super::{Machine, Phase};
use crate::clock::Moment;

/// What decides whether a scope set is in an outage.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Health {
    pub(crate) has_valid_token: bool,
    /// How many exchanges in a row have failed.
    pub(crate) failures: u32,
    /// When the outage begins unless an exchange succeeds, which may be in the past; `None` if the last
    /// exchange succeeded.
    pub(crate) outage_at: Option<Moment>,
    /// Whether no caller has used the scope set for [`ScopePolicy::idle_timeout`]. The root scope set of an eager provider is
    /// always in use.
    pub(crate) is_idle: bool,
}

impl Machine {
    /// Returns the window of the scope set's token in use, usable or not.
    pub(crate) fn window(&self, set: SetId) -> Option<Window> {
        self.sets.get(set)?.window
    }

    /// Returns how many exchanges of the scope set have failed in a row.
    pub(crate) fn failures(&self, set: SetId) -> u32 {
        self.sets.get(set).map_or(0, |set| set.failures)
    }

    /// Returns whether the scope set's last failure was terminal and nothing has changed since.
    pub(crate) fn is_refused(&self, set: SetId) -> bool {
        self.sets.get(set).is_some_and(SetState::is_refused)
    }

    /// Returns whether any scope set waits for another secret: its last failure was terminal, or began a long pause.
    pub(crate) fn is_any_waiting_for_change(&self) -> bool {
        self.sets.values().any(SetState::waits_for_change)
    }

    /// Returns whether an exchange of any scope set is in flight.
    pub(crate) fn is_any_exchanging(&self) -> bool {
        self.sets.values().any(|set| set.in_flight)
    }

    /// Returns what decides whether the scope set is in an outage.
    pub(crate) fn health(&self, set: SetId, now: Moment) -> Option<Health> {
        let is_lazy = self.policies.refresh.lazy;
        let state = self.sets.get(set)?;
        let is_always_used = set == SetId::ROOT && !is_lazy;
        let idle_at = state.idle_for(self.policies.scopes.idle_timeout);
        Some(Health {
            has_valid_token: state.window.is_some_and(|window| now < window.usable_until),
            failures: state.failures,
            outage_at: state.outage_at(is_lazy),
            is_idle: !is_always_used && idle_at.is_some_and(|at| at <= now),
        })
    }

    /// Returns whether an exchange of the scope set is in flight.
    pub(crate) fn is_exchanging(&self, set: SetId) -> bool {
        self.sets.get(set).is_some_and(|set| set.in_flight)
    }

    /// Returns when the scope set's next exchange begins, unless another input comes first; `None` while one is in
    /// flight.
    pub(crate) fn next_attempt_at(&self, set: SetId, now: Moment) -> Option<Moment> {
        if self.phase != Phase::Running {
            return None;
        }
        let proving = self.is_proving(set);
        self.sets
            .get(set)?
            .next_attempt(&self.policies, proving, now)
    }

    /// Returns the calls in flight that may obtain a token.
    pub(crate) fn calls_in_flight(&self) -> Vec<InFlight> {
        if let Some(long_term) = &self.long_term {
            return long_term.calls_in_flight().collect();
        }
        let in_flight = self.sets.iter().filter(|(_, set)| set.in_flight);
        in_flight.map(|(id, _)| self.exchange(id)).collect()
    }

    /// Returns an exchange of this scope set without a long-term token.
    fn exchange(&self, set: SetId) -> InFlight {
        InFlight {
            call: Call::default(),
            set: Some(set),
            life: Some(self.policies.refresh.default_lifetime),
            is_long_term: false,
        }
    }

    /// Returns what a caller that waits for a newer token of this scope set may expect.
    pub(crate) fn outlook(&self, set: SetId, newer_than: Generation, now: Moment) -> Outlook {
        if self.phase != Phase::Running {
            return Outlook::ShutDown;
        }
        self.sets
            .get(set)
            .map_or(Outlook::Imminent, |set| set.outlook(newer_than, now))
    }

    /// Returns whether a newer token than this generation is in use or waits to be published, or an exchange for one is
    /// in flight or demanded.
    pub(crate) fn replaces(&self, set: SetId, generation: Generation) -> bool {
        self.sets
            .get(set)
            .is_some_and(|set| set.replaces(generation))
    }

    /// Returns whether a newer token than this generation is in use, or an exchange for one is in flight or
    /// demanded. A token that waits to be published does not count.
    pub(crate) fn is_replacing(&self, set: SetId, generation: Generation) -> bool {
        let set = self.sets.get(set);
        set.is_some_and(|set| set.is_replacing(generation))
    }
}
