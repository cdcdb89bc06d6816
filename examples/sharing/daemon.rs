//! One of the daemons: it works until its standard input ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use everbearer::{
    AuthApi, Credential, Event, FileStore, Grant, RequestBuilderExt, RotationPolicy, TokenProvider,
};
use tokio::io::AsyncReadExt;

use super::Result;

pub(crate) const FLAG: &str = "--daemon";
const WORKERS: usize = 4;

#[derive(Default)]
struct Counters {
    rotated: AtomicU64,
    followed: AtomicU64,
    requests: AtomicU64,
    failed: AtomicU64,
}

pub(crate) async fn run(base_url: &str, client_id: &str, jobs: &str, path: &str) -> Result<bool> {
    let policy = RotationPolicy::default()
        .fraction(0.4)
        .jitter(0.1)
        .grace(Duration::from_millis(500))
        .backoff(Duration::from_millis(20), Duration::from_millis(200));
    let provider = TokenProvider::builder(AuthApi::new(base_url)?, Credential::Stored)
        .store(FileStore::new(path))
        .rotate_with(Grant::self_rotation(client_id))
        .rotation_policy(policy)
        .build()?;
    let counters = Arc::new(Counters::default());
    let mut events = provider.subscribe();
    let observer = Arc::clone(&counters);
    let counting = tokio::spawn(async move {
        while let Some(event) = events.next().await {
            match event {
                Event::Rotated { .. } => observer.rotated.fetch_add(1, Ordering::Relaxed),
                Event::LongTermReloaded { .. } => observer.followed.fetch_add(1, Ordering::Relaxed),
                Event::ShutDown => break,
                _ => 0,
            };
        }
    });
    provider.ready().await?;
    let mut working = tokio::task::JoinSet::new();
    for _ in 0..WORKERS {
        working.spawn(work(
            provider.clone(),
            jobs.to_owned(),
            Arc::clone(&counters),
        ));
    }
    let mut ignored = Vec::new();
    tokio::io::stdin().read_to_end(&mut ignored).await?;
    working.shutdown().await;
    provider.shutdown().await;
    // The events of the shutdown count, too.
    counting.await?;
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    println!(
        "{} {} {} {}",
        count(&counters.rotated),
        count(&counters.followed),
        count(&counters.requests),
        count(&counters.failed)
    );
    Ok(true)
}

async fn work(provider: TokenProvider, jobs: String, counters: Arc<Counters>) {
    let client = reqwest::Client::new();
    loop {
        let answer = client.get(&jobs).send_with(&provider).await;
        counters.requests.fetch_add(1, Ordering::Relaxed);
        let failure = match answer {
            Ok(answer) if answer.status().is_success() => None,
            Ok(answer) => Some(answer.status().to_string()),
            Err(error) => Some(chain(&error)),
        };
        if let Some(failure) = failure {
            counters.failed.fetch_add(1, Ordering::Relaxed);
            eprintln!("a request failed: {failure}");
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Returns the error and its causes on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let causes: Vec<String> = causes.map(ToString::to_string).collect();
    causes.join(": ")
}
