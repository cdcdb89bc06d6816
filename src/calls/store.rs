//! Calls of the store, each with a quarter of the exchange timeout.

use std::future::Future;
use std::time::Duration;

use super::unchecked_error::Unchecked;
use super::user_code::UserCode;
use crate::error::{Error, ErrorKind};
use crate::store::{Lease, Record, Stored, Version};
use crate::unwind::caught;

/// Drops a lease, which is user code.
pub(crate) fn give_back(lease: Option<Lease>) {
    caught(|| drop(lease));
}

impl UserCode {
    pub(crate) async fn load(&self) -> Result<Option<Stored>, Unchecked> {
        self.in_time(self.store.load()).await
    }

    pub(crate) async fn save(
        &self,
        record: &Record,
        version: Option<&Version>,
    ) -> Result<Version, Unchecked> {
        self.in_time(self.store.store(record, version)).await
    }

    pub(crate) async fn lease(&self, at_most: Duration) -> Result<Option<Lease>, Unchecked> {
        self.in_time(self.store.lease(at_most)).await
    }

    pub(crate) async fn renew(&self, lease: &Lease, at_most: Duration) -> Result<bool, Unchecked> {
        self.in_time(self.store.renew(lease, at_most)).await
    }

    /// Waits until the store's content may have changed.
    pub(crate) async fn store_changed(&self) {
        self.store.changed().await;
    }

    async fn in_time<T>(
        &self,
        call: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Unchecked> {
        let limit = self.limit / 4;
        let outcome = tokio::time::timeout(limit, call).await;
        let outcome = outcome.unwrap_or_else(|_| {
            let text = format!("the token store did not answer within {limit:?}");
            Err(Error::own(ErrorKind::Store, text))
        });
        Ok(outcome?)
    }
}
