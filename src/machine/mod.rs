//! The pure state machine: no async, I/O, clock or secrets; randomness from a seed. `input.rs` has its inputs and
//! actions.

mod action;
mod backoff;
mod input;
mod inspect;
mod long_term;
mod poll;
#[cfg(test)]
mod properties;
mod refresh_time;
mod refusal;
mod revocations;
mod set;
mod sets;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Moment, Now};
use crate::error::Error;
use crate::policy::Policies;
use crate::store::Dated;
use crate::token::LongTermToken;

pub(crate) use action::{Action, SetAction};
pub(crate) use input::{Demand, Failure, Generation, Input, SetId, Window};
pub(crate) use inspect::Health;
pub(crate) use long_term::{
    Call, InFlight, LongTerm, Outcome, Purpose, Recovers, Rotates, Setup, Task,
};
use long_term::{Effect, Landing};
pub(crate) use revocations::{Next, Revocations};
pub(crate) use set::{Accepted, Brought, Outlook};

use refusal::{failure_of, is_unclear};
use set::SetState;
use sets::Sets;

/// How long a scope set must be idle before it may be evicted for another one.
const EVICTABLE_AFTER: Duration = Duration::from_secs(30);
/// How long after the eviction of a scope set its tokens are revoked: a request with such a token may be in
/// flight.
const EVICTION_GRACE: Duration = Duration::from_secs(30);

/// Decides what a provider does next, for all its scope sets.
#[derive(Debug)]
pub(crate) struct Machine {
    policies: Arc<Policies>,
    seed: u64,
    phase: Phase,
    sets: Sets,
    /// The scope sets that were evicted, and when their tokens are revoked, the earliest first.
    evicted: VecDeque<(Moment, SetId)>,
    /// The rules for the long-term token, if the issuer needs one.
    long_term: Option<Box<LongTerm>>,
    last_generation: Generation,
    /// The failed exchanges of an issuer that needs no long-term token.
    failures_to_tell: VecDeque<(SetId, Error, Failure)>,
    /// How many exchanges in a row were answered with a 401 without a code, if the issuer needs no long-term token.
    unclear: u32,
    random: fastrand::Rng,
}

/// Whether the token of an exchange may be accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    Acceptable,
    /// With [`Action::Accept`], once the long-term token that replaces the exchanged one is stored.
    AcceptableLater,
    /// Not any more.
    Late,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Running,
    Draining { deadline: Moment, begun: bool },
    Stopped,
}

impl Machine {
    /// Returns a machine whose root scope set is open.
    pub(crate) fn new(
        policies: Arc<Policies>,
        long_term: Option<LongTerm>,
        seed: u64,
        now: Moment,
    ) -> Self {
        Self {
            policies,
            seed,
            phase: Phase::Running,
            sets: Sets::new(SetState::new(seed, now)),
            evicted: VecDeque::new(),
            long_term: long_term.map(Box::new),
            last_generation: Generation(0),
            failures_to_tell: VecDeque::new(),
            unclear: 0,
            random: fastrand::Rng::with_seed(seed),
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
                self.with_long_term(now, LongTerm::shut_down);
            }
            Input::StoreChanged => self.with_long_term(now, LongTerm::store_changed),
            Input::SecretChanged if self.long_term.is_none() => self.renew(true, now),
            Input::SecretChanged => self.with_long_term(now, LongTerm::grant_changed),
            Input::Opened(set) => self.open(set, now),
            Input::Used(set) => {
                self.sets.used(set, now);
            }
            Input::Needed { set, until } => self.with(set, |set, _| set.needed(until)),
            Input::Demanded { set, demand } => {
                self.with(set, |set, _| set.demanded(demand, now));
            }
            Input::Denied { set, generation } => {
                self.with(set, |set, policies| {
                    set.denied(policies, generation, now);
                });
                self.end_holds();
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
        let set = self.sets.get_mut(set)?;
        let accepted = set.exchanged(&self.policies, next, brought, now);
        if matches!(accepted, Accepted::Now(_) | Accepted::Later(_)) {
            self.last_generation = next;
            // Another long-term token may have come into use while the exchange was in flight.
            if let Some(long_term) = &self.long_term
                && let Some(minted_from) = set.newest_origin().cloned()
                && long_term.has_superseded(&minted_from)
            {
                set.refresh_within(self.policies.rotation.grace / 2, &minted_from, now);
            }
        }
        Some(accepted)
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

    /// Returns the scope sets besides the root that may have changed since the last call.
    pub(crate) fn take_updated(&mut self) -> impl Iterator<Item = SetId> {
        self.sets.take_updated()
    }

    pub(crate) fn is_open(&self, set: SetId) -> bool {
        self.sets.get(set).is_some()
    }

    /// Returns whether another scope set may be opened.
    pub(crate) fn has_room(&self) -> bool {
        self.sets.scoped() < self.policies.scopes.max_sets
    }

    /// Evicts the scope set that has been idle longest, if it has been idle for [`EVICTABLE_AFTER`]. Its tokens
    /// are revoked after [`EVICTION_GRACE`]. Scope sets in a pause that the server requested are kept.
    pub(crate) fn evict(&mut self, now: Moment) -> Option<SetId> {
        let sets = self.sets.iter();
        let sets = sets.filter(|(id, set)| *id != SetId::ROOT && !set.is_paused(now));
        let idle = sets.filter_map(|(id, set)| Some((set.idle_for(EVICTABLE_AFTER)?, id)));
        let (_, longest) = idle.filter(|(at, _)| *at <= now).min()?;
        self.sets.close(longest);
        self.end_holds();
        if !self.evicted.iter().any(|(_, id)| *id == longest) {
            self.evicted.push_back((now + EVICTION_GRACE, longest));
        }
        Some(longest)
    }

    /// Returns the rules for the long-term token, if the issuer needs one.
    pub(crate) fn long_term(&self) -> Option<&LongTerm> {
        self.long_term.as_deref()
    }

    /// A caller hands in this long-term token.
    pub(crate) fn hand_in(&mut self, token: Dated, now: Now) {
        self.with_long_term(now.at, |long_term| long_term.hand_in(token, now));
    }

    /// A caller demands a rotation of the long-term token.
    pub(crate) fn demand_rotation(&mut self, now: Now) {
        if self.is_running() {
            self.with_long_term(now.at, |rules| rules.demand_rotation(now));
        }
    }

    /// Drops all long-term tokens after the shutdown.
    pub(crate) fn drop_tokens(&mut self, now: Moment) {
        self.with_long_term(now, LongTerm::drop_tokens);
    }

    /// The calls in flight are dropped.
    pub(crate) fn give_up(&mut self, now: Moment) {
        self.with_long_term(now, LongTerm::interrupted);
        self.sets.change_each(SetState::interrupted);
    }

    /// Returns whether this task for the long-term token is in progress, and was not interrupted.
    pub(crate) fn is_in_progress(&self, call: Call) -> bool {
        self.long_term
            .as_ref()
            .is_some_and(|rules| rules.is_in_progress(call))
    }

    /// Takes in how the task for the long-term token ended.
    pub(crate) fn task_ended(&mut self, call: Call, outcome: Result<Outcome, Error>, now: Now) {
        self.with_long_term(now.at, |long_term| long_term.ended(call, outcome, now));
    }

    /// Takes in that the exchange of this scope set has returned a token of this life, and perhaps a long-term token that
    /// replaces the exchanged one. Returns whether [`exchanged`](Self::exchanged) may accept it.
    pub(crate) fn minted(
        &mut self,
        (call, set): (Call, SetId),
        with: Option<&LongTermToken>,
        life: Duration,
        replacement: Option<Dated>,
        now: Now,
    ) -> Arrival {
        let (Some(long_term), Some(with)) = (&mut self.long_term, with) else {
            self.unclear = 0;
            return Arrival::Acceptable;
        };
        let landing = long_term.minted((call, set), with, life, replacement, now);
        let (arrival, minted_from) = match landing {
            Landing::Now(minted_from) => (Arrival::Acceptable, minted_from),
            Landing::Later(minted_from) => (Arrival::AcceptableLater, minted_from),
            Landing::Late => {
                self.take_effects(now.at);
                return Arrival::Late;
            }
        };
        self.with(set, |set, _| set.arrives_from(minted_from));
        self.take_effects(now.at);
        arrival
    }

    /// Takes in that the exchange of this scope set has failed. [`Action::Failed`] follows unless another token is
    /// tried.
    pub(crate) fn exchange_failed(&mut self, (call, set): (Call, SetId), error: Error, now: Now) {
        if self.long_term.is_none() {
            self.unclear = if is_unclear(&error) {
                self.unclear.saturating_add(1)
            } else {
                0
            };
            let failure = failure_of(&error, self.unclear, self.random.f64());
            self.failures_to_tell.push_back((set, error, failure));
            return;
        }
        self.with_long_term(now.at, |rules| {
            rules.exchange_failed((call, set), error, now);
        });
    }

    /// Returns whether the next exchange of this scope set is to prove the next long-term token.
    fn is_proving(&self, set: SetId) -> bool {
        set == SetId::ROOT && self.long_term().is_some_and(LongTerm::is_proving)
    }

    fn with_long_term(&mut self, now: Moment, change: impl FnOnce(&mut LongTerm)) {
        if let Some(long_term) = &mut self.long_term {
            change(long_term);
        }
        self.take_effects(now);
    }

    /// Does for the scope sets what the changes of the long-term token mean for them.
    fn take_effects(&mut self, now: Moment) {
        let effects = self.long_term.as_mut().map(|rules| rules.take_effects());
        for effect in effects.into_iter().flatten() {
            match effect {
                Effect::ForgetRefusals { keeps_pauses } => self.renew(keeps_pauses, now),
                Effect::Forget { token } => {
                    self.sets.change_each(|set| {
                        set.forget_long_term(&token);
                        false
                    });
                }
                Effect::Refresh { superseded } => {
                    let within = self.policies.rotation.grace / 2;
                    self.sets
                        .change_each(|set| set.refresh_within(within, &superseded, now));
                }
            }
        }
    }

    /// Another long-term token is in use, or a secret was replaced: what was refused may succeed.
    fn renew(&mut self, keeps_pauses: bool, now: Moment) {
        self.sets.change_each(|set| set.renewed(keeps_pauses, now));
    }

    /// Lets the scope sets judge again whether any token is valid.
    pub(super) fn end_holds(&mut self) {
        self.sets.change_each(SetState::end_hold);
    }

    fn open(&mut self, id: SetId, now: Moment) {
        let seed = self.seed.wrapping_add(id.0);
        self.sets.open(id, || SetState::new(seed, now));
    }

    fn with(&mut self, id: SetId, change: impl FnOnce(&mut SetState, &Policies)) {
        if let Some(set) = self.sets.get_mut(id) {
            change(set, &self.policies);
        }
    }

    fn interrupted(&mut self, now: Moment) {
        self.give_up(now);
        if let Phase::Draining { begun, .. } = &mut self.phase {
            *begun = false;
        }
    }
}
