//! The token file, which is also read again when somebody asks for it.

use std::sync::Arc;

use async_trait::async_trait;
use everbearer::{Error, FileStore, Lease, Record, Stored, TokenStore, Version};
use tokio::sync::Notify;

/// A store that is looked at again after each nudge. A changed file is noticed without it.
#[derive(Debug)]
pub(crate) struct Nudged {
    store: FileStore,
    nudge: Arc<Notify>,
}

impl Nudged {
    pub(crate) fn new(store: FileStore, nudge: Arc<Notify>) -> Self {
        Self { store, nudge }
    }
}

#[async_trait]
impl TokenStore for Nudged {
    async fn load(&self) -> Result<Option<Stored>, Error> {
        self.store.load().await
    }

    async fn store(&self, record: &Record, expected: Option<&Version>) -> Result<Version, Error> {
        self.store.store(record, expected).await
    }

    async fn changed(&self) {
        tokio::select! {
            () = self.store.changed() => {}
            () = self.nudge.notified() => {}
        }
    }

    async fn lease(&self) -> Result<Option<Lease>, Error> {
        self.store.lease().await
    }
}
