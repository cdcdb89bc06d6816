//! Calls that may have obtained a token that did not arrive: they timed out, or were dropped with their runtime.

use std::time::Duration;

use super::live::Unknown;
use super::state::Engine;
use crate::clock::Moment;
use crate::machine::{Call, LongTerm, SetId};

impl Engine {
    /// Notes that this call may have obtained a token. `default_lifetime` counts if no token has arrived yet.
    pub(crate) fn note_unknown(
        &mut self,
        call: (Call, Option<SetId>),
        default_lifetime: Duration,
        now: Moment,
    ) {
        let longest = self.machine.long_term().and_then(LongTerm::longest_life);
        let ends_at = now + longest.unwrap_or(default_lifetime);
        self.unknown.retain(|unknown| now < unknown.ends_at);
        self.unknown.push(Unknown { call, ends_at });
    }

    /// Notes that the outcome of this call has arrived after all. The exchanges of an issuer without a long-term token have
    /// no number, so one of them says nothing about another.
    pub(crate) fn forget_unknown(&mut self, call: (Call, Option<SetId>)) {
        if call.0 != Call::default() {
            self.unknown.retain(|unknown| unknown.call != call);
        }
    }

    /// Notes that the calls in flight are dropped.
    pub(crate) fn note_dropped(&mut self, default_lifetime: Duration, now: Moment) {
        for call in self.machine.calls_in_flight() {
            self.note_unknown(call, default_lifetime, now);
        }
    }
}
