//! One of the daemons: it works until its standard input ends.

use std::io::{Write, stdout};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use everbearer::{
    AuthApi, Credential, Event, FileStore, Grant, RequestBuilderExt, RetryPolicy, RotationPolicy,
    TokenProvider,
};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};

use super::Result;

pub(crate) const FLAG: &str = "--daemon";
/// How many requests a daemon has in flight at most.
pub(crate) const WORKERS: u64 = 4;
/// Printed when no request is in flight any more.
pub(crate) const IDLE: &str = "idle";
/// A third of the time for which a daemon holds the lease at most, so that some stops last longer.
pub(crate) const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(1);

#[derive(Default)]
struct Counters {
    rotated: AtomicU64,
    followed: AtomicU64,
    store_failed: AtomicU64,
    requests: AtomicU64,
    failed: AtomicU64,
}

/// Works until a line comes from standard input, and shuts down when standard input ends.
pub(crate) async fn run(base_url: &str, client_id: &str, jobs: &str, path: &str) -> Result<bool> {
    let policy = RotationPolicy::default()
        .fraction(0.1)
        .jitter(0.02)
        .grace(Duration::from_millis(500))
        .backoff(Duration::from_millis(20), Duration::from_millis(200));
    let retries = RetryPolicy::default()
        .exchange_timeout(EXCHANGE_TIMEOUT)
        .backoff(Duration::from_millis(20), Duration::from_millis(200));
    let provider = TokenProvider::builder(AuthApi::new(base_url)?, Credential::Stored)
        .store(FileStore::new(path))
        .rotate_with(Grant::self_rotation(client_id))
        .rotation_policy(policy)
        .retry_policy(retries)
        .build()?;
    let counters = Arc::new(Counters::default());
    let mut events = provider.subscribe();
    let observer = Arc::clone(&counters);
    let counting = tokio::spawn(async move {
        while let Some(event) = events.next().await {
            match event {
                Event::Rotated { .. } => observer.rotated.fetch_add(1, Ordering::Relaxed),
                Event::LongTermReloaded { .. } => observer.followed.fetch_add(1, Ordering::Relaxed),
                Event::StoreFailed { .. } => observer.store_failed.fetch_add(1, Ordering::Relaxed),
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
    let mut input = BufReader::new(tokio::io::stdin());
    input.read_line(&mut String::new()).await?;
    working.shutdown().await;
    say(IDLE)?;
    // The server returns the same short-term token to both daemons, and the shutdown of the first one revokes it.
    input.read_to_end(&mut Vec::new()).await?;
    provider.shutdown().await;
    // The events of the shutdown count, too.
    counting.await?;
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    say(&format!(
        "{} {} {} {} {}",
        count(&counters.rotated),
        count(&counters.followed),
        count(&counters.store_failed),
        count(&counters.requests),
        count(&counters.failed)
    ))?;
    Ok(true)
}

fn say(line: &str) -> std::io::Result<()> {
    let mut output = stdout();
    writeln!(output, "{line}")?;
    output.flush()
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
