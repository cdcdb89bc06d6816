//! Changes of the record, and what follows from each.

use std::time::Duration;

use super::task::{Effect, Kind};
use super::{Durability, LongTerm};
use crate::clock::Now;
use crate::store::{Dated, Record, Retiring};
use crate::token::LongTermToken;

impl LongTerm {
    /// Notes that the store does not hold the record as it is now.
    pub(super) fn mark_unstored(&mut self, by_caller: bool) {
        let (over, was_set_by_caller) = match &mut self.durability {
            Durability::Stored(version) => (Some(version.clone()), false),
            Durability::Removed { .. } => (None, false),
            Durability::Unstored {
                over,
                is_set_by_caller,
            } => (over.take(), *is_set_by_caller),
        };
        self.durability = Durability::Unstored {
            over,
            is_set_by_caller: was_set_by_caller || by_caller,
        };
    }

    /// Keeps a record with a token that was obtained here.
    pub(super) fn keep_obtained(&mut self, token: LongTermToken, record: Record, now: Now) {
        self.obtained.push(token.clone());
        self.unwritten.push(token);
        self.mark_unstored(false);
        self.set(record, now);
    }

    /// Changes the record.
    pub(super) fn set(&mut self, record: Record, now: Now) {
        let record = record.tidy();
        let before = self.record.replace(record);
        self.revision += 1;
        self.forget_outdated();
        let (Some(record), policy) = (&self.record, &self.setup.policies.rotation) else {
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
                self.backoffs.succeeded(Kind::Rotation);
                self.rotation_error = None;
                self.effects
                    .push(Effect::ForgetRefusals { keeps_pauses: true });
            }
        }
    }

    /// Schedules the rotation of a token that is in use from now on.
    pub(super) fn begin_dates(&mut self, now: Now) {
        if let Some(record) = &self.record {
            let draw = self.backoffs.draw();
            self.due
                .begin(&self.setup.policies.rotation, &record.current, draw, now);
        }
    }

    /// Forgets the fallbacks that the record knows, and a proof of another token than the next one.
    fn forget_outdated(&mut self) {
        let Some(record) = &self.record else { return };
        self.fallbacks
            .retain(|fallback| !record.tokens().any(|it| it.reads_like(&fallback.token)));
        let fallbacks = self.fallbacks.iter().map(|fallback| &fallback.token);
        let is_known = |it: &LongTermToken| {
            record
                .tokens()
                .chain(fallbacks.clone())
                .any(|known| known.reads_like(it))
        };
        self.obtained.retain(is_known);
        let next = record.next().map(|next| &next.token);
        self.proof
            .take_if(|proof| !next.is_some_and(|next| next.reads_like(&proof.token)));
    }

    /// Keeps a token that came too late in the record, so that it is revoked. Where there is no other one, it is used.
    pub(super) fn retire_late(&mut self, token: Dated, grace: Duration, now: Now) {
        let text = token.token.clone();
        let record = match self.record.clone() {
            Some(mut record) => {
                let retiring = Retiring::after(token.token, grace, now.wall);
                record.retiring.push(retiring);
                record
            }
            None => Record::new(token),
        };
        self.keep_obtained(text, record, now);
    }

    /// Ends the rotation of this record. Its next token is revoked, and so is what authorized the request.
    pub(super) fn abandon_rotation(&mut self, record: &mut Record, now: Now) {
        let (next, with) = record.rotation.take();
        let retiring = next.map(|it| Retiring::after(it.token, self.grace_of_others(), now.wall));
        record.retiring.extend(retiring);
        self.used_authorities.extend(with);
    }
}
