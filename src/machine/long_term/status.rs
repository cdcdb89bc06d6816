//! What others read of the rules.

use std::time::Duration;

use super::attempt::State;
use super::task::{Effect, InFlight, Kind, Task};
use super::{Durability, LongTerm, Reading};
use crate::clock::Moment;
use crate::error::Error;
use crate::store::Record;
use crate::token::{LongTermToken, ShortTermToken};

impl LongTerm {
    /// Returns what the changes since the last call mean for the scope sets.
    pub(crate) fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
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

    /// Returns whether each exchange replaces the token.
    pub(crate) const fn is_replaced_by_exchanges(&self) -> bool {
        self.setup.replaces
    }

    /// Returns the longest life of the short-term tokens so far, or the default one.
    pub(crate) fn longest_life(&self) -> Duration {
        self.longest_life
            .unwrap_or(self.setup.policies.refresh.default_lifetime)
    }

    /// Returns the calls in progress that may obtain a token.
    pub(crate) fn calls_in_flight(&self) -> impl Iterator<Item = InFlight> {
        let short_term = |call, set| InFlight {
            call,
            set,
            life: Some(self.longest_life()),
            is_long_term: false,
        };
        let exchanges = self.attempts.iter().filter_map(move |(set, attempt)| {
            let State::Exchanging(call, _) = attempt.state else {
                return None;
            };
            Some(short_term(call, Some(*set)))
        });
        let running = self.running.as_ref();
        let running = running.and_then(move |running| match running.task {
            Task::Authorize { .. } => Some(short_term(running.call, None)),
            Task::Ask { .. } | Task::Obtain { .. } => Some(InFlight {
                life: self
                    .record
                    .as_ref()
                    .and_then(|record| record.current.life()),
                is_long_term: true,
                ..short_term(running.call, None)
            }),
            _ => None,
        });
        exchanges.chain(running)
    }

    /// Returns since when that token is in use.
    pub(crate) const fn since(&self) -> Moment {
        self.since
    }

    /// Returns whether a person may have provided this token, which is not in use.
    pub(crate) fn is_fallback(&self, token: &LongTermToken) -> bool {
        let mut fallbacks = self.fallbacks.iter();
        fallbacks.any(|fallback| fallback.token.reads_like(token))
    }

    /// Returns the short-term token in the store that can repeat the request for the next long-term token, if a later
    /// process finds it there.
    pub(crate) fn stored_authority(&self) -> Option<&ShortTermToken> {
        let stored = self.stored.as_ref();
        let stored = stored.filter(|_| self.setup.shares_store)?;
        stored.rotation.asking_with()
    }

    /// Returns whether this token is neither the one in use nor the next one.
    pub(crate) fn has_superseded(&self, token: &LongTermToken) -> bool {
        let is_used = |record: &Record| record.tokens_in_use().any(|it| it.reads_like(token));
        self.record.as_ref().is_some_and(|record| !is_used(record))
    }

    /// Returns all long-term tokens that are known.
    pub(crate) fn tokens(&self) -> impl Iterator<Item = &LongTermToken> {
        let stored = self.record.iter().flat_map(Record::tokens);
        let fallbacks = self.fallbacks.iter().map(|it| &it.token);
        stored.chain(fallbacks).chain(&self.unwritten)
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

    /// Returns when the rotation is due.
    pub(crate) fn rotates_at(&self, now: Moment) -> Option<Moment> {
        let at = self.due.at().filter(|_| self.setup.rotates.is_some());
        let pause = self.backoffs.until(Kind::Rotation, now);
        at.map(|at| at.max(pause.unwrap_or(at)))
    }
}
