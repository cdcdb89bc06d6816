//! How the exchanges of attempts end, and what they show of the long-term tokens.

use std::time::Duration;

use super::attempt::{Candidate, Role, State};
use super::lease::LeaseState;
use super::task::{Call, Effect, Kind};
use super::{GrantPause, LongTerm, Proof, Spent};
use crate::clock::{Moment, Now};
use crate::error::Error;
use crate::machine::input::{IN_FLIGHT, SetId};
use crate::machine::refusal::{UNCLEAR_ARE_A_REFUSAL, is_refused, is_unclear};
use crate::store::{Dated, Record, Retiring};
use crate::token::LongTermToken;

/// Whether the token of an exchange may be accepted, and from which long-term token it was minted.
#[derive(Debug)]
pub(crate) enum Landing {
    Now(LongTermToken),
    /// With [`Step::Accept`], once the long-term token that replaces the exchanged one is stored.
    Later(LongTermToken),
    /// Never: the attempt has ended.
    Late,
}

impl LongTerm {
    /// Takes in that the exchange `with` this long-term token has returned a token of this life, and perhaps a long-term
    /// token that replaces the exchanged one.
    pub(crate) fn minted(
        &mut self,
        (call, set): (Call, SetId),
        with: &LongTermToken,
        life: Duration,
        replacement: Option<Dated>,
        now: Now,
    ) -> Landing {
        let Some((candidate, refusal)) = self.end_exchange(call, set) else {
            if let Some(replacement) = replacement {
                self.replace(with, replacement, now);
            }
            return Landing::Late;
        };
        self.longest_life = self.longest_life.max(Some(life));
        self.unclear = 0;
        if let LeaseState::Wanted { .. } = self.lease {
            self.lease = LeaseState::Free;
        }
        self.grant_pause.take_if(|pause| pause.until <= now.at);
        let is_with = |token: &LongTermToken| token.reads_like(&candidate.with);
        if self.spent.take_if(|spent| is_with(&spent.token)).is_some() {
            let keeps_pauses = true;
            self.effects.push(Effect::ForgetRefusals { keeps_pauses });
        }
        if self
            .unproven
            .take_if(|unproven| is_with(&unproven.token))
            .is_some()
        {
            self.backoffs.succeeded(Kind::Recovery);
        }
        let Some(replacement) = replacement else {
            match &candidate.role {
                Role::Fallback { current } => {
                    self.accept_fallback(&candidate.with, current.as_ref(), now);
                }
                Role::Next | Role::Current if call < self.proves_after => {}
                Role::Next | Role::Current => self.note_proof(&candidate, refusal),
            }
            self.end_attempt(set);
            return Landing::Now(candidate.with);
        };
        let minted_from = replacement.token.clone();
        self.replace(&candidate.with, replacement, now);
        if let Some(attempt) = self.attempts.get_mut(&set) {
            attempt.state = State::Storing;
        }
        Landing::Later(minted_from)
    }

    /// Takes in that the exchange of this scope set has failed.
    pub(crate) fn exchange_failed(&mut self, (call, set): (Call, SetId), error: Error, now: Now) {
        let Some((candidate, _)) = self.end_exchange(call, set) else {
            return;
        };
        if !error.is_retryable() {
            self.note_pause(&error, Some(&candidate.with), now);
        }
        let attempt = self.attempts.get(&set);
        if let Some(attempt) = attempt.filter(|_| error.has_unknown_outcome()) {
            self.note_spent(candidate.with.clone(), attempt.sent);
        }
        let is_current = |token: &LongTermToken| token.reads_like(&candidate.with);
        let is_outdated = !self.current().is_some_and(is_current);
        self.unclear = if is_unclear(&error) {
            self.unclear.saturating_add(1)
        } else {
            0
        };
        let is_unclear_again = is_unclear(&error) && self.unclear >= UNCLEAR_ARE_A_REFUSAL;
        // For the next token, and for one that is not in use any more, any permanent error is as good as a refusal.
        let is_permanent = is_refused(&error) || is_outdated && !error.is_retryable();
        let is_refusal = is_permanent || is_unclear_again;
        if is_refusal {
            let is_with = |token: &LongTermToken| token.reads_like(&candidate.with);
            let unproven = self.unproven.as_mut().filter(|it| is_with(&it.token));
            if unproven.is_some_and(|it| !std::mem::replace(&mut it.is_refused, true)) {
                self.recovery_failed(&error, now);
            }
            let attempt = self.attempts.get_mut(&set);
            if attempt.is_some_and(|attempt| attempt.refused(candidate.with, error.clone())) {
                return;
            }
        }
        let step = self.fail(set, error);
        self.pending.push_back(step);
    }

    /// Ends the exchange of this scope set. Returns it, and why the server has refused the next token in this attempt, if
    /// it has.
    fn end_exchange(&mut self, call: Call, set: SetId) -> Option<(Candidate, Option<Error>)> {
        let next = self.next_token().cloned();
        let attempt = self.attempts.get_mut(&set)?;
        let candidate = match &attempt.state {
            State::Exchanging(present, candidate) if *present == call => candidate.clone(),
            _ => return None,
        };
        attempt.state = State::Waiting;
        let is_refused = next.is_some_and(|next| attempt.has_refused(&next));
        Some((candidate, attempt.error.clone().filter(|_| is_refused)))
    }

    /// Notes what the exchange has shown of the next token: that it is proven, or that the server refuses it alone.
    fn note_proof(&mut self, candidate: &Candidate, refusal: Option<Error>) {
        let Some(next) = self.next_token().cloned() else {
            return;
        };
        let is_next = next.reads_like(&candidate.with);
        if is_next || refusal.is_some() {
            self.proof = Some(Proof {
                token: next,
                refusal: refusal.filter(|_| !is_next),
            });
            self.backoffs.end(Kind::Write);
        }
    }

    /// Drops the proofs of the next token, and those of the exchanges in flight.
    pub(super) fn drop_proofs(&mut self) {
        self.proof = None;
        self.proves_after = self.last_call;
    }

    /// The fallback works and the current token does not: unless another token has come since, it takes its place.
    fn accept_fallback(
        &mut self,
        token: &LongTermToken,
        current: Option<&LongTermToken>,
        now: Now,
    ) {
        let is_as_it_was = match (self.current(), current) {
            (Some(present), Some(current)) => present.reads_like(current),
            (None, None) => true,
            _ => false,
        };
        if !is_as_it_was {
            return;
        }
        let mut fallbacks = self.fallbacks.iter();
        let Some(at) = fallbacks.position(|it| it.token.reads_like(token)) else {
            return;
        };
        let mut record = Record::new(self.fallbacks.remove(at));
        if let Some(mut old) = self.record.clone() {
            self.abandon_rotation(&mut old, now);
            record.retiring = old.retiring;
            if old.current.token.reads_like_any(&self.obtained) {
                let superseded = Retiring::after(old.current.token, self.grace(), now.wall);
                record.retiring.push(superseded);
            }
        }
        self.mark_unstored(false);
        self.set(record, now);
    }

    /// Notes that an exchange that began at this moment may have replaced this token.
    pub(super) fn note_spent(&mut self, token: LongTermToken, sent: Moment) {
        let is_noted = |spent: &Spent| spent.token.reads_like(&token);
        if self.setup.replaces && !self.spent.as_ref().is_some_and(is_noted) {
            let until = sent + self.setup.reuse_grace;
            self.spent = Some(Spent { token, until });
        }
    }

    /// Replaces the exchanged token.
    pub(super) fn replace(&mut self, exchanged: &LongTermToken, by: Dated, now: Now) {
        let Some(mut record) = self.record.clone() else {
            return;
        };
        if !record.current().reads_like(exchanged) {
            // Others may use by now what was minted from it.
            return self.retire_late(by, self.grace_of_others(), now);
        }
        let token = by.token.clone();
        record.current = by;
        self.keep_obtained(token, record, now);
    }

    /// The server refuses what the grant brought: it is not asked again for a while, and not by a code at all.
    fn recovery_failed(&mut self, error: &Error, now: Now) {
        let policy = &self.setup.policies.rotation;
        if self.setup.recovers == Some(super::Recovers::WithOneTimeCode) {
            self.backoffs.stop(Kind::Recovery);
        } else {
            (self.backoffs).failed(policy, Kind::Recovery, error, None, now.at);
        }
    }

    /// Notes the pause that the server requests with this error. Refusals of one long-term token begin one pause only:
    /// if each of them began another, the grant would never be used.
    pub(super) fn note_pause(&mut self, error: &Error, refused: Option<&LongTermToken>, now: Now) {
        let Some(asked) = error.retry_after().filter(|asked| !asked.is_zero()) else {
            return;
        };
        let noted = self
            .grant_pause
            .as_ref()
            .and_then(|pause| pause.refused.as_ref());
        if noted
            .zip(refused)
            .is_some_and(|(noted, refused)| noted.reads_like(refused))
        {
            return;
        }
        self.grant_pause = Some(GrantPause {
            until: now.at + asked.min(self.setup.policies.retry.max_retry_after),
            error: error.clone(),
            refused: refused.cloned(),
        });
    }

    /// Returns how long a superseded token stays valid. Another process may use for as long as a short-term token lives
    /// what it has minted from it, the last time before it has read the record.
    pub(super) fn grace(&self) -> Duration {
        let grace = self.setup.policies.rotation.grace;
        if self.setup.shares_store {
            grace.max(self.longest_life() + IN_FLIGHT.min(grace))
        } else {
            grace
        }
    }

    /// Returns how long another process may still use a token that this one has never used, or uses no more.
    pub(super) fn grace_of_others(&self) -> Duration {
        if self.setup.shares_store {
            self.grace()
        } else {
            Duration::ZERO
        }
    }
}
