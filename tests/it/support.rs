//! What several files need.

use std::future::Future;
use std::time::Duration;

use everbearer::testkit::{AuthServer, ManualClock, ScriptedIssuer};
use everbearer::{AuthApi, Grant, LongTermToken, TokenProvider, TokenProviderBuilder};

pub(crate) const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A builder over this issuer, on a clock of its own.
pub(crate) fn builder(issuer: &ScriptedIssuer) -> TokenProviderBuilder {
    let long_term = LongTermToken::new("long-term").unwrap();
    TokenProvider::builder(issuer.clone(), long_term)
        .clock(ManualClock::new())
        .jitter_seed(7)
}

/// A provider over this issuer, on a clock that the test can move.
pub(crate) fn provider(issuer: &ScriptedIssuer) -> (TokenProvider, ManualClock) {
    let clock = ManualClock::new();
    let provider = builder(issuer).clock(clock.clone()).build().unwrap();
    (provider, clock)
}

/// So many tasks that do the same.
pub(crate) fn tasks<F>(count: usize, make: impl Fn() -> F) -> tokio::task::JoinSet<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    (0..count).map(|_| make()).collect()
}

/// Lets every task that can run do so, without letting time pass.
pub(crate) async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

/// A provider that obtains its long-term token from this server and exchanges it there.
pub(crate) fn provider_at(server: &AuthServer) -> TokenProviderBuilder {
    let api = AuthApi::new(server.base_url()).unwrap();
    let grant = Grant::client_secret(server.client_id(), server.client_secret());
    TokenProvider::builder(api, grant)
}
