//! Finds a token for the attempts.

use std::time::Duration;

use super::{Locked, Wake};
use crate::clock::{Moment, Now};
use crate::error::{Error, ErrorKind};
use crate::machine::input::{Failure, SetId};
use crate::machine::long_term::attempt::{Candidate, Role, State};
use crate::machine::long_term::lease::LeaseState;
use crate::machine::long_term::task::{Kind, Purpose, Step, Task};
use crate::machine::long_term::{Durability, LongTerm, Reading, Rotates, Spent};
use crate::machine::refusal::failure_of;
use crate::store::Rotation;

impl LongTerm {
    /// Serves the attempts: each with a token that is here, and for the oldest one without, looks for another.
    pub(super) fn attempt_step(&mut self, now: Now, wake: &mut Wake) -> Option<Step> {
        if self.is_draining {
            return None;
        }
        let mut waiting: Option<(Moment, SetId)> = None;
        let sets: Vec<SetId> = self.attempts.keys().copied().collect();
        for set in sets {
            let attempt = self.attempts.get(&set)?;
            match attempt.state {
                State::Exchanging(..) => continue,
                State::Storing if self.is_durable() => {
                    self.end_attempt(set);
                    return Some(Step::Accept(set));
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
                && let Some(candidate) = self.candidate(set)
            {
                return self.exchange(set, candidate, now.at);
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
        if let Some(candidate) = self.candidate(set) {
            return self.exchange_alone(set, candidate, now, wake);
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
        let fallbacks = self.fallbacks.iter().map(|it| &it.token);
        let mut fallbacks = fallbacks.filter(|it| !self.setup.replaces && !attempt.has_refused(it));
        let fallback = fallbacks.next().cloned();
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
            return self.exchange(set, Candidate { with, role }, now.at);
        }
        if can_ask_again && is_written {
            self.has_told_others = !self.has_told_others;
            if !self.has_told_others {
                return self.ask(Some(set));
            }
            self.mark_unstored(false);
            return self.store_step(now, wake);
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
        candidate: Candidate,
        now: Now,
        wake: &mut Wake,
    ) -> Option<Step> {
        match self.lock(now.at, true, wake) {
            Locked::Yes => {}
            Locked::After(step) => return Some(step),
            Locked::Waits => return None,
        }
        if let Durability::Removed { .. } = self.durability {
            self.mark_unstored(false);
            return self.store_step(now, wake);
        }
        if !self.is_durable() || self.reading != Reading::Current {
            return Some(self.fail(set, self.stored_error()));
        }
        let served_until = self.attempts.get(&set)?.served_until;
        let is_spent = |it: &Spent| it.token.reads_like(&candidate.with) && it.until <= now.at;
        if now.at < served_until && self.spent.as_ref().is_some_and(is_spent) {
            return Some(self.hold(set, served_until.since(now.at)));
        }
        self.exchange(set, candidate, now.at)
    }

    /// Returns the token to try first in this attempt: the next one if the root scope set is to prove it, otherwise the
    /// current one.
    fn candidate(&self, set: SetId) -> Option<Candidate> {
        if self.reading == Reading::Never && !self.is_set_by_caller() {
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
        Some(Candidate { with, role })
    }

    /// Requests the next token with the short-term token that is stored for that.
    pub(super) fn ask(&mut self, set: Option<SetId>) -> Option<Step> {
        let record = self.record.as_ref()?;
        let task = Task::Ask {
            with: record.rotation.asking_with()?.clone(),
            after: record.current.token.clone(),
        };
        if let Some(attempt) = set.and_then(|set| self.attempts.get_mut(&set)) {
            attempt.has_asked = true;
        }
        let step = self.start(task);
        self.drop_proofs();
        Some(step)
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

    fn exchange(&mut self, set: SetId, candidate: Candidate, now: Moment) -> Option<Step> {
        let call = self.next_call();
        let attempt = self.attempts.get_mut(&set)?;
        let (with, within) = (candidate.with.clone(), attempt.deadline.since(now));
        attempt.state = State::Exchanging(call, candidate);
        attempt.sent = now;
        Some(Step::Exchange {
            call,
            set,
            with,
            within,
        })
    }

    /// Ends an attempt that may cost all tokens, until callers have no valid token any more.
    fn hold(&mut self, set: SetId, pause: Duration) -> Step {
        self.end_attempt(set);
        let error = Error::own(
            ErrorKind::Timeout,
            "the answer of an exchange was lost, and the server may have replaced the long-term token; the provider uses \
             that token again when no short-term token is valid any more, since the server may then revoke all tokens; if \
             the server accepts a replaced token for a while, set reuse_grace",
        );
        Step::Fail {
            set,
            error,
            failure: Failure::Held { pause },
        }
    }

    pub(in crate::machine::long_term) fn fail(&mut self, set: SetId, error: Error) -> Step {
        self.end_attempt(set);
        let failure = failure_of(&error, self.unclear, self.backoffs.draw());
        Step::Fail {
            set,
            error,
            failure,
        }
    }

    pub(super) fn is_exchanging(&self) -> bool {
        let mut attempts = self.attempts.values();
        attempts.any(|attempt| matches!(attempt.state, State::Exchanging(..)))
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
        let limit = self.setup.policies.retry.exchange_timeout;
        if let LeaseState::Wanted { .. } = self.lease {
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
    pub(in crate::machine::long_term) fn pause_error(&self, now: Moment) -> Option<Error> {
        let pause = self.grant_pause.as_ref()?;
        let left = pause.until.since(now);
        (!left.is_zero()).then(|| pause.error.clone().with_retry_after(left))
    }
}
