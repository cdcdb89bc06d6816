//! The server is killed and restarted while callers go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use everbearer::RetryPolicy;
use reqwest_middleware::ClientBuilder;

use super::report;
use super::server::Server;

const CALLERS: usize = 64;
const LIFETIME: u32 = 5;
const OUTAGES: u32 = 2;

/// How long each outage lasts: 30 s, or as the variable says.
fn outage() -> Duration {
    let seconds = std::env::var("EVERBEARER_OUTAGE_SECONDS").ok();
    let seconds = seconds.map_or(30, |it| it.parse().unwrap());
    Duration::from_secs(seconds)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_has_an_expired_token_and_all_callers_go_on() {
    let mut server = Server::oidc_provider(LIFETIME).await;
    let retries =
        RetryPolicy::default().backoff(Duration::from_millis(100), Duration::from_secs(1));
    let provider = server.client().provider().unwrap();
    let provider = provider
        .origins([server.url("")])
        .retry_policy(retries)
        .build()
        .unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let client = ClientBuilder::new(client)
        .with(provider.middleware())
        .build();
    let answered: Arc<Vec<AtomicUsize>> =
        Arc::new((0..CALLERS).map(|_| AtomicUsize::new(0)).collect());
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..CALLERS {
        let (client, url, answered) = (client.clone(), server.url("/api"), Arc::clone(&answered));
        callers.spawn(async move {
            loop {
                let response = client.get(&url).send().await;
                if response.is_ok_and(|response| response.status() == 200) {
                    answered[caller].fetch_add(1, Ordering::SeqCst);
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
    }
    let go_on = async || {
        let before: Vec<usize> = answered
            .iter()
            .map(|it| it.load(Ordering::SeqCst))
            .collect();
        let all = async {
            let is_answered =
                |(it, before): (&AtomicUsize, &usize)| it.load(Ordering::SeqCst) > *before;
            while !answered.iter().zip(&before).all(is_answered) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        #[allow(clippy::disallowed_methods, reason = "it is printed")]
        let began = tokio::time::Instant::now();
        tokio::time::timeout(super::PATIENCE, all).await.unwrap();
        began.elapsed()
    };
    go_on().await;
    for _ in 0..OUTAGES {
        tokio::time::sleep(Duration::from_secs(8)).await;
        server.kill();
        tokio::time::sleep(outage()).await;
        server.restart().await;
        println!(
            "all {CALLERS} callers were answered 200 {:?} after the restart",
            go_on().await
        );
    }
    tokio::time::sleep(Duration::from_secs(8)).await;
    callers.shutdown().await;
    let ours = answered.iter().map(|it| it.load(Ordering::SeqCst)).sum();
    let refused = server.responses("GET /api 401");
    let logged = server.responses("GET /api 200");
    println!(
        "{} exchanges, {logged} requests",
        server.responses("POST /token 200")
    );
    // A request that was in flight at a kill may be in the log and not answered.
    assert!(
        logged >= ours && logged <= ours + 2 * CALLERS,
        "{ours} {logged}"
    );
    report(
        "oidc-provider",
        "killed and restarted twice, with 64 callers and tokens of 5 s",
        &[("requests with an expired token", 0, refused)],
    );
}
