//! Rotating the long-term token.

mod at_the_server;
mod by_time;
mod crashes;
mod edges;
mod failures;
mod other_hands;
mod sharing;
mod stores;
mod upkeep;

use everbearer::testkit::{ManualClock, ScriptedIssuer};
use everbearer::{Credential, TokenProvider, TokenProviderBuilder, TokenStore};

/// Starts from what this store holds, on a clock of its own.
fn stored(issuer: &ScriptedIssuer, store: impl TokenStore) -> TokenProviderBuilder {
    TokenProvider::builder(issuer.clone(), Credential::Stored)
        .clock(ManualClock::new())
        .store(store)
}
