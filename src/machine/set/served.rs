//! Which long-term tokens must live on, since callers may use what was minted from them.

use std::time::Duration;

use super::SetState;
use crate::clock::Moment;
use crate::machine::input::Window;
use crate::token::LongTermToken;

impl SetState {
    /// Notes from which long-term token the token was minted that arrives.
    pub(in crate::machine) fn arrives_from(&mut self, long_term: LongTermToken) {
        self.minted_from.arrived = Some(long_term);
    }

    /// Returns from which long-term token the newest token was minted.
    pub(in crate::machine) fn newest_origin(&self) -> Option<&LongTermToken> {
        let origins = &self.minted_from;
        origins.upcoming.as_ref().or(origins.present.as_ref())
    }

    /// Returns until when callers may use a token that was minted from this long-term token.
    pub(in crate::machine) fn served_until(
        &self,
        long_term: &LongTermToken,
        grace: Duration,
        now: Moment,
    ) -> Option<Moment> {
        let previous = self.minted_from.previous.iter();
        let mut previous = previous.filter(|previous| previous.long_term.reads_like(long_term));
        self.windows_from(long_term)
            .map(|window| window.usable_until)
            .chain(
                previous
                    .next()
                    .map(|previous| previous.served_until(grace))
                    .filter(|until| now < *until),
            )
            .max()
    }

    /// Forgets the long-term token of the token before, once no caller may use that any more.
    pub(in crate::machine) fn forget_released(&mut self, grace: Duration, now: Moment) {
        let previous = &mut self.minted_from.previous;
        previous.retain(|previous| now < previous.served_until(grace));
    }

    /// Forgets this long-term token, which was revoked. This does not change when the scope set is due.
    pub(in crate::machine) fn forget_long_term(&mut self, long_term: &LongTermToken) {
        let minted_from = &mut self.minted_from;
        for token in [
            &mut minted_from.arrived,
            &mut minted_from.upcoming,
            &mut minted_from.present,
        ] {
            token.take_if(|token| token.reads_like(long_term));
        }
        let previous = &mut minted_from.previous;
        previous.retain(|previous| !previous.long_term.reads_like(long_term));
    }

    /// Refreshes the token in use, or the one that waits to be published, within this time if it was minted from this
    /// long-term token. Returns whether it was.
    pub(in crate::machine) fn refresh_within(
        &mut self,
        within: Duration,
        minted_from: &LongTermToken,
        now: Moment,
    ) -> bool {
        let is_usable = |window: Window| now < window.usable_until;
        let is_served = self.windows_from(minted_from).any(is_usable);
        if is_served {
            let at = now + within.mul_f64(self.random.f64());
            self.forced_at = Some(self.forced_at.map_or(at, |forced_at| forced_at.min(at)));
        }
        is_served
    }

    /// Returns the window of the token in use, and that of the one that waits to be published, if they were minted from
    /// this long-term token.
    fn windows_from(&self, long_term: &LongTermToken) -> impl Iterator<Item = Window> {
        let is_it = |from: &Option<LongTermToken>| {
            from.as_ref().is_some_and(|from| from.reads_like(long_term))
        };
        let present = self.window.filter(|_| is_it(&self.minted_from.present));
        let upcoming = self.upcoming.as_ref().map(|it| it.window);
        let upcoming = upcoming.filter(|_| is_it(&self.minted_from.upcoming));
        present.into_iter().chain(upcoming)
    }
}
