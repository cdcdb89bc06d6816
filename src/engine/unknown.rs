//! Calls that may have obtained a token that did not arrive: they timed out, or were dropped with their runtime.

use super::live::Unknown;
use super::state::Engine;
use crate::clock::Moment;
use crate::machine::{Call, InFlight, SetId};

/// How many of them are kept, to bound the memory.
const MOST_UNKNOWN: usize = 1_000;

impl Engine {
    /// Notes how a call has ended that is still in flight, or was dropped. After a time-out, it may have obtained a token.
    pub(crate) fn note_outcome(
        &mut self,
        (call, set): (Call, Option<SetId>),
        has_timed_out: bool,
        now: Moment,
    ) {
        if !has_timed_out {
            return self.forget_unknown((call, set));
        }
        let in_flight = self.machine.calls_in_flight();
        let mut in_flight = in_flight.into_iter();
        if let Some(call) = in_flight.find(|it| (it.call, it.set) == (call, set)) {
            self.note_unknown(call, now);
        }
    }

    /// Notes that the calls in flight are dropped.
    pub(crate) fn note_dropped(&mut self, now: Moment) {
        for call in self.machine.calls_in_flight() {
            self.note_unknown(call, now);
        }
    }

    fn note_unknown(&mut self, call: InFlight, now: Moment) {
        let is_alive = |unknown: &Unknown| unknown.ends_at.is_none_or(|ends_at| now < ends_at);
        self.unknown.retain(is_alive);
        if self.unknown.len() < MOST_UNKNOWN {
            self.unknown.push(Unknown {
                call: (call.call, call.set),
                ends_at: call.life.map(|life| now + life),
                is_long_term: call.is_long_term,
            });
        }
    }

    /// Notes that the outcome of this call has arrived after all. The exchanges of an issuer without a long-term token have
    /// no number, so one of them says nothing about another.
    fn forget_unknown(&mut self, call: (Call, Option<SetId>)) {
        if call.0 != Call::default() {
            self.unknown.retain(|unknown| unknown.call != call);
        }
    }
}
