//! What the engine and the machine are told of the long-term token: all that they know of it.

use std::time::{Duration, SystemTime};

use super::held::Keeper;
use crate::engine::shared::Shared;
use crate::machine::Input;
use crate::observe::Event;
use crate::store::{Dated, Record};

/// How long after the store was found empty it is written anew.
const PAUSE_WHEN_MISSING: Duration = Duration::from_secs(10);

impl Keeper {
    /// Tells what is so by now. Returns whether another token has taken the place of the current
    /// one.
    pub(in crate::engine) fn announce(&mut self, shared: &Shared) -> bool {
        let (now, wall) = (shared.now(), shared.wall());
        let Some(record) = &self.record else {
            return false;
        };
        let current = &record.current;
        let is_replaced = {
            let mut engine = shared.engine();
            engine.next = record.next().map(|next| next.token.clone());
            engine.beside = record.tokens().skip(1).cloned().collect();
            // A private store ends with the process, and nobody expects otherwise.
            if shared.settings.shares_store {
                engine.unwritten.clone_from(&self.unwritten);
            }
            engine.forget_outdated_verdict();
            let is_proving = record.next().is_some() && !self.unsaved && engine.verdict.is_none();
            engine.machine.handle(Input::Proving(is_proving), now);
            let present = engine.long_term.as_ref();
            let is_present = present.is_some_and(|held| held.token.reads_like(&current.token));
            let is_replaced = present.is_some() && !is_present;
            // What was handed in is seen to next.
            if engine.handed_in.is_none() {
                if !is_present {
                    engine.hold(current.token.clone(), now);
                    let renewed = Input::Renewed { keeps_pauses: true };
                    engine.machine.handle(renewed, now);
                }
                let is_told = |told: &Dated| is_alike(told, current);
                let is_new = !self.announced.as_ref().is_some_and(is_told);
                if is_new || engine.dated_at.is_none() {
                    self.announced = Some(current.clone());
                    engine.dated_at = Some((now, wall));
                    let event = if is_new {
                        shared.began(current)
                    } else {
                        let (age, left) = shared.age_and_rest(current);
                        Input::LongTermDated { age, left }
                    };
                    engine.machine.handle(event, now);
                }
            }
            if let Some(pause) = self.chore_in(shared, record, wall) {
                let at = now + pause;
                engine.machine.handle(Input::Chore { at }, now);
            }
            is_replaced
        };
        shared.rotated.send_modify(|()| {});
        shared.wake.notify_one();
        is_replaced
    }

    pub(in crate::engine) fn tell_reloaded(&self, shared: &Shared) {
        let token_id = self
            .record
            .as_ref()
            .and_then(|record| record.current().shown_id());
        shared.observers.tell(Event::LongTermReloaded {
            token_id: token_id.map(str::to_owned),
        });
    }

    /// In how long something about the record is to be seen to.
    fn chore_in(&self, shared: &Shared, record: &Record, wall: SystemTime) -> Option<Duration> {
        if self.unsaved || shared.is_unfinished(record) || !self.spent.is_empty() {
            return Some(Duration::ZERO);
        }
        let revocations = record.retiring.iter().map(|retiring| {
            let left = retiring.revoke_at.duration_since(wall);
            left.unwrap_or_default()
        });
        let refill = self.is_missing.then_some(PAUSE_WHEN_MISSING);
        revocations.chain(refill).min()
    }
}

fn is_alike(a: &Dated, b: &Dated) -> bool {
    a.token.reads_like(&b.token) && a.obtained_at == b.obtained_at && a.ends_at == b.ends_at
}
