//! From which long-term tokens the tokens of a scope set were minted. A server may end a short-term token when the
//! long-term token is revoked from which it was minted (RFC 7009, section 2.1).

use std::time::Duration;

use crate::clock::Moment;
use crate::machine::input::IN_FLIGHT;
use crate::token::LongTermToken;

/// The long-term tokens from which the tokens of a scope set were minted.
#[derive(Debug, Default)]
pub(super) struct MintedFrom {
    /// That of the token that has just arrived.
    pub(super) arrived: Option<LongTermToken>,
    /// That of the token that waits to be published.
    pub(super) upcoming: Option<LongTermToken>,
    /// That of the token in use.
    pub(super) present: Option<LongTermToken>,
    /// Those of the replaced tokens, each once.
    pub(super) previous: Vec<Previous>,
}

/// A long-term token from which a token before was minted.
#[derive(Debug)]
pub(super) struct Previous {
    pub(super) long_term: LongTermToken,
    replaced_at: Moment,
    /// Until when callers need what was minted from it.
    needed_until: Moment,
}

impl Previous {
    /// Returns until when callers may use a token that was minted from it.
    pub(super) fn served_until(&self, grace: Duration) -> Moment {
        let in_flight_until = self.replaced_at + IN_FLIGHT.min(grace);
        in_flight_until.max(self.needed_until)
    }
}

impl MintedFrom {
    /// The token that has arrived is the next one.
    pub(super) fn wait(&mut self) {
        self.upcoming = self.arrived.take();
    }

    /// The next token replaces the one in use, which callers may need until this moment.
    pub(super) fn take(&mut self, needed_until: Moment, now: Moment) {
        let Some(next) = self.upcoming.take() else {
            return;
        };
        let present = self.present.replace(next);
        let is_other = |it: &LongTermToken| {
            !self
                .present
                .as_ref()
                .is_some_and(|next| next.reads_like(it))
        };
        if let Some(long_term) = present.filter(is_other) {
            let same = |it: &mut Previous| it.long_term.reads_like(&long_term);
            let before = self.previous.extract_if(.., same).map(|it| it.needed_until);
            let needed_until = before.fold(needed_until, Moment::max);
            self.previous.push(Previous {
                long_term,
                replaced_at: now,
                needed_until,
            });
        }
    }
}
