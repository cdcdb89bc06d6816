//! The process ends between any two steps of a rotation. `examples/crash` does the same with
//! real processes and SIGKILL.

use everbearer::testkit::{AuthServer, Endpoint, Fault, OldLongTermToken};
use everbearer::{Error, Lease, Record, Stored, TokenStore, Version};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;

use super::at_the_server::{comes_to_rest, on, server, shared_store};
use crate::shared_memory_store::SharedMemoryStore;
use crate::support::millis;

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

/// A store under which the process ends at one of its writes, before or after it is done.
#[derive(Clone, Debug)]
struct Deadly {
    shared_store: SharedMemoryStore,
    writes_left: Arc<AtomicI32>,
    writes_the_last: bool,
    dead: Arc<Notify>,
}

#[async_trait::async_trait]
impl TokenStore for Deadly {
    async fn load(&self) -> Result<Option<Stored>, Error> {
        self.shared_store.load().await
    }

    async fn store(&self, record: &Record, expected: Option<&Version>) -> Result<Version, Error> {
        if self.writes_left.fetch_sub(1, Ordering::SeqCst) > 0 {
            return self.shared_store.store(record, expected).await;
        }
        if self.writes_the_last {
            self.shared_store.store(record, expected).await?;
        }
        self.dead.notify_one();
        std::future::pending().await
    }

    async fn changed(&self) {
        self.shared_store.changed().await;
    }

    async fn lease(&self, at_most: Duration) -> Result<Option<Lease>, Error> {
        self.shared_store.lease(at_most).await
    }
}

fn runtime() -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap()
}

/// Whatever was left behind: it starts without a person, rotates, and leaves one token alive.
async fn starts_again(server: &AuthServer, store: &SharedMemoryStore, what: &str) {
    let provider = on(store, server).build().unwrap();
    if let Err(error) = provider.ready().await {
        panic!("{what}: {error:?}\n{}", store.text().await);
    }
    provider
        .rotate()
        .await
        .unwrap_or_else(|error| panic!("{what}: {error:?}"));
    provider.refresh().await.unwrap();
    comes_to_rest(server, store).await;
    provider.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l2_the_process_ends_before_or_after_any_write() {
    for old in [OldLongTermToken::LivesOn, OldLongTermToken::DiesAtOnce] {
        for (writes, writes_the_last) in (0..4).flat_map(|it| [(it, false), (it, true)]) {
            let server = server(old).await;
            let store = shared_store(&server).await;
            let deadly = Deadly {
                shared_store: store.clone(),
                writes_left: Arc::new(AtomicI32::new(writes)),
                writes_the_last,
                dead: Arc::default(),
            };
            let process = runtime();
            let provider = on(&store, &server).store(deadly.clone());
            process.spawn(async move {
                let provider = provider.build().unwrap();
                provider.ready().await.unwrap();
                let _ = provider.rotate().await;
                std::future::pending::<()>().await;
            });
            deadly.dead.notified().await;
            process.shutdown_background();
            let what = format!("{old:?}, {writes} writes, the last one done: {writes_the_last}");
            starts_again(&server, &store, &what).await;
        }
    }
}

/// Once the answer never comes, once the request was carried out and nobody hears the answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l2_the_process_ends_during_any_call() {
    let calls = [
        // Of the short-term endpoint: the first exchange, the one that asks, the one that proves.
        (Endpoint::ShortTerm, 0),
        (Endpoint::ShortTerm, 1),
        (Endpoint::ShortTerm, 2),
        (Endpoint::LongTerm, 0),
        (Endpoint::Revoke, 0),
        (Endpoint::Revoke, 1),
    ];
    for old in [OldLongTermToken::LivesOn, OldLongTermToken::DiesAtOnce] {
        for fault in [Fault::Hang, Fault::LoseResponse] {
            for (endpoint, before) in calls {
                let server = server(old).await;
                let store = shared_store(&server).await;
                let passing = std::iter::repeat_n(Fault::Pass, before);
                server.script(endpoint, passing.chain([fault.clone()]));
                let process = runtime();
                let provider = on(&store, &server);
                process.spawn(async move {
                    let provider = provider.build().unwrap();
                    let _ = provider.ready().await;
                    let _ = provider.rotate().await;
                    std::future::pending::<()>().await;
                });
                meets(&server, endpoint, before).await;
                process.shutdown_background();
                server.clear_faults();
                let what = format!("{old:?}, {fault:?} at {endpoint:?} after {before}");
                starts_again(&server, &store, &what).await;
            }
        }
    }
}

/// Waits until the server has seen the call that meets the fault.
async fn meets(server: &AuthServer, endpoint: Endpoint, before: usize) {
    for _ in 0..4_000 {
        let counts = server.counts();
        let seen = match endpoint {
            Endpoint::ShortTerm => counts.short_term.requests,
            Endpoint::LongTerm => counts.long_term.requests - 1,
            _ => counts.revoke.requests,
        };
        if seen > before as u64 {
            return;
        }
        tokio::time::sleep(millis(2)).await;
    }
    panic!("no call met the fault: {endpoint:?} after {before}");
}
