//! What to do next, decided from facts and a moment. Pure: no async, no I/O, no clock, no
//! randomness but a seed, no secret. `event.rs` is the whole contract.

mod event;
mod lane;
#[cfg(test)]
mod properties;
mod rotation;
mod schedule;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::clock::Moment;
use crate::policy::{RefreshPolicy, RetryPolicy, RotationPolicy, ScopePolicy};

pub(crate) use event::{Action, Demand, Event, Failure, Generation, LaneId, Window};
pub(crate) use lane::{Accepted, Brought, Outline, Outlook};
pub(crate) use schedule::retry_delay;

use lane::Lane;
use rotation::Rotation;

/// How long a lane must be idle before it may be evicted for another one.
const EVICTABLE_AFTER: Duration = Duration::from_secs(30);
/// How long after the eviction of a lane its tokens are revoked: a request with such a token may be in
/// flight.
const EVICTION_GRACE: Duration = Duration::from_secs(30);

/// Decides for a provider and all its sets of scopes.
#[derive(Debug)]
pub(crate) struct Machine {
    policies: Policies,
    seed: u64,
    phase: Phase,
    lanes: BTreeMap<LaneId, Lane>,
    /// The lanes that were evicted, and when their tokens are revoked.
    evicted: BTreeMap<LaneId, Moment>,
    rotation: Rotation,
    last_generation: Generation,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Policies {
    pub(crate) refresh: RefreshPolicy,
    pub(crate) retry: RetryPolicy,
    pub(crate) scopes: ScopePolicy,
    pub(crate) rotation: RotationPolicy,
}

/// What decides whether a lane is in an outage.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Health {
    pub(crate) has_valid_token: bool,
    /// How many exchanges in a row have failed.
    pub(crate) failures: u32,
    /// When the outage begins unless an exchange succeeds, which may be in the past; `None` if the last
    /// exchange succeeded.
    pub(crate) outage_at: Option<Moment>,
    /// Whether no caller has used the lane for [`ScopePolicy::idle`]. The root lane of an eager provider is
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
    /// A machine whose root lane is open.
    pub(crate) fn new(policies: Policies, seed: u64, now: Moment) -> Self {
        Self {
            policies,
            seed,
            phase: Phase::Running,
            lanes: BTreeMap::from([(LaneId::ROOT, Lane::new(seed, now))]),
            evicted: BTreeMap::new(),
            rotation: Rotation::new(seed),
            last_generation: Generation(0),
        }
    }

    pub(crate) fn handle(&mut self, event: Event, now: Moment) {
        match event {
            Event::Drained => self.phase = Phase::Stopped,
            Event::Interrupted => self.interrupted(now),
            _ if self.phase != Phase::Running => {}
            Event::Abandoned => self.phase = Phase::Stopped,
            Event::ShutDown { deadline } => {
                self.phase = Phase::Draining {
                    deadline,
                    begun: false,
                };
            }
            Event::Renewed { keeps_pauses } => {
                let lanes = self.lanes.values_mut();
                lanes.for_each(|lane| lane.renewed(keeps_pauses, now));
            }
            Event::LongTermBegan { age, left } => {
                self.rotation
                    .began(&self.policies.rotation, (age, left), now);
            }
            Event::LongTermDated { age, left } => {
                self.rotation
                    .dated(&self.policies.rotation, (age, left), now);
            }
            Event::RotationDemanded => self.rotation.demanded(),
            Event::Chore { at } => self.rotation.chore(at),
            Event::Urgent => self.rotation.urgent(now),
            Event::Proving(proving) => self.rotation.proving = proving,
            Event::Attended => self.rotation.attended(&self.policies.rotation, now),
            Event::AttendingDeferred { until } => self.rotation.deferred(until),
            Event::AttendingFailed { failure, at_most } => {
                let policy = &self.policies.rotation;
                self.rotation.failed(policy, failure, at_most, now);
            }
            Event::Opened(lane) => self.open(lane, now),
            Event::Used(lane) => self.with(lane, |lane, _| lane.used(now)),
            Event::Needed { lane, until } => self.with(lane, |lane, _| lane.needed(until)),
            Event::Demanded { lane, demand } => {
                self.with(lane, |lane, _| lane.demanded(demand, now));
            }
            Event::Denied { lane, generation } => {
                self.with(lane, |lane, policies| {
                    lane.denied(policies, generation, now);
                });
            }
            Event::Outlasted { lane, generation } => {
                self.with(lane, |lane, _| lane.outlasted(generation, now));
            }
            Event::Failed { lane, failure } => {
                self.with(lane, |lane, policies| lane.failed(policies, failure, now));
            }
        }
    }

    /// Accepts the token that an exchange of this lane returned. Returns `None` if the lane is closed or the
    /// shutdown has begun.
    pub(crate) fn exchanged(
        &mut self,
        lane: LaneId,
        brought: Brought,
        now: Moment,
    ) -> Option<Accepted> {
        if !self.is_running() {
            return None;
        }
        let next = Generation(self.last_generation.0 + 1);
        let lane = self.lanes.get_mut(&lane)?;
        let accepted = lane.exchanged(&self.policies, next, brought, now);
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
            Phase::Running => self.poll_lanes(now),
        }
    }

    /// Whether exchanges are still made.
    pub(crate) fn is_running(&self) -> bool {
        self.phase == Phase::Running
    }

    /// Whether exchanges are made only when somebody asks.
    pub(crate) fn is_lazy(&self) -> bool {
        self.policies.refresh.lazy
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.phase == Phase::Stopped
    }

    pub(crate) fn is_open(&self, lane: LaneId) -> bool {
        self.lanes.contains_key(&lane)
    }

    /// Whether another lane may be opened.
    pub(crate) fn has_room(&self) -> bool {
        self.lanes.len() <= self.policies.scopes.most
    }

    /// Evicts the lane that has been idle longest, if it has been idle for [`EVICTABLE_AFTER`]. Its tokens
    /// are revoked after [`EVICTION_GRACE`]. Lanes in a pause that the server requested are kept.
    pub(crate) fn evict(&mut self, now: Moment) -> Option<LaneId> {
        let lanes = self.lanes.iter();
        let lanes = lanes.filter(|(id, lane)| **id != LaneId::ROOT && !lane.is_paused(now));
        let idle = lanes.filter_map(|(id, lane)| Some((lane.idle_for(EVICTABLE_AFTER)?, *id)));
        let (_, longest) = idle.filter(|(at, _)| *at <= now).min()?;
        self.lanes.remove(&longest);
        self.evicted.entry(longest).or_insert(now + EVICTION_GRACE);
        Some(longest)
    }

    /// The lane's token in use, usable or not.
    pub(crate) fn window(&self, lane: LaneId) -> Option<Window> {
        self.lanes.get(&lane)?.window
    }

    /// How many exchanges of the lane have failed in a row.
    pub(crate) fn failures(&self, lane: LaneId) -> u32 {
        self.lanes.get(&lane).map_or(0, |lane| lane.failures)
    }

    /// Whether the lane's last failure was terminal and nothing has changed since.
    pub(crate) fn is_refused(&self, lane: LaneId) -> bool {
        self.lanes.get(&lane).is_some_and(|lane| lane.refused)
    }

    /// Returns whether the last failure of any lane was terminal.
    pub(crate) fn is_any_refused(&self) -> bool {
        self.lanes.values().any(|lane| lane.refused)
    }

    /// Returns whether an exchange of any lane is in flight.
    pub(crate) fn is_any_exchanging(&self) -> bool {
        self.lanes.values().any(|lane| lane.in_flight)
    }

    /// Returns what decides whether the lane is in an outage.
    pub(crate) fn health(&self, lane: LaneId, now: Moment) -> Option<Health> {
        let is_lazy = self.policies.refresh.lazy;
        let state = self.lanes.get(&lane)?;
        let is_always_used = lane == LaneId::ROOT && !is_lazy;
        let idle_at = state.idle_for(self.policies.scopes.idle);
        Some(Health {
            has_valid_token: state.window.is_some_and(|window| now < window.usable_until),
            failures: state.failures,
            outage_at: state.outage_at(is_lazy),
            is_idle: !is_always_used && idle_at.is_some_and(|at| at <= now),
        })
    }

    /// Whether an exchange of the lane is under way.
    pub(crate) fn is_exchanging(&self, lane: LaneId) -> bool {
        self.lanes.get(&lane).is_some_and(|lane| lane.in_flight)
    }

    pub(crate) fn outline(&self, lane: LaneId) -> Option<Outline> {
        self.lanes.get(&lane).map(Lane::outline)
    }

    /// When the lane's next exchange begins, if nothing else happens; `None` while one is under
    /// way.
    pub(crate) fn next_attempt_at(&self, lane: LaneId, now: Moment) -> Option<Moment> {
        if self.phase != Phase::Running {
            return None;
        }
        let proving = self.is_proving(lane);
        self.lanes
            .get(&lane)?
            .next_attempt(&self.policies, proving, now)
    }

    /// Whether it was told of the long-term token in use.
    pub(crate) const fn knows_long_term(&self) -> bool {
        self.rotation.has_begun
    }

    /// Whether the long-term token is to be rotated at this moment.
    pub(crate) fn is_rotation_due(&self, now: Moment) -> bool {
        self.rotation.is_due(now)
    }

    /// When the long-term token is rotated, if nothing else happens.
    pub(crate) fn rotates_at(&self) -> Option<Moment> {
        self.rotation.rotates_at()
    }

    /// When the long-term token is seen to next, if nothing else happens.
    pub(crate) fn attends_at(&self, now: Moment) -> Option<Moment> {
        self.rotation.next_attempt(now)
    }

    /// Returns what a caller that waits for a newer token of this lane may expect.
    pub(crate) fn outlook(&self, lane: LaneId, newer_than: Generation, now: Moment) -> Outlook {
        if self.phase != Phase::Running {
            return Outlook::ShutDown;
        }
        self.lanes
            .get(&lane)
            .map_or(Outlook::Imminent, |lane| lane.outlook(newer_than, now))
    }

    /// Whether something newer than this generation is there, under way or asked for.
    pub(crate) fn replaces(&self, lane: LaneId, generation: Generation) -> bool {
        self.lanes
            .get(&lane)
            .is_some_and(|lane| lane.replaces(generation))
    }

    /// Returns whether a newer token than this generation is in use, or an exchange for one is in flight or
    /// demanded. A token that waits to be published does not count.
    pub(crate) fn is_replacing(&self, lane: LaneId, generation: Generation) -> bool {
        let lane = self.lanes.get(&lane);
        lane.is_some_and(|lane| lane.is_replacing(generation))
    }

    fn poll_lanes(&mut self, now: Moment) -> Action {
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
        for (&id, lane) in &mut self.lanes {
            if id != LaneId::ROOT
                && let Some(at) = lane.idle_at(&self.policies)
            {
                if at <= now {
                    idle = Some(id);
                    break;
                }
                wake_at(at);
            }
            if let Some(at) = lane.publish_at(now) {
                if at <= now {
                    lane.publish();
                    return Action::Publish(id);
                }
                wake_at(at);
            }
            let proving = id == LaneId::ROOT && self.rotation.proving;
            if let Some(at) = lane.next_attempt(&self.policies, proving, now) {
                if at <= now {
                    lane.in_flight = true;
                    return Action::Exchange(id);
                }
                wake_at(at);
            }
        }
        match idle {
            Some(id) => {
                self.lanes.remove(&id);
                Action::Retire(id)
            }
            None => Action::Sleep(wake),
        }
    }

    /// Whether an exchange of this lane is to prove the next long-term token.
    pub(crate) fn is_proving(&self, lane: LaneId) -> bool {
        lane == LaneId::ROOT && self.rotation.proving
    }

    fn open(&mut self, id: LaneId, now: Moment) {
        let seed = self.seed.wrapping_add(id.0);
        self.lanes.entry(id).or_insert_with(|| Lane::new(seed, now));
    }

    fn with(&mut self, id: LaneId, change: impl FnOnce(&mut Lane, &Policies)) {
        if let Some(lane) = self.lanes.get_mut(&id) {
            change(lane, &self.policies);
        }
    }

    fn interrupted(&mut self, now: Moment) {
        self.rotation.interrupted(now);
        for lane in self.lanes.values_mut() {
            lane.interrupted();
        }
        if let Phase::Draining { begun, .. } = &mut self.phase {
            *begun = false;
        }
    }
}
