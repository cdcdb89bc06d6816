//! A long-term token that the user sets.

use super::dates::handed_in;
use crate::engine::shared::Shared;
use crate::observe::Event;
use crate::token::LongTermToken;

/// Takes this long-term token into use, unless the provider was shut down or needs none.
pub(crate) fn set_long_term_token(shared: &Shared, long_term: LongTermToken) {
    let token_id = long_term.shown_id().map(str::to_owned);
    let (token, now) = (
        handed_in(&shared.settings.name, long_term, shared.wall()),
        shared.both_clocks(),
    );
    {
        let mut engine = shared.engine();
        if !engine.machine.is_running() || !shared.needs_long_term() {
            return;
        }
        engine.machine.hand_in(token, now);
    }
    shared.wake.notify_one();
    shared.observers.tell(Event::LongTermReplaced { token_id });
}
