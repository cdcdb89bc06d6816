//! What is done next: the first rule that applies. A rule that has to wait says until when.

use super::attempt::{Role, State, Trial};
use super::lease::{Lease, Way};
use super::task::{Kind, Purpose, Step, Task};
use super::{Durability, LongTerm, Reading, Rotates, Running};
use crate::clock::{Moment, Now};
use crate::error::{Error, ErrorKind};
use crate::machine::backoff;
use crate::machine::input::{Failure, SetId};
use crate::machine::refusal::is_unclear;
use crate::observe::Event;
use crate::store::{Record, Retiring, Rotation};
use crate::token::LongTermToken;

/// After so many 401s without a code in a row, the token counts as refused.
pub(super) const UNCLEAR_ARE_A_REFUSAL: u32 = 3;

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
            .store_step(now.at, &mut wake)
            .or_else(|| self.attempt_step(now, &mut wake))
            .or_else(|| self.upkeep_step(now, served_until, &mut wake))
            .or_else(|| self.idle_step(now.at, &mut wake));
        let Some(step) = step else {
            let record = self.record.as_ref();
            if let Some(record) = record.filter(|_| self.due.is_outdated(now)) {
                self.due.date(&self.setup.rotation, &record.current, now);
                return self.next(now, served_until);
            }
            return Next::Sleep(wake.earliest);
        };
        Next::Do(step)
    }

    /// Reads the store, and writes what it does not hold.
    fn store_step(&mut self, now: Moment, wake: &mut Wake) -> Option<Step> {
        if self.running.is_some() {
            return None;
        }
        let is_unstored = self.is_unstored();
        let is_missing = match self.durability {
            Durability::Removed { refill_at } if !self.is_draining => {
                wake.at(refill_at);
                refill_at <= now
            }
            _ => false,
        };
        let is_wanted = self.reading != Reading::Current && (!self.is_draining || is_unstored);
        if (is_wanted || is_missing) && self.may(Kind::Read, now, wake) {
            return Some(self.start(Task::Load));
        }
        let is_ready = is_unstored && self.reading == Reading::Current;
        if is_ready && self.may(Kind::Write, now, wake) {
            return Some(self.save(self.record.clone()?));
        }
        None
    }

    /// Serves the attempts: each with a token that is here, and for the oldest one without, looks for another.
    fn attempt_step(&mut self, now: Now, wake: &mut Wake) -> Option<Step> {
        let mut waiting: Option<(Moment, SetId)> = None;
        let sets: Vec<SetId> = self.attempts.keys().copied().collect();
        for set in sets {
            let attempt = self.attempts.get(&set)?;
            match attempt.state {
                State::Exchanging(..) => continue,
                State::Storing if self.is_durable() => {
                    self.attempts.remove(&set);
                    return Some(Step::Land(set));
                }
                State::Storing | State::Waiting => {}
            }
            if attempt.deadline <= now.at {
                return Some(self.fail(set, self.deadline_error()));
            }
            wake.at(attempt.deadline);
            if !attempt.is_waiting() {
                if self.backoffs.until(Kind::Write, now.at).is_some() {
                    return Some(self.fail(set, self.stored_error()));
                }
            } else if !self.setup.replaces
                && let Some(trial) = self.candidate(set)
            {
                return self.exchange(set, trial, now.at);
            } else if waiting.is_none_or(|(began, _)| attempt.began < began) {
                waiting = Some((attempt.began, set));
            }
        }
        let (_, set) = waiting?;
        let is_busy = self.running.is_some() || self.setup.replaces && self.is_exchanging();
        if is_busy {
            return None;
        }
        self.search(set, now, wake)
    }

    /// Looks for a token for this attempt: in the store, from a rotation that was begun, or with a grant.
    fn search(&mut self, set: SetId, now: Now, wake: &mut Wake) -> Option<Step> {
        if let Some(trial) = self.candidate(set) {
            return self.exchange_alone(set, trial, now.at, wake);
        }
        let can_look = self.setup.shares_store || self.reading != Reading::Current;
        let attempt = self.attempts.get_mut(&set)?;
        if can_look && !std::mem::replace(&mut attempt.has_looked, true) {
            return Some(self.start(Task::Load));
        }
        if self.reading == Reading::Never {
            return Some(self.fail(set, self.stored_error()));
        }
        let attempt = self.attempts.get(&set)?;
        let (has_asked, has_obtained) = (attempt.has_asked, attempt.has_obtained);
        let is_paused = self
            .grant_pause
            .as_ref()
            .is_some_and(|it| now.at < it.until);
        let asks = self.setup.rotates == Some(Rotates::WithShortTerm) && !has_asked;
        let is_unfinished = self.rotation().is_some_and(|it| it.asking_with().is_some());
        let can_ask_with_grant = asks && is_unfinished;
        let asks = asks && !is_paused;
        let can_ask = asks && matches!(self.rotation(), Some(Rotation::Asking { .. }));
        // The next token is refused, and so is the current one: what has asked for it may ask again.
        let can_ask_again =
            asks && matches!(
                self.rotation(),
                Some(Rotation::Proving { with: Some(_), .. })
            ) && self.backoffs.until(Kind::Rotation, now.at).is_none();
        let fallback = self.fallback.as_ref().map(|it| it.token.clone());
        let fallback = fallback.filter(|it| !self.setup.replaces && !attempt.has_refused(it));
        let can_recover = self.setup.recovers.is_some()
            && !has_obtained
            && !is_paused
            && self.backoffs.until(Kind::Recovery, now.at).is_none();
        if can_ask || can_ask_again || can_recover || fallback.is_some() {
            match self.lock(now.at, true, wake) {
                Locked::Yes => {}
                Locked::After(step) => return Some(step),
                Locked::Waits => return None,
            }
        }
        let is_written = self.is_durable() && self.reading == Reading::Current;
        if can_ask && is_written {
            return self.ask(Some(set));
        }
        if let Some(with) = fallback {
            let current = self.current().cloned();
            let role = Role::Fallback { current };
            return self.exchange(set, Trial { with, role }, now.at);
        }
        if can_ask_again && is_written {
            return self.ask(Some(set));
        }
        if can_recover {
            return Some(self.recover());
        }
        let uses_grant = can_ask_with_grant || self.setup.recovers.is_some() && !has_obtained;
        let error = self.search_error(set, uses_grant, now.at);
        Some(self.fail(set, error))
    }

    /// Exchanges a token that each exchange replaces: under the lease, and once it is stored.
    fn exchange_alone(
        &mut self,
        set: SetId,
        trial: Trial,
        now: Moment,
        wake: &mut Wake,
    ) -> Option<Step> {
        match self.lock(now, true, wake) {
            Locked::Yes => {}
            Locked::After(step) => return Some(step),
            Locked::Waits => return None,
        }
        if let Durability::Removed { .. } = self.durability {
            self.mark_unstored(false);
            return self.store_step(now, wake);
        }
        if self.is_durable() && self.reading == Reading::Current {
            return self.exchange(set, trial, now);
        }
        Some(self.fail(set, self.stored_error()))
    }

    /// Rotates the token, and revokes the superseded ones.
    fn upkeep_step(
        &mut self,
        now: Now,
        served_until: &dyn Fn(&LongTermToken) -> Option<Moment>,
        wake: &mut Wake,
    ) -> Option<Step> {
        let is_ready = self.running.is_none()
            && !self.is_draining
            && self.is_durable()
            && self.reading == Reading::Current;
        if !is_ready || self.setup.replaces && self.is_exchanging() {
            return None;
        }
        let record = self.record.as_ref()?;
        let retiring = self.retiring_due(record, now, served_until, wake);
        let is_judged = self.proof.is_some() && self.may(Kind::Write, now.at, wake);
        let rotates = self.rotates_now(record, now.at, wake);
        if retiring.is_none() && !is_judged && !rotates {
            return None;
        }
        let record = record.clone();
        if self.lease == Lease::Forgone {
            self.lease = Lease::Free;
        }
        match self.lock(now.at, false, wake) {
            Locked::Yes => {}
            Locked::After(step) => return Some(step),
            Locked::Waits => return None,
        }
        if is_judged {
            return self.judge(record, now, wake);
        }
        if let Some(token) = retiring {
            return Some(self.start(Task::Revoke(token)));
        }
        if !self.is_authority_new {
            self.pending.push_back(Step::Tell(Event::RotationBegan));
        }
        if let Rotation::Asking { .. } = record.rotation {
            return self.ask(None);
        }
        let current = record.current.token;
        let task = match self.setup.rotates {
            Some(Rotates::WithGrant) => Task::Obtain {
                purpose: Purpose::Rotate,
                after: Some(current),
            },
            _ => Task::Authorize { with: current },
        };
        Some(self.start(task))
    }

    /// What is left when nothing else is to be done.
    fn idle_step(&mut self, now: Moment, wake: &mut Wake) -> Option<Step> {
        if self.running.is_some() || self.setup.replaces && self.is_exchanging() {
            return None;
        }
        if self.is_durable()
            && let Some(token) = self.spent.pop()
        {
            return Some(Step::RevokeSpent(token));
        }
        match self.lease {
            // The next holder would ask for a token again that is here and not written yet.
            Lease::Held { until, .. }
                if self.is_unstored() && !self.unwritten.is_empty() && now < until =>
            {
                wake.at(until);
                None
            }
            Lease::Held { .. } => {
                self.lease = Lease::Free;
                Some(Step::Release)
            }
            Lease::Forgone => {
                self.lease = Lease::Free;
                None
            }
            Lease::Free | Lease::Wanted { .. } => None,
        }
    }

    /// Returns the token to try first in this attempt: the next one if the root scope set is to prove it, otherwise the
    /// current one.
    fn candidate(&self, set: SetId) -> Option<Trial> {
        if self.reading == Reading::Never && !self.is_by_hand() {
            return None;
        }
        let (record, attempt) = (self.record.as_ref()?, self.attempts.get(&set)?);
        let current = Some((&record.current.token, Role::Current));
        let next = record.next().map(|next| (&next.token, Role::Next));
        let order = if set == SetId::ROOT && self.is_proving() {
            [next, current]
        } else {
            [current, next]
        };
        let mut order = order.into_iter().flatten();
        let (with, role) = order.find(|(token, _)| !attempt.has_refused(token))?;
        let with = with.clone();
        Some(Trial { with, role })
    }

    /// Leads to the lease, under which the store was read.
    fn lock(&mut self, now: Moment, is_urgent: bool, wake: &mut Wake) -> Locked {
        let times = self.times();
        if !self.setup.shares_store {
            return Locked::Yes;
        }
        if self.lease.is_over(now) {
            self.lease = Lease::Free;
            return Locked::After(Step::Release);
        }
        if is_urgent && self.lease.is_out_of_patience(times, now) {
            self.lease = Lease::Forgone;
            self.outdate();
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
        match self.lease.way(is_urgent, times, now) {
            Way::Clear => Locked::Yes,
            Way::Begin(task) => Locked::After(self.start(task)),
            Way::Wait(at) => {
                wake.at(at);
                Locked::Waits
            }
        }
    }

    /// Acts on what an exchange has shown of the next token.
    fn judge(&mut self, mut record: Record, now: Now, wake: &mut Wake) -> Option<Step> {
        let proof = self.proof.clone()?;
        let (next, with) = record.rotation.take();
        let next = next?;
        let Some(error) = proof.refusal else {
            let superseded = std::mem::replace(&mut record.current, next).token;
            let grace = self.grace();
            record
                .retiring
                .push(Retiring::after(superseded, grace, now.wall));
            let step = self.save(record.tidy());
            if let Some(running) = &mut self.running {
                running.adopts = true;
            }
            return Some(step);
        };
        record.retiring.push(Retiring {
            token: next.token,
            revoke_at: now.wall,
        });
        if let Some(with) = with {
            record.rotation = Rotation::Asking { with };
        }
        self.mark_unstored(false);
        self.set(record, now);
        self.rotation_failed(error, now);
        self.store_step(now.at, wake)
    }

    /// Returns the superseded token to revoke now, if there is one.
    fn retiring_due(
        &self,
        record: &Record,
        now: Now,
        served_until: &dyn Fn(&LongTermToken) -> Option<Moment>,
        wake: &mut Wake,
    ) -> Option<LongTermToken> {
        let due = record.retiring.iter().find(|retiring| {
            let left = retiring.revoke_at.duration_since(now.wall);
            let at = now.at + left.unwrap_or_default();
            let at = served_until(&retiring.token).map_or(at, |until| until.max(at));
            wake.at(at);
            at <= now.at
        });
        let due = due.filter(|_| self.may(Kind::Revocation, now.at, wake));
        due.map(|retiring| retiring.token.clone())
    }

    /// Returns whether the next token is to be requested now.
    fn rotates_now(&self, record: &Record, now: Moment, wake: &mut Wake) -> bool {
        if self.setup.replaces {
            return false;
        }
        let is_due = match (&record.rotation, self.setup.rotates) {
            (_, None) | (Rotation::Proving { .. }, _) => false,
            (Rotation::Asking { .. }, Some(rotates)) => rotates == Rotates::WithShortTerm,
            (Rotation::Settled, Some(_)) if self.due.is_demanded => true,
            (Rotation::Settled, Some(_)) => self.due.at().is_some_and(|at| {
                wake.at(at);
                at <= now
            }),
        };
        let pause = self.grant_pause.as_ref().map(|pause| pause.until);
        let pause = pause.filter(|until| now < *until);
        if let Some(until) = pause {
            wake.at(until);
        }
        is_due && pause.is_none() && self.may(Kind::Rotation, now, wake)
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
        self.running = Some(Running {
            call,
            task: task.clone(),
            revision: self.revision,
            adopts: false,
            is_overtaken: false,
        });
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

    /// Requests the next token with the short-term token that is stored for that.
    fn ask(&mut self, set: Option<SetId>) -> Option<Step> {
        let record = self.record.as_ref()?;
        let task = Task::Ask {
            with: record.rotation.asking_with()?.clone(),
            after: record.current.token.clone(),
        };
        if let Some(attempt) = set.and_then(|set| self.attempts.get_mut(&set)) {
            attempt.has_asked = true;
        }
        Some(self.start(task))
    }

    fn recover(&mut self) -> Step {
        for attempt in self.attempts.values_mut().filter(|it| it.is_waiting()) {
            attempt.has_obtained = true;
        }
        let after = self.current().cloned();
        self.start(Task::Obtain {
            purpose: Purpose::Recover,
            after,
        })
    }

    fn exchange(&mut self, set: SetId, trial: Trial, now: Moment) -> Option<Step> {
        let call = self.next_call();
        let attempt = self.attempts.get_mut(&set)?;
        let (with, within) = (trial.with.clone(), attempt.deadline.since(now));
        attempt.state = State::Exchanging(call, trial);
        Some(Step::Exchange {
            call,
            set,
            with,
            within,
        })
    }

    pub(super) fn fail(&mut self, set: SetId, error: Error) -> Step {
        self.attempts.remove(&set);
        let failure = if self.unclear >= UNCLEAR_ARE_A_REFUSAL && is_unclear(&error) {
            let pauses = self.unclear - UNCLEAR_ARE_A_REFUSAL + 1;
            let pause = backoff::recovery_pause(pauses, self.backoffs.draw());
            Failure::Unclear { pause }
        } else {
            Failure::of(&error)
        };
        Step::Fail {
            set,
            error,
            failure,
        }
    }

    fn is_exchanging(&self) -> bool {
        let mut attempts = self.attempts.values();
        attempts.any(|attempt| matches!(attempt.state, State::Exchanging(..)))
    }

    fn is_unstored(&self) -> bool {
        self.record.is_some() && matches!(self.durability, Durability::Unstored { .. })
    }

    fn rotation(&self) -> Option<&Rotation> {
        self.record.as_ref().map(|record| &record.rotation)
    }

    /// Returns why an attempt fails that needs the store.
    fn stored_error(&self) -> Error {
        self.store_error.clone().unwrap_or_else(|| {
            Error::own(
                ErrorKind::Store,
                "the token store was not read or written in time",
            )
        })
    }

    /// Returns why an attempt fails at its deadline.
    fn deadline_error(&self) -> Error {
        let limit = self.setup.retry.exchange_timeout;
        if let Lease::Wanted { .. } = self.lease {
            return Error::own(
                ErrorKind::Store,
                format!(
                    "another process has held the lease of the token store for more than {limit:?}; the provider \
                     goes on without it after {:?}; check whether that process is stopped",
                    self.times().patience
                ),
            );
        }
        let error = Error::own(
            ErrorKind::Timeout,
            format!("the exchange timed out after {limit:?}"),
        );
        match &self.store_error {
            Some(cause) => error.with_source(cause.clone()),
            None => error,
        }
    }

    /// Returns why no token was found. `uses_grant`: a grant would have been used without a pause.
    fn search_error(&self, set: SetId, uses_grant: bool, now: Moment) -> Error {
        let attempt = self.attempts.get(&set);
        if let Some(error) = attempt.and_then(|it| it.search_error.clone()) {
            return error;
        }
        if let Some(error) = self.pause_error(now).filter(|_| uses_grant) {
            return error;
        }
        let refusal = attempt.and_then(|it| it.error.clone());
        refusal.unwrap_or_else(|| {
            Error::own(
                ErrorKind::Config,
                "there is neither a long-term token nor a grant that obtains one; store a token, or set a grant \
                 with TokenProviderBuilder::recover_with",
            )
        })
    }

    /// Returns the error that began the present pause, if there is one.
    pub(super) fn pause_error(&self, now: Moment) -> Option<Error> {
        let pause = self.grant_pause.as_ref()?;
        let left = pause.until.since(now);
        (!left.is_zero()).then(|| pause.error.clone().with_retry_after(left))
    }
}
