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
use crate::store::{Dated, Record, Retiring, Rotation, Version};
use crate::token::{LongTermToken, ShortTermToken};

use attempt::Attempt;
use lease::{Lease, Times};
use schedule::{Backoffs, Due};
pub(crate) use task::{Outcome, Purpose, Step, Task};

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
    /// The short-term tokens that have served to ask for a long-term one.
    spent: Vec<ShortTermToken>,
    /// Whether the short-term token that asks was obtained just now.
    is_authority_new: bool,
    due: Due,
    backoffs: Backoffs,
    grant_pause: Option<GrantPause>,
    attempts: BTreeMap<SetId, Attempt>,
    /// What others are to be told.
    pending: VecDeque<Step>,
    is_draining: bool,
    /// How many writes in a row another process has overtaken.
    conflicts: u32,
    /// How often the token in use was replaced.
    changes: u64,
    /// How often the store was read or could not be read.
    readings: u64,
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
        /// Whether the current token was obtained here, so that no other process knows it.
        is_obtained: bool,
    },
    /// Somebody has removed the record, perhaps to put another in its place. It is written anew at this moment.
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
    pub(crate) fn new(setup: Setup, given: Option<Dated>, seed: u64, now: Moment) -> Self {
        Self {
            setup,
            record: None,
            revision: 0,
            durability: Durability::Unstored {
                over: None,
                is_by_hand: false,
                is_obtained: false,
            },
            reading: Reading::Never,
            lease: Lease::Free,
            running: None,
            given: given.iter().map(|given| given.token.clone()).collect(),
            fallback: given,
            proof: None,
            unproven: None,
            spent: Vec::new(),
            is_authority_new: false,
            due: Due::never(),
            backoffs: Backoffs::new(fastrand::Rng::with_seed(seed)),
            grant_pause: None,
            attempts: BTreeMap::new(),
            pending: VecDeque::new(),
            is_draining: false,
            conflicts: 0,
            changes: 0,
            readings: 0,
            longest_life: Duration::ZERO,
            rotation_failures: 0,
            rotation_error: None,
            store_error: None,
        }
    }

    /// Begins an attempt of a scope set. It ends with [`Step::Land`], [`Step::Fail`] or a token that
    /// [`minted`](Self::minted) lands at once. It also tries a store again that has failed.
    pub(crate) fn begin(&mut self, set: SetId, now: Moment) {
        let deadline = now + self.setup.retry.exchange_timeout;
        self.attempts.insert(set, Attempt::new(now, deadline));
        self.backoffs.end(task::Kind::Read);
        self.backoffs.end(task::Kind::Write);
    }

    /// Forgets the attempt of a scope set that was closed.
    pub(crate) fn forget(&mut self, set: SetId) {
        self.attempts.remove(&set);
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
            (record.retiring).extend(next.map(|it| agenda::retire_in(it.token, grace, now.wall)));
            self.spent.extend(with);
        }
        self.fallback = None;
        self.given.push(text.clone());
        self.unproven = None;
        self.backoffs.clear();
        for attempt in self.attempts.values_mut() {
            attempt.refused.retain(|it| !it.reads_like(&text));
        }
        self.mark_unstored(true, false);
        self.set(record, now);
        self.pending.push_back(Step::Renew {
            keeps_pauses: false,
        });
    }

    /// A caller demands a rotation.
    pub(crate) fn demand_rotation(&mut self) {
        self.due.is_demanded = true;
        self.backoffs.end(task::Kind::Rotation);
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
    pub(crate) fn secret_replaced(&mut self) {
        self.backoffs.end(task::Kind::Rotation);
        self.backoffs.succeeded(task::Kind::Recovery);
        self.pending.push_back(Step::Renew { keeps_pauses: true });
    }

    /// The shutdown begins: nothing is exchanged or obtained any more.
    pub(crate) fn shut_down(&mut self) {
        self.is_draining = true;
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

    /// Returns the token in use.
    pub(crate) fn current(&self) -> Option<&LongTermToken> {
        self.record.as_ref().map(Record::current)
    }

    /// Returns whether an exchange of the root scope set is to prove the next token.
    pub(crate) fn is_proving(&self) -> bool {
        !self.is_draining
            && self.proof.is_none()
            && self.is_durable()
            && self.next_token().is_some()
    }

    /// Returns when the rotation is due.
    pub(crate) fn rotates_at(&self) -> Option<Moment> {
        self.due.at()
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

    /// Notes that the store does not hold the record as it is now.
    fn mark_unstored(&mut self, by_hand: bool, obtained: bool) {
        self.durability = match std::mem::replace(
            &mut self.durability,
            Durability::Removed {
                refill_at: Moment::from_origin(Duration::ZERO),
            },
        ) {
            Durability::Stored(version) => Durability::Unstored {
                over: Some(version),
                is_by_hand: by_hand,
                is_obtained: obtained,
            },
            Durability::Removed { .. } => Durability::Unstored {
                over: None,
                is_by_hand: by_hand,
                is_obtained: obtained,
            },
            Durability::Unstored {
                over,
                is_by_hand,
                is_obtained,
            } => Durability::Unstored {
                over,
                is_by_hand: is_by_hand || by_hand,
                is_obtained: is_obtained || obtained,
            },
        };
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
                self.begin_dates(now);
                self.backoffs.succeeded(task::Kind::Rotation);
                self.pending.push_back(Step::Renew { keeps_pauses: true });
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
        let next = record.next().map(|next| &next.token);
        self.proof
            .take_if(|proof| !next.is_some_and(|next| next.reads_like(&proof.token)));
    }

    /// Keeps a token that came too late in the record, so that it is revoked.
    fn file(&mut self, token: LongTermToken, now: Now) {
        let Some(mut record) = self.record.clone() else {
            return;
        };
        record.retiring.push(Retiring {
            token,
            revoke_at: now.wall,
        });
        self.mark_unstored(false, true);
        self.set(record, now);
    }

    /// Ends the rotation of this record. Its next token is revoked, and so is what authorized the request.
    fn abandon_rotation(&mut self, record: &mut Record, now: Now) {
        let (next, with) = record.rotation.take();
        record.retiring.extend(next.map(|next| Retiring {
            token: next.token,
            revoke_at: now.wall,
        }));
        self.spent.extend(with);
    }
}
