//! What the handles and the task share.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::entries::Entries;
use crate::error::Error;
use crate::provider::TokenProviderBuilder;

/// How many providers are shut down at the same time.
pub(super) const MOST_SHUT_DOWN_AT_ONCE: usize = 64;

type BoxFuture<T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send>>;
pub(super) type Build<K> = Box<dyn Fn(K) -> BoxFuture<TokenProviderBuilder> + Send + Sync>;

pub(super) struct Shared<K> {
    pub(super) build: Build<K>,
    pub(super) entries: Entries<K>,
}

#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) name: Arc<str>,
    pub(super) most: usize,
    pub(super) idle_timeout: Duration,
    pub(super) deadline: Duration,
}
