//! How the tasks end, and what that changes.

use std::time::Duration;

use super::attempt::Attempt;
use super::lease::Lease;
use super::merge::{self, Ours};
use super::task::{Call, Effect, Kind, Outcome, Purpose, Step, Task};
use super::{Durability, LongTerm, Reading, Running};
use crate::clock::{Moment, Now};
use crate::error::{Error, ErrorKind};
use crate::machine::refusal::is_refused;
use crate::observe::Event;
use crate::store::{Dated, Record, Retiring, Rotation, Stored};
use crate::token::{LongTermToken, ShortTermToken};

/// How long after the record was found removed it is written anew.
const BEFORE_REFILL: Duration = Duration::from_secs(10);
/// How long after a failed write the next one begins in a shutdown.
const BETWEEN_LAST_WRITES: Duration = Duration::from_millis(250);
/// How often in a row a write is tried again at once that another process has overtaken.
const MOST_CONFLICTS: u32 = 5;

impl LongTerm {
    /// Returns whether this task is in progress.
    pub(crate) fn is_in_progress(&self, call: Call) -> bool {
        self.running
            .as_ref()
            .is_some_and(|running| running.call == call)
    }

    /// Takes in how a task ended. What one has obtained that was interrupted is not forgotten.
    pub(crate) fn ended(&mut self, call: Call, outcome: Result<Outcome, Error>, now: Now) {
        let Some(running) = self.running.take_if(|running| running.call == call) else {
            match outcome {
                Ok(Outcome::Obtained(token)) => self.file(token.token, now),
                Ok(Outcome::Authorized(token, replacement)) => {
                    self.spent.push(token);
                    if let Some(replacement) = replacement {
                        self.file(replacement.token, now);
                    }
                }
                _ => {}
            }
            return;
        };
        let kind = match running.task {
            Task::Load | Task::Lease { .. } | Task::Renew { .. } => Some(Kind::Read),
            Task::Save { .. } => Some(Kind::Write),
            Task::Revoke(_) => Some(Kind::Revocation),
            // A rotation succeeds when the next token is proven, and a grant when its token is.
            Task::Authorize { .. } | Task::Ask { .. } | Task::Obtain { .. } => None,
        };
        match outcome {
            Ok(outcome) => {
                if let Some(kind) = kind {
                    self.backoffs.succeeded(kind);
                }
                self.succeeded(running, outcome, now);
            }
            Err(error) => self.failed(running.task, error, now),
        }
    }

    fn succeeded(&mut self, running: Running, outcome: Outcome, now: Now) {
        match (running.task, outcome) {
            (Task::Load, Outcome::Loaded(stored)) => {
                self.loaded(stored, now);
                if running.is_overtaken {
                    self.outdate();
                }
            }
            (Task::Save { record, .. }, Outcome::Saved(version)) => {
                self.conflicts = 0;
                self.store_error = None;
                if self.revision != running.revision {
                    // It has changed since, so the next write replaces this one.
                    self.durability = Durability::Unstored {
                        over: Some(version),
                        is_by_hand: self.is_by_hand(),
                    };
                    return;
                }
                if running.adopts {
                    self.adopted(record, now);
                }
                self.unwritten.clear();
                self.durability = Durability::Stored(version);
            }
            (Task::Lease { .. } | Task::Renew { .. }, Outcome::Leased(is_lent)) => {
                self.leased(is_lent, now);
            }
            (Task::Authorize { with }, Outcome::Authorized(token, replacement)) => {
                self.authorized(&with, token, replacement, now);
            }
            (Task::Ask { with, after }, Outcome::Obtained(token)) => {
                self.asked(&with, &after, token, now);
            }
            (Task::Obtain { purpose, after }, Outcome::Obtained(token)) => match purpose {
                Purpose::Rotate => self.obtained(after.as_ref(), token, now),
                Purpose::Recover => self.recovered(after.as_ref(), token, now),
            },
            (Task::Revoke(token), Outcome::Revoked) => self.forget_retiring(&token, now),
            // No other outcome belongs to a task.
            _ => {}
        }
    }

    fn failed(&mut self, task: Task, error: Error, now: Now) {
        match task {
            Task::Save { .. } if error.kind() == ErrorKind::Conflict => {
                self.outdate();
                if self.lease.is_held() {
                    // The process that has written may have the lease now.
                    self.pending.push_back(Step::Release);
                    self.lease = Lease::Free;
                }
                self.conflicts += 1;
                if self.conflicts > MOST_CONFLICTS {
                    self.store_failed(Kind::Write, error, now);
                }
            }
            Task::Save { .. } => self.store_failed(Kind::Write, error, now),
            Task::Load => {
                self.failed_readings += 1;
                self.store_failed(Kind::Read, error, now);
                if self.lease.is_held() {
                    self.pending.push_back(Step::Release);
                    self.forgo_lease();
                }
            }
            Task::Lease { .. } => {
                self.store_failed(Kind::Read, error, now);
                self.forgo_lease();
            }
            Task::Renew { .. } => {
                self.store_failed(Kind::Read, error, now);
                self.pending.push_back(Step::Release);
                self.lease = Lease::Free;
            }
            Task::Authorize { .. } => self.request_failed(error, now),
            Task::Ask { with, .. } => self.ask_failed(&with, error, now),
            Task::Obtain { purpose, .. } => {
                self.note_pause(&error, None, now);
                if purpose == Purpose::Rotate {
                    self.rotation_failed(error, now);
                } else {
                    for attempt in self.attempts.values_mut().filter(|it| it.has_obtained) {
                        attempt.search_error = Some(error.clone());
                    }
                }
            }
            Task::Revoke(token) => {
                let lives = token.expires_at().is_none_or(|ends_at| ends_at > now.wall);
                if error.is_retryable() && lives {
                    let policy = &self.setup.rotation;
                    (self.backoffs).failed(policy, Kind::Revocation, &error, None, now.at);
                } else {
                    self.forget_retiring(&token, now);
                }
            }
        }
    }

    fn loaded(&mut self, stored: Option<Stored>, now: Now) {
        self.reading = Reading::Current;
        self.lease.read();
        if self.is_durable() {
            self.store_error = None;
        }
        let Some(stored) = stored else {
            return self.found_nothing(now);
        };
        let before = self.current().cloned();
        self.take_up(stored, now);
        if let (Some(before), Some(current)) = (before, self.current().cloned())
            && !before.reads_like(&current)
        {
            self.pending.push_back(Step::Tell(Event::LongTermReloaded {
                token_id: current.shown_id().map(str::to_owned),
            }));
            self.effects.push(Effect::Replace { superseded: before });
        }
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
        if self.record.is_none()
            && let Some(given) = self.fallback.take()
        {
            self.set(Record::new(given), now);
        }
    }

    /// What another process has stored goes before what is here, but for what only this process knows.
    fn take_up(&mut self, stored: Stored, now: Now) {
        let Stored { record, version } = stored;
        let (is_known, is_unstored, is_by_hand) = match &self.durability {
            Durability::Stored(ours) => (*ours == version, false, false),
            Durability::Unstored { over, is_by_hand } => {
                (over.as_ref() == Some(&version), true, *is_by_hand)
            }
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
        let ours = Ours {
            record: ours,
            is_unstored,
            is_by_hand,
            unwritten: &self.unwritten,
        };
        let until = now.wall.checked_add(self.grace()).unwrap_or(now.wall);
        let merged = merge::merge(ours, record, now.wall, until);
        self.durability = if merged.adds {
            Durability::Unstored {
                over: Some(version),
                is_by_hand: is_by_hand && merged.is_ours,
            }
        } else {
            Durability::Stored(version)
        };
        self.set(merged.record, now);
    }

    fn leased(&mut self, is_lent: bool, now: Now) {
        let times = self.times();
        if let Lease::Held { until, .. } = &mut self.lease {
            if is_lent {
                *until = now.at + times.hold;
            } else {
                self.lease = Lease::Free;
                self.pending.push_back(Step::Release);
            }
            return;
        }
        let is_urgent = self.attempts.values().any(Attempt::is_waiting);
        self.lease.tried(is_lent, is_urgent, times, now.at);
        if !is_lent {
            self.outdate();
        }
    }

    /// The next token is the current one from now on.
    fn adopted(&mut self, record: Record, now: Now) {
        let before = self.record.clone();
        let with = before.as_ref().and_then(|it| it.rotation.asking_with());
        self.spent.extend(with.cloned());
        let token_id = record.current().shown_id().map(str::to_owned);
        self.set(record, now);
        self.rotation_error = None;
        let Some(superseded) = before.map(|before| before.current.token) else {
            return;
        };
        self.pending.push_back(Step::Tell(Event::Rotated {
            token_id,
            previous_id: superseded.shown_id().map(str::to_owned),
        }));
        self.effects.push(Effect::Replace { superseded });
    }

    /// This short-term token can ask for the next one. It is stored before it does.
    fn authorized(
        &mut self,
        with: &LongTermToken,
        token: ShortTermToken,
        replacement: Option<Dated>,
        now: Now,
    ) {
        let mut with = with.clone();
        if let Some(replacement) = replacement {
            let by = replacement.token.clone();
            self.replace(&with, replacement, now);
            with = by;
        }
        match self.record.clone() {
            Some(mut record)
                if record.current().reads_like(&with)
                    && matches!(record.rotation, Rotation::Settled) =>
            {
                record.rotation = Rotation::Asking { with: token };
                self.is_authority_new = true;
                self.mark_unstored(false);
                self.set(record, now);
            }
            _ => self.spent.push(token),
        }
    }

    /// The request for the next token was answered.
    fn asked(&mut self, with: &ShortTermToken, after: &LongTermToken, token: Dated, now: Now) {
        self.is_authority_new = false;
        let Some(mut record) = self.record.clone() else {
            return;
        };
        let is_with = |it: &ShortTermToken| it.reads_like(with);
        let asks = record.rotation.asking_with().is_some_and(is_with);
        if !asks || !record.current().reads_like(after) {
            return self.file(token.token, now);
        }
        if token.token.is_same(record.current()) {
            return self.returned_again(record, token, now);
        }
        if let (Some(refused), _) = record.rotation.take()
            && !refused.token.reads_like(&token.token)
        {
            record
                .retiring
                .push(Retiring::after(refused.token, Duration::ZERO, now.wall));
        }
        let next = token.token.clone();
        record.rotation = Rotation::Proving {
            next: token,
            with: Some(with.clone()),
        };
        self.proof = None;
        self.keep_obtained(next, record, now);
    }

    /// The server returned the token in use instead of another. It may have prolonged its life.
    fn returned_again(&mut self, mut record: Record, token: Dated, now: Now) {
        if token.ends_at <= record.current.ends_at {
            let text = "the auth server returned the long-term token in use instead of a new one";
            return self.rotation_failed(Error::own(ErrorKind::Protocol, text), now);
        }
        let token_id = token.token.shown_id().map(str::to_owned);
        let text = token.token.clone();
        record.current = token;
        self.abandon_rotation(&mut record, now);
        self.keep_obtained(text, record, now);
        self.begin_dates(now);
        self.changes += 1;
        self.pending.push_back(Step::Tell(Event::Rotated {
            previous_id: token_id.clone(),
            token_id,
        }));
    }

    /// The grant has brought the token that follows this one.
    fn obtained(&mut self, after: Option<&LongTermToken>, token: Dated, now: Now) {
        let Some(mut record) = self.record.clone() else {
            return;
        };
        let is_as_it_was = after.is_some_and(|after| record.current().reads_like(after))
            && matches!(record.rotation, Rotation::Settled);
        if !is_as_it_was {
            return self.file(token.token, now);
        }
        if token.token.is_same(record.current()) {
            return self.returned_again(record, token, now);
        }
        let next = token.token.clone();
        record.rotation = Rotation::Proving {
            next: token,
            with: None,
        };
        self.keep_obtained(next, record, now);
    }

    /// The grant has brought a token in place of those that the server refuses.
    fn recovered(&mut self, after: Option<&LongTermToken>, token: Dated, now: Now) {
        let is_after = |current: &LongTermToken| after.is_some_and(|it| it.reads_like(current));
        let is_as_it_was = match self.current() {
            Some(current) => is_after(current),
            None => after.is_none(),
        };
        if !is_as_it_was {
            // One that was handed in meanwhile goes first.
            return self.file(token.token, now);
        }
        let text = token.token.clone();
        let mut record = Record::new(token);
        if let Some(mut old) = self.record.clone() {
            self.abandon_rotation(&mut old, now);
            record.retiring = old.retiring;
            if old.current.token.reads_like_any(&self.given) {
                // What a person gave is not revoked because the server refuses it, and is tried again.
                self.fallback = Some(old.current);
            } else if !self.setup.replaces {
                // To show a replaced token to the server again would end what was obtained with it.
                let refused = Retiring::after(old.current.token, Duration::ZERO, now.wall);
                record.retiring.push(refused);
            }
        }
        let token_id = text.shown_id().map(str::to_owned);
        self.unproven = Some(text.clone());
        self.keep_obtained(text, record, now);
        self.pending
            .push_back(Step::Tell(Event::LongTermObtained { token_id }));
    }

    /// The request for the next token has failed. If the server refuses what authorizes it, another one does so.
    fn ask_failed(&mut self, with: &ShortTermToken, error: Error, now: Now) {
        let was_new = std::mem::take(&mut self.is_authority_new);
        let record = self.record.clone().filter(|record| {
            matches!(&record.rotation, Rotation::Asking { with: it } if it.reads_like(with))
        });
        if let Some(mut record) = record.filter(|_| is_refused(&error)) {
            record.rotation = Rotation::Settled;
            self.due.is_demanded = true;
            self.mark_unstored(false);
            self.set(record, now);
            if !was_new {
                return self.note_pause(&error, None, now);
            }
        }
        self.request_failed(error, now);
    }

    fn request_failed(&mut self, error: Error, now: Now) {
        self.note_pause(&error, None, now);
        if error.is_retryable() {
            for attempt in self.attempts.values_mut().filter(|it| it.has_asked) {
                attempt.search_error = Some(error.clone());
            }
        }
        self.rotation_failed(error, now);
    }

    /// Begins a pause, and tells observers that the rotation has failed for now.
    pub(super) fn rotation_failed(&mut self, error: Error, now: Now) {
        let at_most = self.patience(now);
        let policy = &self.setup.rotation;
        (self.backoffs).failed(policy, Kind::Rotation, &error, at_most, now.at);
        let retry_at = self.backoffs.until(Kind::Rotation, now.at);
        self.tell_rotation_failed(error, retry_at, now);
    }

    fn tell_rotation_failed(&mut self, error: Error, retry_at: Option<Moment>, now: Now) {
        self.rotation_failures += 1;
        let last = self.rotation_error.replace(error.clone());
        let is_alike = |last: Error| last.kind() == error.kind() && last.code() == error.code();
        self.pending.push_back(Step::Tell(Event::RotationFailed {
            repeats: last.is_some_and(is_alike),
            error,
            retry_in: retry_at.map(|until| until.since(now.at)),
        }));
    }

    /// Returns a bound of the pause: what the next token is requested with expires, and must have several chances
    /// until then.
    fn patience(&self, now: Now) -> Option<Duration> {
        let with = self.record.as_ref()?.rotation.asking_with()?;
        let left = with.expires_at()?.duration_since(now.wall);
        Some((left.ok()? / 4).max(self.setup.rotation.first_delay))
    }

    fn store_failed(&mut self, kind: Kind, error: Error, now: Now) {
        let at_most = self.is_draining.then_some(BETWEEN_LAST_WRITES);
        let policy = &self.setup.rotation;
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
    fn forgo_lease(&mut self) {
        let is_urgent = self.attempts.values().any(Attempt::is_waiting);
        self.lease = if is_urgent {
            Lease::Forgone
        } else {
            Lease::Free
        };
    }

    fn forget_retiring(&mut self, token: &LongTermToken, now: Now) {
        if let Some(mut record) = self.record.clone() {
            record.retiring.retain(|it| !it.token.reads_like(token));
            self.mark_unstored(false);
            self.set(record, now);
        }
        let token = token.clone();
        self.effects.push(Effect::Forget { token });
    }
}
