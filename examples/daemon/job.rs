//! The job: a request at an interval, with the token in use.

use std::sync::Arc;

use everbearer::TokenProvider;
use metrics::{counter, describe_counter};
use reqwest_middleware::ClientWithMiddleware;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use crate::config::{Job, in_keys};
use crate::failure::{Failure, one_line};
use crate::place::Places;

const JOBS: &str = "daemon_jobs_total";

pub(crate) fn describe() {
    describe_counter!(JOBS, "Requests of the job that have ended");
    for outcome in ["success", "failure"] {
        counter!(JOBS, "outcome" => outcome).increment(0);
    }
}

/// A job, and its client.
pub(crate) struct Work {
    job: Job,
    client: ClientWithMiddleware,
}

impl Work {
    /// Sends the token to the origin of this job only, also after a reload with another URL.
    pub(crate) fn new(
        provider: &TokenProvider,
        job: Job,
        places: &Places,
    ) -> Result<Self, Failure> {
        let middleware = provider
            .middleware()
            .origins([&job.url])
            .map_err(|error| places.failure("job.url", &in_keys(&one_line(&error))))?;
        let client = reqwest_middleware::ClientBuilder::new(reqwest::Client::new())
            .with(middleware)
            .build();
        Ok(Self { job, client })
    }

    async fn once(&self) -> Result<(), String> {
        let request = self.client.get(&self.job.url).timeout(self.job.timeout.0);
        let response = request.send().await.map_err(|error| one_line(&error))?;
        let status = response.status();
        if status.is_success() {
            Ok(())
        } else {
            Err(format!("{} answered {status}", self.job.url))
        }
    }
}

/// Works until `stop` is set. The request in flight is finished.
pub(crate) async fn run(mut work: watch::Receiver<Arc<Work>>, mut stop: watch::Receiver<bool>) {
    loop {
        let now = Arc::clone(&work.borrow_and_update());
        let mut ticks = tokio::time::interval(now.job.every.0);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return,
                _ = work.changed() => break,
                _ = ticks.tick() => {}
            }
            match now.once().await {
                Ok(()) => {
                    counter!(JOBS, "outcome" => "success").increment(1);
                    tracing::info!(url = now.job.url, "did the job");
                }
                Err(error) => {
                    counter!(JOBS, "outcome" => "failure").increment(1);
                    tracing::warn!(url = now.job.url, error, "the job failed");
                }
            }
        }
    }
}
