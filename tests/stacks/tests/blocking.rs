//! Clients without an async runtime: ureq and `reqwest::blocking`.

mod common;

use std::thread;
use std::time::Duration;

use common::{BoxError, Site};
use everbearer::BlockingTokenProvider;
use http::HeaderValue;
use ureq::Agent;

/// ureq logs what it sends, in rows of 16 bytes, at the level TRACE.
const LOGS_THE_TOKEN: &str = "ureq_proto::util";

/// Runs on a thread without an async runtime. The servers run on the threads of the test's runtime.
fn apart<T: Send>(call: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| scope.spawn(call).join().unwrap())
}

fn by_ureq(agent: &Agent, provider: &BlockingTokenProvider, url: &str) -> Result<u16, BoxError> {
    // The code of a user.
    let get = |token: &HeaderValue| agent.get(url).header("authorization", token).call();
    let response = provider.send(get, |response| response.status() == 401)??;
    // End.
    Ok(response.status().as_u16())
}

fn by_reqwest(
    client: &reqwest::blocking::Client,
    provider: &BlockingTokenProvider,
    url: &str,
) -> Result<u16, BoxError> {
    // The code of a user.
    let get = |token: &HeaderValue| client.get(url).header("authorization", token).send();
    let response = provider.send(get, |response| response.status() == 401)??;
    // End.
    Ok(response.status().as_u16())
}

/// Without redirects, since ureq removes the token from each of them.
fn agent() -> Agent {
    let config = Agent::config_builder()
        .proxy(None)
        .timeout_global(Some(Duration::from_secs(60)));
    // The code of a user.
    let config = config.http_status_as_error(false).max_redirects(0);
    // End.
    config.build().into()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_of_ureq_gets_the_token() -> Result<(), BoxError> {
    let site = Site::start().await;
    let provider = apart(|| site.builder().build_blocking())?;
    let agent = agent();
    let call = async |url: String| apart(|| by_ureq(&agent, &provider, &url));
    site.refreshes(&call).await;
    site.heals(provider.provider(), true, &call).await;
    site.redirects(false, &call).await;
    site.fails(provider.provider(), &call).await;
    (site.secrets).are_not_logged(&["everbearer", "ureq"], &[LOGS_THE_TOKEN]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_of_blocking_reqwest_gets_the_token() -> Result<(), BoxError> {
    let site = Site::start().await;
    let provider = apart(|| site.builder().build_blocking())?;
    let client = apart(reqwest::blocking::Client::new);
    let call = async |url: String| apart(|| by_reqwest(&client, &provider, &url));
    site.refreshes(&call).await;
    site.heals(provider.provider(), true, &call).await;
    site.redirects(true, &call).await;
    site.fails(provider.provider(), &call).await;
    (site.secrets).are_not_logged(&["everbearer", "reqwest"], &[LOGS_THE_TOKEN]);
    apart(|| drop(client));
    Ok(())
}
