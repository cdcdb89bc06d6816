//! The long-term token: which one is in use, what the store holds, and what is done next. The stored record is the
//! part of this state that survives a crash.
//!
//! `inputs.rs` takes in what happens, `agenda` decides what is done next, and `outcomes` takes in how it ended.

mod agenda;
mod attempt;
mod exchange_results;
mod inputs;
mod lease;
mod merge;
mod outcomes;
#[cfg(test)]
mod properties;
mod record;
mod schedule;
mod status;
mod task;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::input::SetId;
use crate::clock::{Moment, Now};
use crate::error::Error;
use crate::policy::Policies;
use crate::store::{Dated, Record, Version};
use crate::token::{LongTermToken, ShortTermToken};

pub(crate) use agenda::Next;
use attempt::Attempt;
pub(crate) use exchange_results::Landing;
use lease::{LeaseState, Times};
use schedule::{Backoffs, Due};
pub(crate) use task::{Call, Effect, InFlight, Outcome, Purpose, Step, Task};

/// What the issuer, the grants and the store of a provider allow.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    /// Whether other processes may use the store, too.
    pub(crate) shares_store: bool,
    /// Whether each exchange replaces the long-term token.
    pub(crate) replaces: bool,
    /// How long after such an exchange the server accepts the replaced token once more.
    pub(crate) reuse_grace: Duration,
    pub(crate) rotates: Option<Rotates>,
    pub(crate) recovers: Option<Recovers>,
    pub(crate) policies: Arc<Policies>,
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
    /// With a one-time code, which the provider uses once.
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
    lease: LeaseState,
    running: Option<Box<Running>>,
    last_call: Call,
    /// The token that the provider was built with, and those that a recovery has replaced and that this process has not
    /// obtained. One of them is written if the store is empty, or once an exchange has proven it.
    fallbacks: Vec<Dated>,
    /// The tokens that this process has obtained. No other one is revoked because the server refuses it: a person may
    /// have provided it.
    obtained: Vec<LongTermToken>,
    /// What an exchange has shown of the next token.
    proof: Option<Proof>,
    /// Exchanges before this call prove nothing: the next token was requested again since, here or by another process, and
    /// the server may have ended the one that it issued before.
    proves_after: Call,
    /// Whether the store has a new version of the record since the request for the next token is to be repeated, so that
    /// other processes drop their proofs.
    has_told_others: bool,
    /// The token that a grant brought and that no exchange has accepted yet.
    unproven: Option<Unproven>,
    /// The tokens that were obtained here since the last write, so that no other process knows them.
    unwritten: Vec<LongTermToken>,
    /// The record that was last read or written, if other processes may use the store.
    stored: Option<Box<Record>>,
    /// The short-term tokens that have served to ask for a long-term one.
    used_authorities: Vec<ShortTermToken>,
    /// The token that a write was to make the current one, if its outcome did not arrive.
    unconfirmed: Option<LongTermToken>,
    /// Whether the short-term token that asks was obtained just now.
    is_authority_new: bool,
    due: Due,
    backoffs: Backoffs,
    grant_pause: Option<GrantPause>,
    attempts: BTreeMap<SetId, Box<Attempt>>,
    /// Steps that come first: events, releases and failures.
    pending: VecDeque<Step>,
    /// What the changes so far mean for the scope sets.
    effects: Vec<Effect>,
    /// The token of an exchange that may have replaced it, although no answer has arrived.
    spent: Option<Spent>,
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
    /// The longest life of the short-term tokens so far, if there was one.
    longest_life: Option<Duration>,
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
        is_set_by_caller: bool,
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
    makes_next_current: bool,
    /// Whether the store has changed since the task began.
    has_store_changed: bool,
}

/// What an exchange has shown of the next token.
#[derive(Clone, Debug)]
struct Proof {
    token: LongTermToken,
    /// Why the server refuses it while it accepts the current one; `None` if it accepts it.
    refusal: Option<Error>,
}

/// A token that a grant brought in place of those that the server refuses.
#[derive(Debug)]
struct Unproven {
    token: LongTermToken,
    /// Whether the server refuses this one, too.
    is_refused: bool,
}

/// A token that may have been replaced by an exchange whose answer was lost. Many servers revoke all tokens when it is
/// used again (RFC 9700, section 4.14.2).
#[derive(Debug)]
struct Spent {
    token: LongTermToken,
    /// Until when the server accepts it once more.
    until: Moment,
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
                is_set_by_caller: false,
            },
            reading: Reading::Never,
            lease: LeaseState::Free,
            running: None,
            last_call: Call::default(),
            fallbacks: given.into_iter().collect(),
            obtained: Vec::new(),
            proof: None,
            proves_after: Call::default(),
            has_told_others: false,
            unproven: None,
            unwritten: Vec::new(),
            stored: None,
            used_authorities: Vec::new(),
            unconfirmed: None,
            is_authority_new: false,
            due: Due::never(),
            backoffs: Backoffs::new(fastrand::Rng::with_seed(seed)),
            grant_pause: None,
            attempts: BTreeMap::new(),
            pending: VecDeque::new(),
            effects: Vec::new(),
            spent: None,
            is_draining: false,
            unclear: 0,
            conflicts: 0,
            changes: 0,
            since: now.at,
            failed_readings: 0,
            longest_life: None,
            rotation_failures: 0,
            rotation_error: None,
            store_error: None,
        };
        if !rules.setup.shares_store {
            rules.reading = Reading::Current;
            let given = std::mem::take(&mut rules.fallbacks);
            for given in given {
                rules.set(Record::new(given), now);
            }
        }
        rules
    }

    fn is_durable(&self) -> bool {
        matches!(self.durability, Durability::Stored(_))
    }

    fn is_set_by_caller(&self) -> bool {
        matches!(
            self.durability,
            Durability::Unstored {
                is_set_by_caller: true,
                ..
            }
        )
    }

    fn next_token(&self) -> Option<&LongTermToken> {
        self.record.as_ref()?.next().map(|next| &next.token)
    }

    fn times(&self) -> Times {
        Times::new(self.setup.policies.retry.exchange_timeout)
    }

    /// The store may hold another record than the one that was last read. A store that no other process uses does not.
    fn mark_outdated(&mut self) {
        if self.setup.shares_store && self.reading == Reading::Current {
            self.reading = Reading::Outdated;
        }
    }

    fn end_attempt(&mut self, set: SetId) {
        self.attempts.remove(&set);
        if self.attempts.is_empty() {
            // A `BTreeMap` keeps its last node.
            self.attempts = BTreeMap::new();
        }
    }

    fn next_call(&mut self) -> Call {
        self.last_call.0 += 1;
        self.last_call
    }
}
