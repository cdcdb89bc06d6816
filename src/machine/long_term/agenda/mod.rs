//! Chooses the next step: the first rule that applies. A rule that has to wait says until when.

mod search;
mod upkeep;

use super::lease::{LeaseState, LeaseStep};
use super::task::{Kind, Step, Task};
use super::{Durability, LongTerm, Reading, Running};
use crate::clock::{Moment, Now};
use crate::store::{Record, Rotation};
use crate::token::LongTermToken;

/// The next step, or until when there is none.
#[derive(Debug)]
pub(crate) enum Next {
    Do(Step),
    /// Nothing is to be done until this moment, if there is one, or until something happens.
    Sleep(Option<Moment>),
}

/// The earliest of several moments that lie ahead.
struct Wake {
    now: Moment,
    earliest: Option<Moment>,
}

impl Wake {
    fn at(&mut self, at: Moment) {
        if at > self.now {
            self.earliest = Some(self.earliest.map_or(at, |earliest| earliest.min(at)));
        }
    }
}

/// Whether the lease is held, or not needed, and the store was read since.
enum Locked {
    Yes,
    /// This step comes first.
    After(Step),
    Waits,
}

impl LongTerm {
    /// Returns what to do next. `served_until` tells until when callers may use a token that was minted from this
    /// long-term token.
    pub(crate) fn next(
        &mut self,
        now: Now,
        served_until: &dyn Fn(&LongTermToken) -> Option<Moment>,
    ) -> Next {
        if let Some(step) = self.pending.pop_front() {
            return Next::Do(step);
        }
        let mut wake = Wake {
            now: now.at,
            earliest: None,
        };
        let step = self
            .store_step(now, &mut wake)
            .or_else(|| self.attempt_step(now, &mut wake))
            .or_else(|| self.upkeep_step(now, served_until, &mut wake))
            .or_else(|| self.idle_step(now.at, &mut wake));
        let Some(step) = step else {
            let record = self.record.as_ref();
            if let Some(record) = record.filter(|_| self.due.is_outdated(now)) {
                self.due
                    .date(&self.setup.policies.rotation, &record.current, now);
                return self.next(now, served_until);
            }
            return Next::Sleep(wake.earliest);
        };
        Next::Do(step)
    }

    /// Reads the store, and writes what it does not hold.
    fn store_step(&mut self, now: Now, wake: &mut Wake) -> Option<Step> {
        if self.running.is_some() {
            return None;
        }
        let is_unstored = self.is_unstored();
        let is_missing = match self.durability {
            Durability::Removed { refill_at } if !self.is_draining => {
                wake.at(refill_at);
                refill_at <= now.at
            }
            _ => false,
        };
        let is_wanted = self.reading != Reading::Current && (!self.is_draining || is_unstored);
        if (is_wanted || is_missing) && self.may(Kind::Read, now.at, wake) {
            return Some(self.start(Task::Load));
        }
        let is_ready = is_unstored && self.reading == Reading::Current;
        if is_ready && self.may(Kind::Write, now.at, wake) {
            self.delay_retirements(now);
            return Some(self.save(self.record.clone()?));
        }
        None
    }

    /// Counts the grace of the tokens that the store does not know to be superseded from now on: other processes use them
    /// until they read the record.
    fn delay_retirements(&mut self, now: Now) {
        let grace = self.grace_of_others();
        let earliest = now.wall.checked_add(grace).unwrap_or(now.wall);
        let stored = self.stored.as_ref();
        let is_known = |token: &LongTermToken| {
            let mut retiring = stored.into_iter().flat_map(|stored| &stored.retiring);
            retiring.any(|retiring| retiring.token.reads_like(token))
        };
        if let Some(record) = &mut self.record {
            let used = record.retiring.iter_mut().filter(|it| !it.is_unused());
            for retiring in used.filter(|it| !is_known(&it.token)) {
                retiring.revoke_at = retiring.revoke_at.max(earliest);
            }
        }
    }

    /// What is left when nothing else is to be done.
    fn idle_step(&mut self, now: Moment, wake: &mut Wake) -> Option<Step> {
        if self.running.is_some() || self.setup.replaces && self.is_exchanging() {
            return None;
        }
        if self.is_durable()
            && !self.is_draining
            && let Some(token) = self.used_authorities.pop()
        {
            return Some(Step::RevokeAuthority(token));
        }
        match self.lease {
            // The next holder would ask for a token again that is here and not written yet.
            LeaseState::Held { until, .. }
                if self.is_unstored() && !self.unwritten.is_empty() && now < until =>
            {
                wake.at(until);
                None
            }
            LeaseState::Held { .. } => {
                self.lease = LeaseState::Free;
                Some(Step::Release)
            }
            LeaseState::GivenUp => {
                self.lease = LeaseState::Free;
                None
            }
            // The next attempt needs it, and how long it was waited for counts.
            LeaseState::Wanted {
                urgent_since: Some(_),
                ..
            } if !self.is_draining => match self.lease.step(false, self.times(), now) {
                LeaseStep::Begin(task) => Some(self.start(task)),
                LeaseStep::Wait(at) => {
                    wake.at(at);
                    None
                }
                LeaseStep::Ready => None,
            },
            LeaseState::Free | LeaseState::Wanted { .. } => None,
        }
    }

    /// Leads to the lease, under which the store was read.
    fn lock(&mut self, now: Moment, is_urgent: bool, wake: &mut Wake) -> Locked {
        let times = self.times();
        if !self.setup.shares_store {
            return Locked::Yes;
        }
        if self.lease.is_over(now) {
            self.lease = LeaseState::Free;
            return Locked::After(Step::Release);
        }
        if is_urgent && self.lease.is_out_of_patience(times, now) {
            self.lease = LeaseState::GivenUp;
            self.mark_outdated();
            return Locked::After(self.start(Task::Load));
        }
        if self.lease.is_to_be_renewed(times, now) {
            let at_most = times.hold;
            return Locked::After(self.start(Task::Renew { at_most }));
        }
        // What waits with a usable token does not ask a store again that has just failed.
        if !is_urgent && !self.may(Kind::Read, now, wake) {
            return Locked::Waits;
        }
        match self.lease.step(is_urgent, times, now) {
            LeaseStep::Ready => Locked::Yes,
            LeaseStep::Begin(task) => Locked::After(self.start(task)),
            LeaseStep::Wait(at) => {
                wake.at(at);
                Locked::Waits
            }
        }
    }

    /// Returns whether no pause after a failure lasts.
    fn may(&self, kind: Kind, now: Moment, wake: &mut Wake) -> bool {
        let until = self.backoffs.until(kind, now);
        if let Some(until) = until {
            wake.at(until);
        }
        until.is_none()
    }

    fn start(&mut self, task: Task) -> Step {
        let call = self.next_call();
        self.running = Some(Box::new(Running {
            call,
            task: task.clone(),
            revision: self.revision,
            makes_next_current: false,
            has_store_changed: false,
        }));
        Step::Begin(call, task)
    }

    fn save(&mut self, record: Record) -> Step {
        let over = match &self.durability {
            Durability::Stored(version) => Some(version.clone()),
            Durability::Unstored { over, .. } => over.clone(),
            Durability::Removed { .. } => None,
        };
        let task = Task::Save { record, over };
        self.start(task)
    }

    fn is_unstored(&self) -> bool {
        self.record.is_some() && matches!(self.durability, Durability::Unstored { .. })
    }

    fn rotation(&self) -> Option<&Rotation> {
        self.record.as_ref().map(|record| &record.rotation)
    }
}
