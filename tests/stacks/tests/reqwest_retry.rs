//! reqwest-middleware with tracing, retries and the token, in this order.

mod common;

use std::time::Duration;

use common::{BoxError, Site, in_time};
use everbearer::testkit::{Endpoint, Fault};
use everbearer::{Error, TokenProvider};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware};
use reqwest_retry::policies::ExponentialBackoff;
use reqwest_retry::{
    RetryTransientMiddleware, Retryable, RetryableStrategy, default_on_request_failure,
    default_on_request_success,
};
use reqwest_tracing::TracingMiddleware;

// The code of a user.
/// Retries an error of the provider only if another attempt may help.
struct Strategy;

impl RetryableStrategy for Strategy {
    fn handle(
        &self,
        outcome: &Result<reqwest::Response, reqwest_middleware::Error>,
    ) -> Option<Retryable> {
        let error = match outcome {
            Ok(response) => return default_on_request_success(response),
            Err(error) => error,
        };
        match Error::find_in(error) {
            Some(error) if error.is_retryable() => Some(Retryable::Transient),
            Some(_) => Some(Retryable::Fatal),
            None => default_on_request_failure(error),
        }
    }
}

/// The outermost middleware comes first: one span has all attempts, and each attempt gets the token that is then in use.
fn client(provider: &TokenProvider, policy: ExponentialBackoff) -> ClientWithMiddleware {
    let retries = RetryTransientMiddleware::new_with_policy_and_strategy(policy, Strategy);
    ClientBuilder::new(reqwest::Client::new())
        .with(TracingMiddleware::default())
        .with(retries)
        .with(provider.middleware())
        .build()
}
// End.

#[tokio::test(flavor = "multi_thread")]
async fn each_attempt_gets_the_token_in_use() {
    let site = Site::start().await;
    let provider = site.builder().build().unwrap();
    let policy = ExponentialBackoff::builder()
        .retry_bounds(Duration::from_millis(1), Duration::from_millis(10))
        .build_with_max_retries(3);
    let client = client(&provider, policy);
    let call = async |url: String| -> Result<u16, BoxError> {
        Ok(client.get(url).send().await?.status().as_u16())
    };
    // The first attempt fails since there is no token. The next one waits for the next exchange.
    site.auth.script(Endpoint::ShortTerm, [Fault::status(503)]);
    site.refreshes(&call).await;
    assert_eq!(site.auth.counts().short_term.server_errors, 1);
    site.heals(&provider, true, &call).await;
    site.redirects(true, &call).await;

    // An answer that is retried, a refusal that causes a resend, and the response.
    let before = site.auth.counts();
    let url = site.auth.url("/jobs");
    let faults = [Fault::status(503), Fault::status(401)];
    site.auth.script(Endpoint::Jobs, faults);
    assert_eq!(in_time(call(url.clone())).await.unwrap(), 200);
    let after = site.auth.counts();
    assert_eq!(after.jobs.requests, before.jobs.requests + 3);
    assert_eq!(after.jobs_outcomes.served, before.jobs_outcomes.served + 1);
    assert_eq!(site.outcomes().expired, 0);

    // The error of the provider after its shutdown is not retried, and no request is sent.
    site.fails(&provider, &call).await;
    let before = site.auth.counts().jobs.requests;
    let error = in_time(call(url)).await.unwrap_err();
    let text = format!("{error:?}");
    assert!(!text.contains("WithRetries"), "{text}");
    assert_eq!(site.auth.counts().jobs.requests, before);
    (site.secrets).are_not_logged(&["everbearer", "reqwest", "reqwest_tracing"], &[]);
}
