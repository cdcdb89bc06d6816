//! The store of a provider that was built without one.

use std::sync::{Arc, LazyLock};

use async_trait::async_trait;

use super::{Record, Stored, TokenStore, Version};
use crate::error::Error;

/// Discards each record. The provider keeps the long-term token in memory, and never reads this store.
#[derive(Debug)]
pub(crate) struct NoStore;

impl NoStore {
    /// Returns the store that all providers without one share.
    pub(crate) fn shared() -> Arc<Self> {
        static SHARED: LazyLock<Arc<NoStore>> = LazyLock::new(|| Arc::new(NoStore));
        Arc::clone(&SHARED)
    }
}

#[async_trait]
impl TokenStore for NoStore {
    async fn load(&self) -> Result<Option<Stored>, Error> {
        Ok(None)
    }

    async fn store(&self, _: &Record, _: Option<&Version>) -> Result<Version, Error> {
        Ok(Version::new(String::new()))
    }
}
