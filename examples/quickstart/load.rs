//! Sends requests at a steady pace, each with the token that the middleware adds.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use everbearer::TokenProvider;
use http::{Extensions, HeaderValue};
use reqwest::{Request, Response};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware, Middleware, Next};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::timeline::Timeline;

/// How many failures are shown. All are counted.
const FAILURES_SHOWN: u32 = 5;

pub(crate) struct Load {
    pub(crate) tasks: u32,
    pub(crate) per_second: u32,
    pub(crate) lasts: Duration,
}

/// The measurements of the requests.
#[derive(Debug, Default)]
pub(crate) struct Measured {
    pub(crate) requests: u32,
    pub(crate) failed: u32,
    pub(crate) longest_wait: Duration,
    /// The number of requests by token, with the position of the token.
    per_token: HashMap<HeaderValue, (usize, u32)>,
}

impl Load {
    pub(crate) async fn run(
        &self,
        client: reqwest::Client,
        provider: &TokenProvider,
        url: &str,
        timeline: &Timeline,
    ) -> Measured {
        let measured = Arc::new(Mutex::new(Measured::default()));
        let client = ClientBuilder::new(client)
            .with(provider.middleware())
            .with(Stopwatch(Arc::clone(&measured)))
            .build();
        let begin = Instant::now();
        let between = Duration::from_secs(1) * self.tasks / self.per_second;
        let mut tasks: JoinSet<()> = (0..self.tasks)
            .map(|task| {
                let (client, url, timeline) = (client.clone(), url.to_owned(), timeline.clone());
                let measured = Arc::clone(&measured);
                let first = begin + between * task / self.tasks;
                let mut pace = interval_at(first, between);
                pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
                let rounds = self.lasts.as_millis() / between.as_millis();
                async move {
                    for _ in 0..rounds {
                        pace.tick().await;
                        let failure = call(&client, &url).await.err();
                        let failed = match measured.lock() {
                            Ok(mut measured) => measured.count(failure.is_some()),
                            Err(_) => return,
                        };
                        if let Some(failure) = failure.filter(|_| failed <= FAILURES_SHOWN) {
                            timeline.note(&format!("A REQUEST FAILED: {failure}"));
                        }
                    }
                }
            })
            .collect();
        while tasks.join_next().await.is_some() {}
        let mut measured = measured.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *measured)
    }
}

async fn call(client: &ClientWithMiddleware, url: &str) -> reqwest_middleware::Result<()> {
    let request = client.get(url).with_extension(Asked(Instant::now()));
    request.send().await?.error_for_status()?.bytes().await?;
    Ok(())
}

/// When the request was handed to the client.
#[derive(Clone, Copy)]
struct Asked(Instant);

/// Runs after the bearer middleware, and measures how long that took and which token it added.
struct Stopwatch(Arc<Mutex<Measured>>);

#[async_trait]
impl Middleware for Stopwatch {
    async fn handle(
        &self,
        request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> reqwest_middleware::Result<Response> {
        if let (Some(Asked(at)), Some(header), Ok(mut measured)) = (
            extensions.get(),
            request.headers().get("authorization"),
            self.0.lock(),
        ) {
            measured.longest_wait = measured.longest_wait.max(at.elapsed());
            let place = measured.per_token.len() + 1;
            let (_, served) = measured
                .per_token
                .entry(header.clone())
                .or_insert((place, 0));
            *served += 1;
        }
        next.run(request, extensions).await
    }
}

impl Measured {
    /// Returns how many have failed so far.
    fn count(&mut self, has_failed: bool) -> u32 {
        self.requests += 1;
        self.failed += u32::from(has_failed);
        self.failed
    }

    pub(crate) fn served_per_token(&self) -> String {
        let mut served: Vec<_> = self.per_token.values().collect();
        served.sort_unstable();
        let served: Vec<_> = served
            .into_iter()
            .map(|(place, served)| format!("#{place}: {served}"))
            .collect();
        served.join("  ")
    }
}
