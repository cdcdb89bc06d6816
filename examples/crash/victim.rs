//! The process that is killed.

use std::io::{Write, stdout};
use std::time::Duration;

use everbearer::{
    AuthApi, Credential, FileStore, Grant, RetryPolicy, RotationPolicy, TokenProvider,
};

use super::Result;

pub(crate) const FLAG: &str = "--victim";
/// Printed when the process has a short-term token.
pub(crate) const READY: &str = "ready";
/// How long a replaced token stays valid.
const GRACE: Duration = Duration::from_millis(30);

/// Starts from the file, prints that it is ready, and rotates until it is killed. With a last argument, it rotates once
/// and shuts down.
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
    let provider = TokenProvider::builder(AuthApi::new(base_url)?, Credential::Stored)
        .store(FileStore::new(path))
        .rotate_with(Grant::self_rotation(client_id))
        .rotation_policy(policy)
        .retry_policy(retries)
        .build()?;
    provider.ready().await?;
    writeln!(stdout(), "{READY}")?;
    stdout().flush()?;
    if stops {
        while provider.rotate().await.is_err() {}
        // Revokes what earlier processes have left.
        tokio::time::sleep(GRACE * 10).await;
        provider.shutdown().await;
        return Ok(());
    }
    loop {
        // A lost response is an error here, and the provider retries.
        let _ = provider.rotate().await;
    }
}
