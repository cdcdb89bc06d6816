//! What is done for the token when no attempt waits: rotating it, and revoking the superseded ones.

use super::{Locked, Wake};
use crate::clock::{Moment, Now};
use crate::machine::long_term::lease::LeaseState;
use crate::machine::long_term::task::{Kind, Purpose, Step, Task};
use crate::machine::long_term::{LongTerm, Reading, Rotates};
use crate::observe::Event;
use crate::store::{Record, Retiring, Rotation};
use crate::token::LongTermToken;

impl LongTerm {
    /// Rotates the token, and revokes the superseded ones.
    pub(super) fn upkeep_step(
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
        let has_proof = self.proof.is_some() && self.may(Kind::Write, now.at, wake);
        let rotates = self.rotates_now(record, now.at, wake);
        if retiring.is_none() && !has_proof && !rotates {
            return None;
        }
        let record = record.clone();
        if self.lease == LeaseState::GivenUp {
            self.lease = LeaseState::Free;
        }
        match self.lock(now.at, false, wake) {
            Locked::Yes => {}
            Locked::After(step) => return Some(step),
            Locked::Waits => return None,
        }
        if has_proof {
            return self.apply_proof(record, now, wake);
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

    /// Acts on what an exchange has shown of the next token.
    fn apply_proof(&mut self, mut record: Record, now: Now, wake: &mut Wake) -> Option<Step> {
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
                running.makes_next_current = true;
            }
            return Some(step);
        };
        let refused = Retiring::after(next.token, self.grace_of_others(), now.wall);
        record.retiring.push(refused);
        if let Some(with) = with {
            record.rotation = Rotation::Asking { with };
        }
        self.mark_unstored(false);
        self.set(record, now);
        self.rotation_failed(error, now);
        self.store_step(now, wake)
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
}
