//! The pure state machine: no async, I/O, clock or secrets; randomness from a seed. `input.rs` has its inputs and
//! actions.

mod backoff;
mod input;
#[cfg(test)]
mod long_term;
#[cfg(test)]
mod properties;
mod refresh_time;
#[cfg(test)]
mod refusal;
mod revocations;
mod rotation;
mod set;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::clock::Moment;
use crate::policy::Policies;

pub(crate) use input::{Action, Demand, Failure, Generation, Input, SetId, Window};
pub(crate) use revocations::{Next, Revocations};
pub(crate) use set::{Accepted, Brought, Outline, Outlook};

use rotation::Rotation;
use set::SetState;

/// How long a scope set must be idle before it may be evicted for another one.
const EVICTABLE_AFTER: Duration = Duration::from_secs(30);
/// How long after the eviction of a scope set its tokens are revoked: a request with such a token may be in
/// flight.
const EVICTION_GRACE: Duration = Duration::from_secs(30);

/// Decides what a provider does next, for all its scope sets.
#[derive(Debug)]
pub(crate) struct Machine {
    policies: Policies,
    seed: u64,
    phase: Phase,
    sets: BTreeMap<SetId, SetState>,
    /// The scope sets that were evicted, and when their tokens are revoked.
    evicted: BTreeMap<SetId, Moment>,
    rotation: Rotation,
    last_generation: Generation,
}

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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Running,
    Draining { deadline: Moment, begun: bool },
    Stopped,
}

impl Machine {
    /// Returns a machine whose root scope set is open.
    pub(crate) fn new(policies: Policies, seed: u64, now: Moment) -> Self {
        Self {
            policies,
            seed,
            phase: Phase::Running,
            sets: BTreeMap::from([(SetId::ROOT, SetState::new(seed, now))]),
            evicted: BTreeMap::new(),
            rotation: Rotation::new(seed),
            last_generation: Generation(0),
        }
    }

    pub(crate) fn handle(&mut self, event: Input, now: Moment) {
        match event {
            Input::Drained => self.phase = Phase::Stopped,
            Input::Interrupted => self.interrupted(now),
            _ if self.phase != Phase::Running => {}
            Input::Abandoned => self.phase = Phase::Stopped,
            Input::ShutDown { deadline } => {
                self.phase = Phase::Draining {
                    deadline,
                    begun: false,
                };
            }
            Input::Renewed { keeps_pauses } => {
                let sets = self.sets.values_mut();
                sets.for_each(|set| set.renewed(keeps_pauses, now));
            }
            Input::LongTermBegan { age, left } => {
                self.rotation
                    .began(&self.policies.rotation, (age, left), now);
            }
            Input::LongTermDated { age, left } => {
                self.rotation
                    .dated(&self.policies.rotation, (age, left), now);
            }
            Input::RotationDemanded => self.rotation.demanded(),
            Input::Chore { at } => self.rotation.chore(at),
            Input::Urgent => self.rotation.urgent(now),
            Input::Proving(proving) => self.rotation.proving = proving,
            Input::Attended => self.rotation.attended(&self.policies.rotation, now),
            Input::AttendingDeferred { until } => self.rotation.deferred(until),
            Input::AttendingFailed { failure, at_most } => {
                let policy = &self.policies.rotation;
                self.rotation.failed(policy, failure, at_most, now);
            }
            Input::Opened(set) => self.open(set, now),
            Input::Used(set) => self.with(set, |set, _| set.used(now)),
            Input::Needed { set, until } => self.with(set, |set, _| set.needed(until)),
            Input::Demanded { set, demand } => {
                self.with(set, |set, _| set.demanded(demand, now));
            }
            Input::Denied { set, generation } => {
                self.with(set, |set, policies| {
                    set.denied(policies, generation, now);
                });
            }
            Input::Outlasted { set, generation } => {
                self.with(set, |set, _| set.outlasted(generation, now));
            }
            Input::Failed { set, failure } => {
                self.with(set, |set, policies| set.failed(policies, failure, now));
            }
        }
    }

    /// Accepts the token that an exchange of this scope set returned. Returns `None` if the scope set is closed or the
    /// shutdown has begun.
    pub(crate) fn exchanged(
        &mut self,
        set: SetId,
        brought: Brought,
        now: Moment,
    ) -> Option<Accepted> {
        if !self.is_running() {
            return None;
        }
        let next = Generation(self.last_generation.0 + 1);
        let set = self.sets.get_mut(&set)?;
        let accepted = set.exchanged(&self.policies, next, brought, now);
        if matches!(accepted, Accepted::Now(_) | Accepted::Later(_)) {
            self.last_generation = next;
        }
        Some(accepted)
    }

    pub(crate) fn poll(&mut self, now: Moment) -> Action {
        match &mut self.phase {
            Phase::Stopped => Action::Stop,
            Phase::Draining { begun: true, .. } => Action::Sleep(None),
            Phase::Draining { deadline, begun } => {
                *begun = true;
                Action::Drain {
                    deadline: *deadline,
                }
            }
            Phase::Running => self.poll_sets(now),
        }
    }

    /// Returns whether the shutdown has not begun.
    pub(crate) fn is_running(&self) -> bool {
        self.phase == Phase::Running
    }

    /// Returns whether only callers cause exchanges.
    pub(crate) fn is_lazy(&self) -> bool {
        self.policies.refresh.lazy
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.phase == Phase::Stopped
    }

    pub(crate) fn is_open(&self, set: SetId) -> bool {
        self.sets.contains_key(&set)
    }

    /// Returns whether another scope set may be opened.
    pub(crate) fn has_room(&self) -> bool {
        self.sets.len() <= self.policies.scopes.max_sets
    }

    /// Evicts the scope set that has been idle longest, if it has been idle for [`EVICTABLE_AFTER`]. Its tokens
    /// are revoked after [`EVICTION_GRACE`]. Scope sets in a pause that the server requested are kept.
    pub(crate) fn evict(&mut self, now: Moment) -> Option<SetId> {
        let sets = self.sets.iter();
        let sets = sets.filter(|(id, set)| **id != SetId::ROOT && !set.is_paused(now));
        let idle = sets.filter_map(|(id, set)| Some((set.idle_for(EVICTABLE_AFTER)?, *id)));
        let (_, longest) = idle.filter(|(at, _)| *at <= now).min()?;
        self.sets.remove(&longest);
        self.evicted.entry(longest).or_insert(now + EVICTION_GRACE);
        Some(longest)
    }

    /// Returns the window of the scope set's token in use, usable or not.
    pub(crate) fn window(&self, set: SetId) -> Option<Window> {
        self.sets.get(&set)?.window
    }

    /// Returns how many exchanges of the scope set have failed in a row.
    pub(crate) fn failures(&self, set: SetId) -> u32 {
        self.sets.get(&set).map_or(0, |set| set.failures)
    }

    /// Returns whether the scope set's last failure was terminal and nothing has changed since.
    pub(crate) fn is_refused(&self, set: SetId) -> bool {
        self.sets.get(&set).is_some_and(|set| set.refused)
    }

    /// Returns whether the last failure of any scope set was terminal.
    pub(crate) fn is_any_refused(&self) -> bool {
        self.sets.values().any(|set| set.refused)
    }

    /// Returns whether an exchange of any scope set is in flight.
    pub(crate) fn is_any_exchanging(&self) -> bool {
        self.sets.values().any(|set| set.in_flight)
    }

    /// Returns what decides whether the scope set is in an outage.
    pub(crate) fn health(&self, set: SetId, now: Moment) -> Option<Health> {
        let is_lazy = self.policies.refresh.lazy;
        let state = self.sets.get(&set)?;
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
        self.sets.get(&set).is_some_and(|set| set.in_flight)
    }

    pub(crate) fn outline(&self, set: SetId) -> Option<Outline> {
        self.sets.get(&set).map(SetState::outline)
    }

    /// Returns when the scope set's next exchange begins, unless another input comes first; `None` while one is in
    /// flight.
    pub(crate) fn next_attempt_at(&self, set: SetId, now: Moment) -> Option<Moment> {
        if self.phase != Phase::Running {
            return None;
        }
        let proving = self.is_proving(set);
        self.sets
            .get(&set)?
            .next_attempt(&self.policies, proving, now)
    }

    /// Returns whether the long-term token in use was reported ([`Input::LongTermBegan`]).
    pub(crate) const fn knows_long_term(&self) -> bool {
        self.rotation.has_begun
    }

    /// Returns whether a rotation of the long-term token is due at this moment.
    pub(crate) fn is_rotation_due(&self, now: Moment) -> bool {
        self.rotation.is_due(now)
    }

    /// Returns when the long-term token is rotated, unless another input comes first.
    pub(crate) fn rotates_at(&self) -> Option<Moment> {
        self.rotation.rotates_at()
    }

    /// Returns when the next [`Action::Attend`] is due, unless another input comes first.
    pub(crate) fn attends_at(&self, now: Moment) -> Option<Moment> {
        self.rotation.next_attempt(now)
    }

    /// Returns what a caller that waits for a newer token of this scope set may expect.
    pub(crate) fn outlook(&self, set: SetId, newer_than: Generation, now: Moment) -> Outlook {
        if self.phase != Phase::Running {
            return Outlook::ShutDown;
        }
        self.sets
            .get(&set)
            .map_or(Outlook::Imminent, |set| set.outlook(newer_than, now))
    }

    /// Returns whether a newer token than this generation is in use or waits to be published, or an exchange for one is
    /// in flight or demanded.
    pub(crate) fn replaces(&self, set: SetId, generation: Generation) -> bool {
        self.sets
            .get(&set)
            .is_some_and(|set| set.replaces(generation))
    }

    /// Returns whether a newer token than this generation is in use, or an exchange for one is in flight or
    /// demanded. A token that waits to be published does not count.
    pub(crate) fn is_replacing(&self, set: SetId, generation: Generation) -> bool {
        let set = self.sets.get(&set);
        set.is_some_and(|set| set.is_replacing(generation))
    }

    fn poll_sets(&mut self, now: Moment) -> Action {
        let mut wake: Option<Moment> = None;
        let mut wake_at = |at: Moment| wake = Some(wake.map_or(at, |wake| wake.min(at)));
        if let Some(at) = self.rotation.next_attempt(now) {
            if at <= now {
                let rotate = self.rotation.begin(now);
                return Action::Attend { rotate };
            }
            wake_at(at);
        }
        if let Some((&id, &at)) = self.evicted.iter().min_by_key(|(_, at)| **at) {
            if at <= now {
                self.evicted.remove(&id);
                return Action::RevokeEvicted(id);
            }
            wake_at(at);
        }
        let mut idle = None;
        for (&id, set) in &mut self.sets {
            if id != SetId::ROOT
                && let Some(at) = set.idle_at(&self.policies)
            {
                if at <= now {
                    idle = Some(id);
                    break;
                }
                wake_at(at);
            }
            if let Some(at) = set.publish_at(now) {
                if at <= now {
                    set.publish();
                    return Action::Publish(id);
                }
                wake_at(at);
            }
            let proving = id == SetId::ROOT && self.rotation.proving;
            if let Some(at) = set.next_attempt(&self.policies, proving, now) {
                if at <= now {
                    set.in_flight = true;
                    return Action::Exchange(id);
                }
                wake_at(at);
            }
        }
        match idle {
            Some(id) => {
                self.sets.remove(&id);
                Action::Retire(id)
            }
            None => Action::Sleep(wake),
        }
    }

    /// Returns whether the next exchange of this scope set is to prove the next long-term token.
    pub(crate) fn is_proving(&self, set: SetId) -> bool {
        set == SetId::ROOT && self.rotation.proving
    }

    fn open(&mut self, id: SetId, now: Moment) {
        let seed = self.seed.wrapping_add(id.0);
        self.sets
            .entry(id)
            .or_insert_with(|| SetState::new(seed, now));
    }

    fn with(&mut self, id: SetId, change: impl FnOnce(&mut SetState, &Policies)) {
        if let Some(set) = self.sets.get_mut(&id) {
            change(set, &self.policies);
        }
    }

    fn interrupted(&mut self, now: Moment) {
        self.rotation.interrupted(now);
        for set in self.sets.values_mut() {
            set.interrupted();
        }
        if let Phase::Draining { begun, .. } = &mut self.phase {
            *begun = false;
        }
    }
}
