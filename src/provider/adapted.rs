//! What the adapters of HTTP clients ask of a provider, beyond what users do.

use std::sync::Arc;

use http::HeaderValue;

use super::cell::Published;
use super::{TokenProvider, flight};
use crate::error::Error;
use crate::machine::{Event, Generation};
use crate::observe::Happening;
use crate::origin::Origin;

impl TokenProvider {
    pub(crate) fn shared_origins(&self) -> Arc<[Origin]> {
        Arc::clone(&self.shared.settings.origins)
    }

    /// Whether this is called from within an exchange of this very provider, whose requests must
    /// not wait for a token.
    pub(crate) fn is_exchanging_here(&self) -> bool {
        flight::is_within(&self.shared)
    }

    /// The header of a good token, if there is one on the hot path.
    #[inline]
    pub(crate) fn header_at_once(&self) -> Option<(HeaderValue, Generation)> {
        let take = |it: &Published| Some((it.header().clone(), it.window.generation));
        self.at_once(take, || None)
    }

    pub(crate) async fn header_newer_than(
        &self,
        generation: Generation,
    ) -> Result<(HeaderValue, Generation), Error> {
        let take = |it: &Published| (it.token.authorization().clone(), it.window.generation);
        self.newer_than(generation, take).await
    }

    /// Notes that a request is sent again with a newer token.
    pub(crate) fn note_resend(&self) {
        self.shared.observers.metrics.resent(&self.lane.scopes);
    }

    /// Notes that a resource server refused this generation, and says whether a newer one is
    /// there or on its way.
    pub(crate) fn deny(&self, generation: Generation) -> bool {
        let (lane, now) = (self.lane.id, self.shared.now());
        let (known, replaced) = {
            let machine = &mut self.shared.engine().machine;
            let known = machine.is_replacing(lane, generation);
            machine.handle(Event::Denied { lane, generation }, now);
            (known, machine.replaces(lane, generation))
        };
        if replaced && !known {
            self.shared.observers.tell(Happening::Denied {
                scopes: Arc::clone(&self.lane.scopes),
                generation: generation.0,
            });
            self.shared.wake.notify_one();
        }
        replaced
    }
}
