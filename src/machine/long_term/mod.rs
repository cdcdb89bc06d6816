//! The long-term token: which one is in use, what the store holds, and what is done next. One owner for all of it;
//! the stored record is the part of its state that survives a crash.
//!
//! `agenda.rs` decides what is done next, and `outcomes.rs` takes in how it ended.

mod agenda;
mod attempt;
mod lease;
mod merge;
mod outcomes;
#[cfg(test)]
mod properties;
mod schedule;
mod task;
mod trial;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::input::SetId;
use crate::clock::{Moment, Now};
use crate::error::Error;
use crate::policy::{RetryPolicy, RotationPolicy};
use crate::store::{Dated, Record, Retiring, Version};
use crate::token::{LongTermToken, ShortTermToken};

pub(crate) use agenda::Next;
use attempt::Attempt;
use lease::{Lease, Times};
use schedule::{Backoffs, Due};
pub(crate) use task::{Call, Effect, Outcome, Purpose, Step, Task};
pub(crate) use trial::Landing;

/// What the issuer, the grants and the store of a provider allow.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    /// Whether other processes may use the store, too.
    pub(crate) shares_store: bool,
    /// Whether each exchange replaces the long-term token.
    pub(crate) replaces: bool,
    pub(crate) rotates: Option<Rotates>,
    pub(crate) recovers: Option<Recovers>,
    pub(crate) rotation: RotationPolicy,
    pub(crate) retry: RetryPolicy,
}

/// How the next long-term token is obtained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rotates {
    /// On the authority of a short-term token, which is stored first and can ask again.
    WithShortTerm,
    WithGrant,
}

/// How a long-term token is obtained when there is none that the server accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Recovers {
    WithGrant,
    /// By a code that is valid once, so not a second time without a person.
    WithOneTimeCode,
}

/// The rules for the long-term token.
#[derive(Debug)]
pub(crate) struct LongTerm {
    setup: Setup,
    record: Option<Record>,
    /// Counts the changes of the record.
    revision: u64,
    durability: Durability,
    reading: Reading,
    lease: Lease,
    running: Option<Running>,
    last_call: Call,
    /// The token that the provider was built with. It is written if the store is empty, or once an exchange has
    /// proven it.
    fallback: Option<Dated>,
    /// The tokens that a caller has handed in, or with which the provider was built. They are not revoked because the
    /// server refuses them.
    given: Vec<LongTermToken>,
    /// What an exchange has shown of the next token.
    proof: Option<Proof>,
    /// The token that a grant brought and that no exchange has accepted yet.
    unproven: Option<LongTermToken>,
    /// The tokens that were obtained here since the last write, so that no other process knows them.
    unwritten: Vec<LongTermToken>,
    /// The short-term tokens that have served to ask for a long-term one.
    spent: Vec<ShortTermToken>,
    /// Whether the short-term token that asks was obtained just now.
    is_authority_new: bool,
    due: Due,
    backoffs: Backoffs,
    grant_pause: Option<GrantPause>,
    attempts: BTreeMap<SetId, Attempt>,
    /// What others are to be told, or have to do.
    pending: VecDeque<Step>,
    /// What the changes so far mean for the scope sets.
    effects: Vec<Effect>,
    is_draining: bool,
    /// How many exchanges in a row were answered with a 401 without a code.
    unclear: u32,
    /// How many writes in a row another process has overtaken.
    conflicts: u32,
    /// How often the token in use was replaced.
    changes: u64,
    /// Since when the token in use is so.
    since: Moment,
    /// How often the store could not be read.
    failed_readings: u64,
    /// The longest life of the short-term tokens so far.
    longest_life: Duration,
    rotation_failures: u64,
    rotation_error: Option<Error>,
    store_error: Option<Error>,
}

/// Whether the store holds the record.
#[derive(Clone, Debug)]
enum Durability {
    Stored(Version),
    Unstored {
        /// The version that the next write replaces.
        over: Option<Version>,
        /// Whether a caller has handed in the current token, which goes before what others have stored.
        is_by_hand: bool,
    },
    /// The record was removed, perhaps to be replaced by another one. It is written anew at this moment.
    Removed {
        refill_at: Moment,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    Never,
    Outdated,
    Current,
}

/// The task in progress.
#[derive(Debug)]
struct Running {
    call: Call,
    task: Task,
    /// The revision of the record when the task began.
    revision: u64,
    /// Whether the task writes a record that becomes ours only when it is written.
    adopts: bool,
    /// Whether the store has changed since the task began.
    is_overtaken: bool,
}

/// What an exchange has shown of the next token.
#[derive(Clone, Debug)]
struct Proof {
    token: LongTermToken,
    /// Why the server refuses it while it accepts the current one; `None` if it accepts it.
    refusal: Option<Error>,
}

/// A pause that the server requested for the grants.
#[derive(Debug)]
struct GrantPause {
    until: Moment,
    error: Error,
    /// The long-term token that the server refused with this error, if any.
    refused: Option<LongTermToken>,
}

impl LongTerm {
    /// Returns the rules at the start, with the token that the provider was built with, if there is one. What a shared
    /// store holds goes before it.
    pub(crate) fn new(setup: Setup, given: Option<Dated>, seed: u64, now: Now) -> Self {
        let mut rules = Self {
            setup,
            record: None,
            revision: 0,
            durability: Durability::Unstored {
                over: None,
                is_by_hand: false,
            },
            reading: Reading::Never,
            lease: Lease::Free,
            running: None,
            last_call: Call::default(),
            given: given.iter().map(|given| given.token.clone()).collect(),
            fallback: given,
            proof: None,
            unproven: None,
            unwritten: Vec::new(),
            spent: Vec::new(),
            is_authority_new: false,
            due: Due::never(),
            backoffs: Backoffs::new(fastrand::Rng::with_seed(seed)),
            grant_pause: None,
            attempts: BTreeMap::new(),
            pending: VecDeque::new(),
            effects: Vec::new(),
            is_draining: false,
            unclear: 0,
            conflicts: 0,
            changes: 0,
            since: now.at,
            failed_readings: 0,
            longest_life: Duration::ZERO,
            rotation_failures: 0,
            rotation_error: None,
            store_error: None,
        };
        if !rules.setup.shares_store {
            rules.reading = Reading::Current;
            if let Some(given) = rules.fallback.take() {
                rules.set(Record::new(given), now);
            }
        }
        rules
    }

    /// Begins an attempt of a scope set. It ends with [`Step::Land`], [`Step::Fail`] or a token that
    /// [`minted`](Self::minted) lands at once. It also tries a store again that has failed.
    pub(crate) fn begin(&mut self, set: SetId, now: Moment) {
        let deadline = now + self.setup.retry.exchange_timeout;
        self.attempts.insert(set, Attempt::new(now, deadline));
        self.backoffs.end(task::Kind::Read);
        self.backoffs.end(task::Kind::Write);
    }

    /// A caller hands in this token. It takes the place of the current one, and nothing older is used any more.
    pub(crate) fn hand_in(&mut self, token: Dated, now: Now) {
        let text = token.token.clone();
        let mut record = Record::new(token);
        if let Some(mut old) = self.record.take() {
            let (next, with) = old.rotation.take();
            record.retiring = old.retiring;
            // Another process that shares the store may use it by now.
            let grace = if self.setup.shares_store {
                self.grace()
            } else {
                Duration::ZERO
            };
            (record.retiring).extend(next.map(|it| Retiring::after(it.token, grace, now.wall)));
            self.spent.extend(with);
        }
        self.fallback = None;
        self.given.push(text.clone());
        self.unproven = None;
        self.backoffs.clear();
        for attempt in self.attempts.values_mut() {
            attempt.refused.retain(|it| !it.reads_like(&text));
        }
        self.mark_unstored(true);
        self.set(record, now);
        self.effects.push(Effect::Renew {
            keeps_pauses: false,
        });
    }

    /// A caller demands a rotation.
    pub(crate) fn demand_rotation(&mut self, now: Now) {
        self.due.is_demanded = true;
        self.backoffs.end(task::Kind::Rotation);
        if let Some(error) = self.pause_error(now.at) {
            self.rotation_failed(error, now);
        }
    }

    /// The store may hold another record, or a caller wants to know.
    pub(crate) fn store_changed(&mut self) {
        self.outdate();
        if let Some(running) = &mut self.running {
            running.is_overtaken = true;
        }
        self.backoffs.end(task::Kind::Read);
    }

    /// The secret of a grant was replaced: what was refused may succeed.
    pub(crate) fn grant_changed(&mut self) {
        self.backoffs.end(task::Kind::Rotation);
        self.backoffs.succeeded(task::Kind::Recovery);
        self.effects.push(Effect::Renew { keeps_pauses: true });
    }

    /// The shutdown begins: nothing is exchanged or obtained any more.
    pub(crate) fn shut_down(&mut self) {
        self.is_draining = true;
        self.backoffs.clear();
        self.attempts.clear();
        self.pending.clear();
    }

    /// The driver was dropped, and with it all that was in progress.
    pub(crate) fn interrupted(&mut self) {
        self.running = None;
        self.attempts.clear();
        self.lease = Lease::Free;
        if self.setup.shares_store {
            self.outdate();
        }
    }

    /// Returns whether changes since the last call mean anything for the scope sets.
    pub(crate) fn has_effects(&self) -> bool {
        !self.effects.is_empty()
    }

    /// Returns what the changes since the last call mean for the scope sets.
    pub(crate) fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// Returns the token in use.
    pub(crate) fn current(&self) -> Option<&LongTermToken> {
        self.record.as_ref().map(Record::current)
    }

    /// Returns whether this token is neither the one in use nor the next one.
    pub(crate) fn has_superseded(&self, token: &LongTermToken) -> bool {
        let Some(record) = &self.record else {
            return false;
        };
        let mut kept = [Some(record.current()), self.next_token()].into_iter();
        !kept.any(|kept| kept.is_some_and(|kept| kept.reads_like(token)))
    }

    /// Returns whether an exchange of the root scope set is to prove the next token.
    pub(crate) fn is_proving(&self) -> bool {
        !self.is_draining
            && self.proof.is_none()
            && self.is_durable()
            && self.next_token().is_some()
    }

    /// Returns the longest life of the short-term tokens so far, if there was one.
    pub(crate) fn longest_life(&self) -> Option<Duration> {
        Some(self.longest_life).filter(|life| !life.is_zero())
    }

    /// Returns the calls in progress that may obtain a token.
    pub(crate) fn calls_in_flight(&self) -> impl Iterator<Item = (Call, Option<SetId>)> {
        let exchanges = self.attempts.iter().filter_map(|(set, attempt)| {
            let attempt::State::Exchanging(call, _) = &attempt.state else {
                return None;
            };
            Some((*call, Some(*set)))
        });
        let running = self.running.as_ref().filter(|running| {
            let task = &running.task;
            matches!(
                task,
                Task::Authorize { .. } | Task::Ask { .. } | Task::Obtain { .. }
            )
        });
        exchanges.chain(running.map(|running| (running.call, None)))
    }

    /// Returns since when that token is in use.
    pub(crate) const fn since(&self) -> Moment {
        self.since
    }

    /// Returns all long-term tokens that are known.
    pub(crate) fn tokens(&self) -> impl Iterator<Item = &LongTermToken> {
        let stored = self.record.iter().flat_map(Record::tokens);
        let fallback = self.fallback.iter().map(|it| &it.token);
        stored.chain(fallback).chain(&self.unwritten)
    }

    /// Returns the tokens that were obtained here and that a shared store does not hold, so that no other process knows
    /// them.
    pub(crate) fn unwritten(&self) -> &[LongTermToken] {
        // A private store ends with the process.
        if self.setup.shares_store {
            &self.unwritten
        } else {
            &[]
        }
    }

    /// Returns whether everything is stored that is to be stored.
    pub(crate) fn is_saved(&self) -> bool {
        self.record.is_none() || !matches!(self.durability, Durability::Unstored { .. })
    }

    /// Returns whether the store was read since it last changed, how often reading it has failed, and why it failed last.
    pub(crate) fn reading(&self) -> (bool, u64, Option<&Error>) {
        let is_current = self.reading == Reading::Current;
        (is_current, self.failed_readings, self.store_error.as_ref())
    }

    /// Returns how often the token in use was replaced.
    pub(crate) const fn changes(&self) -> u64 {
        self.changes
    }

    /// Returns how many attempts to rotate have failed, and why the last one did if none has succeeded since.
    pub(crate) const fn rotation_failures(&self) -> (u64, Option<&Error>) {
        (self.rotation_failures, self.rotation_error.as_ref())
    }

    /// Returns why the last access to the store failed, if it did.
    pub(crate) const fn store_error(&self) -> Option<&Error> {
        self.store_error.as_ref()
    }

    /// Returns whether the server has requested a pause that is not over.
    pub(crate) fn is_paused(&self, now: Moment) -> bool {
        self.grant_pause
            .as_ref()
            .is_some_and(|pause| now < pause.until)
    }

    /// Drops all tokens after the shutdown.
    pub(crate) fn drop_tokens(&mut self) {
        self.record = None;
        self.fallback = None;
        self.given.clear();
        self.unwritten.clear();
        self.spent.clear();
        self.proof = None;
        self.unproven = None;
        self.running = None;
        self.pending.clear();
        self.grant_pause = None;
    }

    /// Returns when the rotation is due.
    pub(crate) fn rotates_at(&self, now: Moment) -> Option<Moment> {
        let at = self.due.at().filter(|_| self.setup.rotates.is_some());
        let pause = self.backoffs.until(task::Kind::Rotation, now);
        at.map(|at| at.max(pause.unwrap_or(at)))
    }

    fn is_durable(&self) -> bool {
        matches!(self.durability, Durability::Stored(_))
    }

    fn is_by_hand(&self) -> bool {
        matches!(
            self.durability,
            Durability::Unstored {
                is_by_hand: true,
                ..
            }
        )
    }

    fn next_token(&self) -> Option<&LongTermToken> {
        self.record.as_ref()?.next().map(|next| &next.token)
    }

    fn times(&self) -> Times {
        Times::new(self.setup.retry.exchange_timeout)
    }

    fn outdate(&mut self) {
        if self.reading == Reading::Current {
            self.reading = Reading::Outdated;
        }
    }

    fn next_call(&mut self) -> Call {
        self.last_call.0 += 1;
        self.last_call
    }

    /// Notes that the store does not hold the record as it is now.
    fn mark_unstored(&mut self, by_hand: bool) {
        let (over, was_by_hand) = match &mut self.durability {
            Durability::Stored(version) => (Some(version.clone()), false),
            Durability::Removed { .. } => (None, false),
            Durability::Unstored { over, is_by_hand } => (over.take(), *is_by_hand),
        };
        self.durability = Durability::Unstored {
            over,
            is_by_hand: was_by_hand || by_hand,
        };
    }

    /// Keeps a record with a token that was obtained here.
    fn keep_obtained(&mut self, token: LongTermToken, record: Record, now: Now) {
        self.unwritten.push(token);
        self.mark_unstored(false);
        self.set(record, now);
    }

    /// Changes the record.
    fn set(&mut self, record: Record, now: Now) {
        let record = record.tidy();
        let before = self.record.replace(record);
        self.revision += 1;
        self.forget_outdated();
        let (Some(record), policy) = (&self.record, &self.setup.rotation) else {
            return;
        };
        match before {
            Some(before) if before.current().reads_like(record.current()) => {
                let dates = |it: &Record| (it.current.obtained_at, it.current.ends_at);
                if dates(&before) != dates(record) {
                    self.due.date(policy, &record.current, now);
                }
            }
            _ => {
                self.changes += 1;
                self.since = now.at;
                self.is_authority_new = false;
                self.begin_dates(now);
                self.backoffs.succeeded(task::Kind::Rotation);
                self.effects.push(Effect::Renew { keeps_pauses: true });
            }
        }
    }

    /// Schedules the rotation of a token that is in use from now on.
    fn begin_dates(&mut self, now: Now) {
        if let Some(record) = &self.record {
            let draw = self.backoffs.draw();
            self.due
                .begin(&self.setup.rotation, &record.current, draw, now);
        }
    }

    /// Forgets the fallback that the record knows, and a proof of another token than the next one.
    fn forget_outdated(&mut self) {
        let Some(record) = &self.record else { return };
        self.fallback
            .take_if(|fallback| record.tokens().any(|it| it.reads_like(&fallback.token)));
        let fallback = self.fallback.as_ref().map(|fallback| &fallback.token);
        let is_known = |it: &LongTermToken| {
            record
                .tokens()
                .chain(fallback)
                .any(|known| known.reads_like(it))
        };
        self.given.retain(is_known);
        let next = record.next().map(|next| &next.token);
        self.proof
            .take_if(|proof| !next.is_some_and(|next| next.reads_like(&proof.token)));
    }

    /// Keeps a token that came too late in the record, so that it is revoked.
    fn file(&mut self, token: LongTermToken, now: Now) {
        let Some(mut record) = self.record.clone() else {
            return;
        };
        (record.retiring).push(Retiring::after(token.clone(), Duration::ZERO, now.wall));
        self.keep_obtained(token, record, now);
    }

    /// Ends the rotation of this record. Its next token is revoked, and so is what authorized the request.
    fn abandon_rotation(&mut self, record: &mut Record, now: Now) {
        let (next, with) = record.rotation.take();
        let retiring = next.map(|it| Retiring::after(it.token, Duration::ZERO, now.wall));
        record.retiring.extend(retiring);
        self.spent.extend(with);
    }
}
