//! A token that takes the place of the previous one.

use std::sync::Arc;
use std::time::Duration;

use super::scope_set::ScopeSet;
use crate::clock::Moment;
use crate::machine::Window;
use crate::observe::Event;
use crate::token::ShortTermToken;

/// A token that replaces the previous one.
#[derive(Debug)]
pub(crate) struct Swap {
    pub(crate) token: ShortTermToken,
    pub(crate) life: Duration,
    pub(crate) took: Duration,
}

impl Swap {
    /// Publishes the token, which the hot path serves until `served_until`.
    pub(crate) fn publish(
        self,
        set: &ScopeSet,
        window: Window,
        served_until: Moment,
        now: Moment,
    ) -> Event {
        let before = set.current.load().map(|published| published.window);
        let token_id = self.token.shown_id().map(str::to_owned);
        set.current.publish(self.token, window, served_until);
        Event::Swapped {
            scopes: Arc::clone(&set.scopes),
            generation: window.generation.0,
            token_id,
            life: self.life,
            took: self.took,
            previous_left: before.map(|before| before.ends_at.since(now)),
        }
    }
}
