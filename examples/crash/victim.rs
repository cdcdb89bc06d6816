//! The process that is killed.

use std::io::{Write, stdout};
use std::time::Duration;

use everbearer::{
    AuthApi, Credential, FileStore, Grant, RequestBuilderExt, RetryPolicy, RotationPolicy,
    TokenProvider,
};
use tokio::io::AsyncReadExt;

use super::Result;

pub(crate) const FLAG: &str = "--victim";
/// Printed when the process has a short-term token.
pub(crate) const READY: &str = "ready";
/// How long a replaced token stays valid at least.
pub(crate) const GRACE: Duration = Duration::from_millis(30);
const BETWEEN_REQUESTS: Duration = Duration::from_millis(1);

/// Starts from the file, prints that it is ready, and rotates until it is killed. With a last argument, it rotates once,
/// revokes what the processes before it have left, and shuts down when its standard input ends.
pub(crate) async fn run(mut args: impl Iterator<Item = String>) -> Result<()> {
    let mut argument = || args.next().ok_or("an argument is missing");
    let (base_url, client_id, path) = (argument()?, argument()?, argument()?);
    let stops = args.next().is_some();
    let policy = RotationPolicy::default()
        .grace(GRACE)
        .backoff(Duration::from_millis(5), Duration::from_millis(20));
    // Lost responses must not end the process at the start.
    let retries = RetryPolicy::default()
        .backoff(Duration::from_millis(5), Duration::from_millis(20))
        .ready_timeout(Duration::from_secs(10));
    let provider = TokenProvider::builder(AuthApi::new(&base_url)?, Credential::Stored)
        .store(FileStore::new(path))
        .rotate_with(Grant::self_rotation(client_id))
        .rotation_policy(policy)
        .retry_policy(retries)
        .build()?;
    provider.ready().await?;
    writeln!(stdout(), "{READY}")?;
    stdout().flush()?;
    let client = reqwest::Client::builder().no_proxy().build()?;
    let mut requests = tokio::task::JoinSet::new();
    // Of all scopes, and of some: the token of the former proves each next long-term token.
    for provider in [provider.clone(), provider.scoped(["jobs:read"])] {
        let request = client.get(format!("{base_url}/jobs"));
        requests.spawn(send(request, provider));
    }
    if stops {
        while provider.rotate().await.is_err() {}
        let mut ignored = Vec::new();
        tokio::io::stdin().read_to_end(&mut ignored).await?;
        requests.shutdown().await;
        provider.shutdown().await;
        return Ok(());
    }
    loop {
        // A lost response is an error here, and the provider retries.
        let _ = provider.rotate().await;
    }
}

/// Sends requests until the process is killed. The server counts those whose token it refuses.
async fn send(request: reqwest::RequestBuilder, provider: TokenProvider) {
    loop {
        if let Some(request) = request.try_clone() {
            let _ = request.send_with(&provider).await;
        }
        tokio::time::sleep(BETWEEN_REQUESTS).await;
    }
}
