//! What callers, the store and the driver tell the rules. How tasks end is in `outcomes`.

use super::LongTerm;
use super::attempt::{Attempt, State};
use super::lease::LeaseState;
use super::task::{Effect, Kind, Step, Task};
use crate::clock::{Moment, Now};
use crate::machine::input::SetId;
use crate::store::{Dated, Record};

impl LongTerm {
    /// Begins an attempt of a scope set. It ends with [`Step::Accept`], [`Step::Fail`] or a token that
    /// [`minted`](Self::minted) lands at once. It also tries a store again that has failed. Callers have a valid token until
    /// `served_until` without it.
    pub(crate) fn begin(&mut self, set: SetId, served_until: Moment, now: Moment) {
        let deadline = now + self.setup.policies.retry.exchange_timeout;
        let attempt = Attempt::new(now, deadline, served_until);
        self.attempts.insert(set, Box::new(attempt));
        self.backoffs.end(Kind::Read);
        self.backoffs.end(Kind::Write);
    }

    /// Replaces the current token with the one that a caller has set. If that token is already in use, its rotation
    /// continues.
    pub(crate) fn hand_in(&mut self, token: Dated, now: Now) {
        let text = token.token.clone();
        self.unproven = None;
        self.backoffs.clear();
        for attempt in self.attempts.values_mut() {
            attempt.refused.retain(|it| !it.reads_like(&text));
        }
        let in_use = self.record.clone();
        if let Some(mut record) = in_use.filter(|it| it.current().reads_like(&text)) {
            if token.ends_at.is_some() && token.ends_at != record.current.ends_at {
                record.current = token;
                self.mark_unstored(false);
                self.set(record, now);
            }
        } else {
            let mut record = Record::new(token);
            if let Some(mut old) = self.record.take() {
                self.abandon_rotation(&mut old, now);
                record.retiring = old.retiring;
            }
            self.fallbacks.clear();
            self.mark_unstored(true);
            self.set(record, now);
        }
        self.effects.push(Effect::ForgetRefusals {
            keeps_pauses: false,
        });
    }

    /// A caller demands a rotation.
    pub(crate) fn demand_rotation(&mut self, now: Now) {
        self.due.is_demanded = true;
        self.backoffs.end(Kind::Rotation);
        if let Some(error) = self.pause_error(now.at) {
            self.rotation_failed(error, now);
        }
    }

    /// The store may hold another record, or a caller wants to know.
    pub(crate) fn store_changed(&mut self) {
        self.mark_outdated();
        if let Some(running) = &mut self.running {
            running.has_store_changed = true;
        }
        self.backoffs.end(Kind::Read);
    }

    /// The secret of a grant was replaced: what was refused may succeed.
    pub(crate) fn grant_changed(&mut self) {
        self.backoffs.end(Kind::Rotation);
        self.backoffs.succeeded(Kind::Recovery);
        self.effects
            .push(Effect::ForgetRefusals { keeps_pauses: true });
    }

    /// The shutdown begins: nothing is exchanged or obtained any more.
    pub(crate) fn shut_down(&mut self) {
        self.is_draining = true;
        self.backoffs.clear();
        self.attempts
            .retain(|_, attempt| matches!(attempt.state, State::Exchanging(..)));
        self.pending
            .retain(|step| matches!(step, Step::Release | Step::Tell(_)));
    }

    /// All that was in progress is dropped.
    pub(crate) fn interrupted(&mut self) {
        let running = self.running.take().filter(|it| it.makes_next_current);
        if let Some(Task::Save { record, .. }) = running.map(|it| it.task) {
            self.unconfirmed = Some(record.current.token);
        }
        let in_flight = self.attempts.values();
        let in_flight = in_flight.filter_map(|attempt| Some((attempt.candidate()?, attempt.sent)));
        let spent = in_flight
            .map(|(candidate, sent)| (candidate.with.clone(), sent))
            .next();
        if let Some((token, sent)) = spent {
            self.note_spent(token, sent);
        }
        self.attempts.clear();
        self.lease = LeaseState::Free;
        self.mark_outdated();
    }

    /// Drops all tokens after the shutdown.
    pub(crate) fn drop_tokens(&mut self) {
        self.record = None;
        self.fallbacks.clear();
        self.unconfirmed = None;
        self.obtained.clear();
        self.unwritten.clear();
        self.stored = None;
        self.used_authorities.clear();
        self.proof = None;
        self.unproven = None;
        self.spent = None;
        self.running = None;
        self.pending.clear();
        self.grant_pause = None;
    }
}
