//! What follows when a request of a rotation has failed.

use std::time::Duration;

use crate::clock::{Moment, Now};
use crate::error::Error;
use crate::machine::long_term::LongTerm;
use crate::machine::long_term::task::{Kind, Step};
use crate::machine::refusal::is_refused;
use crate::observe::Event;
use crate::store::Rotation;
use crate::token::ShortTermToken;

impl LongTerm {
    /// The request for the next token has failed. If the server refuses what authorizes it, another one does so.
    pub(super) fn ask_failed(&mut self, with: &ShortTermToken, error: Error, now: Now) {
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

    pub(super) fn request_failed(&mut self, error: Error, now: Now) {
        self.note_pause(&error, None, now);
        if error.is_retryable() {
            for attempt in self.attempts.values_mut().filter(|it| it.has_asked) {
                attempt.search_error = Some(error.clone());
            }
        }
        self.rotation_failed(error, now);
    }

    /// Begins a pause, and tells observers that the rotation has failed for now.
    pub(in crate::machine::long_term) fn rotation_failed(&mut self, error: Error, now: Now) {
        let at_most = self.patience(now);
        let policy = &self.setup.policies.rotation;
        (self.backoffs).failed(policy, Kind::Rotation, &error, at_most, now.at);
        let retry_at = self.backoffs.until(Kind::Rotation, now.at);
        self.tell_rotation_failed(error, retry_at, now);
    }

    pub(super) fn tell_rotation_failed(
        &mut self,
        error: Error,
        retry_at: Option<Moment>,
        now: Now,
    ) {
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
        Some((left.ok()? / 4).max(self.setup.policies.rotation.first_delay))
    }
}
