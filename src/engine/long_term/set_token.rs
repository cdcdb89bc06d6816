//! A long-term token that the user sets.

use crate::engine::shared::Shared;
use crate::machine::Input;
use crate::observe::Event;
use crate::token::LongTermToken;

/// Takes this long-term token into use, unless the provider was shut down or needs none.
pub(crate) fn set_long_term_token(shared: &Shared, long_term: LongTermToken) {
    let now = shared.now();
    let token_id = long_term.shown_id().map(str::to_owned);
    // Whatever was due or demanded was so for the previous token.
    let began = shared.began(&shared.handed_in(long_term.clone()));
    {
        let mut engine = shared.engine();
        if !engine.machine.is_running() || !shared.needs_long_term() {
            return;
        }
        engine.hold(long_term.clone(), now);
        engine.handed_in = Some(long_term);
        engine.machine.handle(began, now);
        let renewed = Input::Renewed {
            keeps_pauses: false,
        };
        engine.machine.handle(renewed, now);
        engine.machine.handle(Input::Urgent, now);
    }
    shared.wake.notify_one();
    shared.observers.tell(Event::LongTermReplaced { token_id });
}
