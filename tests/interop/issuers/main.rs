//! Auth servers and HTTP clients that everbearer has no code for: issuers and an adapter that stand outside of the
//! crate, against the real servers. See README.md.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that panics is a test that fails"
)]
#![allow(clippy::doc_markdown, reason = "OpenBao is no identifier")]

mod adapter;
mod client_credentials;
mod oidc_provider;
#[allow(dead_code, reason = "the other tests use the rest")]
mod openbao;
mod process;
mod vault;

use std::time::Duration;

use everbearer::{Event, Subscription};

const PATIENCE: Duration = Duration::from_secs(20);
const INTERVAL: Duration = Duration::from_millis(10);

/// Waits for an event of which `find` returns something.
async fn event<T>(events: &mut Subscription, find: impl Fn(&Event) -> Option<T>) -> T {
    let found = async {
        loop {
            let event = events.next().await.unwrap();
            if let Some(found) = find(&event) {
                return found;
            }
        }
    };
    tokio::time::timeout(PATIENCE, found).await.unwrap()
}
