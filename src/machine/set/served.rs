//! Which long-term tokens must live on, since callers may use what was minted from them.

use std::time::Duration;

use super::SetState;
use crate::clock::Moment;
use crate::token::LongTermToken;

impl SetState {
    /// Notes from which long-term token the token was minted that arrives.
    pub(in crate::machine) fn arrives_from(&mut self, long_term: LongTermToken) {
        self.origins.arrived = Some(long_term);
    }

    /// Returns from which long-term token the newest token was minted.
    pub(in crate::machine) fn newest_origin(&self) -> Option<&LongTermToken> {
        let origins = &self.origins;
        origins.upcoming.as_ref().or(origins.present.as_ref())
    }

    /// Returns until when callers may use a token that was minted from this long-term token.
    pub(in crate::machine) fn served_until(
        &self,
        long_term: &LongTermToken,
        grace: Duration,
    ) -> Option<Moment> {
        let is_it = |from: &Option<LongTermToken>| {
            from.as_ref().is_some_and(|from| from.reads_like(long_term))
        };
        let present = self.window.filter(|_| is_it(&self.origins.present));
        let upcoming = self.upcoming.filter(|_| is_it(&self.origins.upcoming));
        let previous = self.origins.previous.as_ref();
        let previous = previous.filter(|previous| previous.long_term.reads_like(long_term));
        let windows = present.into_iter().chain(upcoming.map(|it| it.window));
        windows
            .map(|window| window.usable_until)
            .chain(previous.map(|previous| previous.served_until(grace)))
            .max()
    }

    /// Forgets the long-term token of the token before, once no caller may use that any more.
    pub(in crate::machine) fn forget_released(&mut self, grace: Duration, now: Moment) {
        let previous = &mut self.origins.previous;
        previous.take_if(|previous| previous.served_until(grace) <= now);
    }

    /// Forgets this long-term token, which was revoked.
    pub(in crate::machine) fn forget_long_term(&mut self, long_term: &LongTermToken) {
        let origins = &mut self.origins;
        for token in [
            &mut origins.arrived,
            &mut origins.upcoming,
            &mut origins.present,
        ] {
            token.take_if(|token| token.reads_like(long_term));
        }
        let previous = &mut origins.previous;
        previous.take_if(|previous| previous.long_term.reads_like(long_term));
    }

    /// Refreshes the token within this time, if it was minted from this long-term token and a refresh by time is due at
    /// all.
    pub(in crate::machine) fn refresh_within(
        &mut self,
        within: Duration,
        minted_from: &LongTermToken,
        now: Moment,
    ) {
        if self
            .served_until(minted_from, Duration::ZERO)
            .is_some_and(|until| until > now)
        {
            let at = now + within.mul_f64(self.random.f64());
            self.forced_at = Some(self.forced_at.map_or(at, |forced_at| forced_at.min(at)));
        }
    }
}
