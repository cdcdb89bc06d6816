//! What callers, the store and the driver tell the rules. How tasks end is in `outcomes`.

use std::time::Duration;

use super::LongTerm;
use super::attempt::Attempt;
use super::lease::Lease;
use super::task::{Effect, Kind};
use crate::clock::{Moment, Now};
use crate::machine::input::SetId;
use crate::store::{Dated, Record, Retiring};

impl LongTerm {
    /// Begins an attempt of a scope set. It ends with [`Step::Land`], [`Step::Fail`] or a token that
    /// [`minted`](Self::minted) lands at once. It also tries a store again that has failed.
    pub(crate) fn begin(&mut self, set: SetId, now: Moment) {
        let deadline = now + self.setup.retry.exchange_timeout;
        self.attempts.insert(set, Attempt::new(now, deadline));
        self.backoffs.end(Kind::Read);
        self.backoffs.end(Kind::Write);
    }

    /// A caller hands in this token. It takes the place of the current one, and nothing older is used any more.
    pub(crate) fn hand_in(&mut self, token: Dated, now: Now) {
        let text = token.token.clone();
        let mut record = Record::new(token);
        if let Some(mut old) = self.record.take() {
            let (next, with) = old.rotation.take();
            record.retiring = old.retiring;
            // Another process that shares the store may use it by now.
            let grace = if self.setup.shares_store {
                self.grace()
            } else {
                Duration::ZERO
            };
            (record.retiring).extend(next.map(|it| Retiring::after(it.token, grace, now.wall)));
            self.spent.extend(with);
        }
        self.fallback = None;
        self.given.push(text.clone());
        self.unproven = None;
        self.backoffs.clear();
        for attempt in self.attempts.values_mut() {
            attempt.refused.retain(|it| !it.reads_like(&text));
        }
        self.mark_unstored(true);
        self.set(record, now);
        self.effects.push(Effect::Renew {
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
        self.outdate();
        if let Some(running) = &mut self.running {
            running.is_overtaken = true;
        }
        self.backoffs.end(Kind::Read);
    }

    /// The secret of a grant was replaced: what was refused may succeed.
    pub(crate) fn grant_changed(&mut self) {
        self.backoffs.end(Kind::Rotation);
        self.backoffs.succeeded(Kind::Recovery);
        self.effects.push(Effect::Renew { keeps_pauses: true });
    }

    /// The shutdown begins: nothing is exchanged or obtained any more.
    pub(crate) fn shut_down(&mut self) {
        self.is_draining = true;
        self.backoffs.clear();
        self.attempts.clear();
        self.pending.clear();
    }

    /// The driver was dropped, and with it all that was in progress.
    pub(crate) fn interrupted(&mut self) {
        self.running = None;
        self.attempts.clear();
        self.lease = Lease::Free;
        if self.setup.shares_store {
            self.outdate();
        }
    }

    /// Drops all tokens after the shutdown.
    pub(crate) fn drop_tokens(&mut self) {
        self.record = None;
        self.fallback = None;
        self.given.clear();
        self.unwritten.clear();
        self.spent.clear();
        self.proof = None;
        self.unproven = None;
        self.running = None;
        self.pending.clear();
        self.grant_pause = None;
    }
}
