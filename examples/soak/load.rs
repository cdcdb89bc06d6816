//! Callers that use the provider through the middleware, and that are dropped at any moment.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use everbearer::{Error, TokenProvider};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware};
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;

use crate::Result;

pub(crate) const CALLERS: usize = 64;

/// The outcomes of callers and calls, besides those that were served.
#[derive(Default)]
pub(crate) struct Tally {
    /// Without a token, which is correct if the auth server fails for too long.
    refused: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
    panicked: AtomicU64,
    pub(crate) first_failure: OnceLock<String>,
}

impl Tally {
    /// Returns how many were refused, failed, dropped and panicked.
    pub(crate) fn read(&self) -> [u64; 4] {
        [&self.refused, &self.failed, &self.dropped, &self.panicked]
            .map(|count| count.load(Ordering::Relaxed))
    }
}

#[derive(Clone)]
struct Caller {
    client: ClientWithMiddleware,
    url: String,
    tally: Arc<Tally>,
}

pub(crate) struct Load {
    tally: Arc<Tally>,
    stop: Arc<Notify>,
    task: JoinHandle<()>,
}

impl Load {
    pub(crate) fn start(provider: &TokenProvider, url: String, seed: u64) -> Result<Self> {
        let client = reqwest::Client::builder().no_proxy().build()?;
        let client = ClientBuilder::new(client).with(provider.middleware());
        let tally = Arc::<Tally>::default();
        let caller = Caller {
            client: client.build(),
            url,
            tally: Arc::clone(&tally),
        };
        let stop = Arc::<Notify>::default();
        let keep_up = caller.keep_up(fastrand::Rng::with_seed(seed), Arc::clone(&stop));
        let task = tokio::spawn(keep_up);
        Ok(Self { tally, stop, task })
    }

    pub(crate) fn tally(&self) -> Arc<Tally> {
        Arc::clone(&self.tally)
    }

    /// Drops all callers, and waits until they have ended.
    pub(crate) async fn stop(self) {
        self.stop.notify_one();
        let _ = self.task.await;
    }
}

impl Caller {
    /// Keeps up the number of callers, and drops one every now and then.
    async fn keep_up(self, mut random: fastrand::Rng, stop: Arc<Notify>) {
        let mut tasks = JoinSet::new();
        let spawn = |random: &mut fastrand::Rng, tasks: &mut JoinSet<()>| {
            tasks.spawn(self.clone().call_for_ever(random.fork()))
        };
        let mut callers: Vec<_> = (0..CALLERS)
            .map(|_| spawn(&mut random, &mut tasks))
            .collect();
        loop {
            tokio::select! {
                () = stop.notified() => return tasks.shutdown().await,
                Some(ended) = tasks.join_next() => {
                    if ended.is_err_and(|error| error.is_panic()) {
                        add_one(&self.tally.panicked);
                    }
                }
                () = sleep(Duration::from_millis(random.u64(1..20))) => {
                    if let Some(caller) = random.choice(&mut callers) {
                        caller.abort();
                        *caller = spawn(&mut random, &mut tasks);
                        add_one(&self.tally.dropped);
                    }
                }
            }
        }
    }

    async fn call_for_ever(self, mut random: fastrand::Rng) {
        let tally = &self.tally;
        loop {
            match self.call().await {
                Ok(()) => {}
                Err(error) if is_want_of_a_token(&error) => add_one(&tally.refused),
                Err(error) => {
                    add_one(&tally.failed);
                    tally.first_failure.get_or_init(|| format!("{error:?}"));
                }
            }
            sleep(Duration::from_millis(random.u64(5..25))).await;
        }
    }

    async fn call(&self) -> reqwest_middleware::Result<()> {
        let response = self.client.get(&self.url).send().await?;
        response.error_for_status()?.bytes().await?;
        Ok(())
    }
}

fn is_want_of_a_token(error: &reqwest_middleware::Error) -> bool {
    let reqwest_middleware::Error::Middleware(error) = error else {
        return false;
    };
    let error = error.downcast_ref::<Error>();
    error.is_some_and(Error::is_retryable)
}

fn add_one(count: &AtomicU64) {
    count.fetch_add(1, Ordering::Relaxed);
}
