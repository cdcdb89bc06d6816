//! What the store and its lease have answered.

use std::time::Duration;

use crate::clock::Now;
use crate::error::Error;
use crate::machine::long_term::lease::LeaseState;
use crate::machine::long_term::merge::{self, Ours};
use crate::machine::long_term::task::{Kind, Step};
use crate::machine::long_term::{Durability, LongTerm, Reading};
use crate::observe::Event;
use crate::store::{Record, Rotation, Stored};
use crate::token::LongTermToken;

/// How long after the record was found removed it is written anew.
const BEFORE_REFILL: Duration = Duration::from_secs(10);
/// How long after a failed write the next one begins in a shutdown.
const BETWEEN_LAST_WRITES: Duration = Duration::from_millis(250);

impl LongTerm {
    pub(super) fn loaded(&mut self, stored: Option<Stored>, now: Now) {
        self.reading = Reading::Current;
        self.lease.read();
        if self.is_durable() {
            self.store_error = None;
        }
        let Some(stored) = stored else {
            return self.found_nothing(now);
        };
        let before = self.record.clone();
        self.take_up(stored, now);
        let current = self.current().cloned();
        if let (Some(before), Some(current)) = (before, current) {
            self.refresh_superseded(&before);
            if !before.current().reads_like(&current) {
                self.follow(before, &current);
            }
        }
    }

    /// The store has another token in use: one that this process has written although the write has failed, or one of
    /// another process.
    fn follow(&mut self, before: Record, current: &LongTermToken) {
        let is_current = |it: &mut LongTermToken| it.reads_like(current);
        if self.unconfirmed.take_if(is_current).is_some() {
            return self.rotated(before);
        }
        let token_id = current.shown_id().map(str::to_owned);
        self.pending
            .push_back(Step::Tell(Event::LongTermReloaded { token_id }));
    }

    fn found_nothing(&mut self, now: Now) {
        match &mut self.durability {
            Durability::Stored(_) => {
                self.durability = Durability::Removed {
                    refill_at: now.at + BEFORE_REFILL,
                };
            }
            Durability::Removed { refill_at } if *refill_at <= now.at => {
                self.mark_unstored(false);
            }
            Durability::Removed { .. } => {}
            Durability::Unstored { over, .. } => *over = None,
        }
        if self.record.is_none() && !self.fallbacks.is_empty() {
            let given = self.fallbacks.remove(0);
            self.set(Record::new(given), now);
        }
    }

    /// Merges the stored record into this one. The stored record wins, except for tokens that only this process knows.
    fn take_up(&mut self, stored: Stored, now: Now) {
        let Stored { record, version } = stored;
        let last_stored = self.note_stored(&record);
        let (is_known, is_unstored, is_set_by_caller) = match &self.durability {
            Durability::Stored(ours) => (*ours == version, false, false),
            Durability::Unstored {
                over,
                is_set_by_caller,
            } => (over.as_ref() == Some(&version), true, *is_set_by_caller),
            Durability::Removed { .. } => (false, false, false),
        };
        let Some(ours) = self.record.clone() else {
            self.durability = Durability::Stored(version);
            return self.set(record, now);
        };
        if is_known {
            // It is the version that this process knows.
            return;
        }
        self.drop_proofs();
        let ours = Ours {
            record: ours,
            is_unstored,
            is_set_by_caller,
            unwritten: &self.unwritten,
            unproven: self.unproven.as_ref().map(|it| &it.token),
            last_stored: last_stored.as_deref(),
        };
        let until = now.wall.checked_add(self.grace()).unwrap_or(now.wall);
        let merged = merge::merge(ours, record, until);
        self.durability = if merged.adds {
            Durability::Unstored {
                over: Some(version),
                is_set_by_caller: is_set_by_caller && merged.is_ours,
            }
        } else {
            Durability::Stored(version)
        };
        self.set(merged.record, now);
    }

    /// Records what the store holds, and returns the previous stored record.
    pub(super) fn note_stored(&mut self, record: &Record) -> Option<Box<Record>> {
        let stored = self.setup.shares_store.then(|| Box::new(record.clone()));
        std::mem::replace(&mut self.stored, stored)
    }

    pub(super) fn leased(&mut self, is_granted: bool, now: Now) {
        let times = self.times();
        if let LeaseState::Held { until, .. } = &mut self.lease {
            if is_granted {
                *until = now.at + times.hold;
            } else {
                self.lease = LeaseState::Free;
                self.pending.push_back(Step::Release);
            }
            return;
        }
        let is_urgent = self.attempts.values().any(|it| it.is_waiting());
        self.lease.tried(is_granted, is_urgent, times, now.at);
        if !is_granted {
            self.mark_outdated();
        }
    }

    pub(super) fn store_failed(&mut self, kind: Kind, error: Error, now: Now) {
        let at_most = self.is_draining.then_some(BETWEEN_LAST_WRITES);
        let policy = &self.setup.policies.rotation;
        (self.backoffs).failed(policy, kind, &error, at_most, now.at);
        let last = self.store_error.replace(error.clone());
        let repeats = last.is_some_and(|last| last.to_string() == error.to_string());
        self.pending.push_back(Step::Tell(Event::StoreFailed {
            error: error.clone(),
            repeats,
        }));
        let is_settled = |record: &Record| matches!(record.rotation, Rotation::Settled);
        if self.due.is_demanded || !self.record.as_ref().is_none_or(is_settled) {
            self.tell_rotation_failed(error, self.backoffs.until(kind, now.at), now);
        }
    }

    /// Goes on without the lease for the attempts that need a token, and otherwise tries again later.
    pub(super) fn give_up_lease(&mut self) {
        let is_urgent = self.attempts.values().any(|it| it.is_waiting());
        self.lease = if is_urgent {
            LeaseState::GivenUp
        } else {
            LeaseState::Free
        };
    }
}
