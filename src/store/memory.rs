//! A store for the life of the process.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tokio::sync::Notify;

use super::{Lease, Record, Stored, TokenStore, Version};
use crate::error::Error;

/// Keeps the record in memory: for providers of one process that share a long-term token, and for
/// tests. A clone is another handle to the same record.
///
/// A provider that was given no store has one of these to itself.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    kept: Arc<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    slot: Mutex<Slot>,
    lease: Arc<tokio::sync::Mutex<()>>,
    written: Notify,
}

#[derive(Debug, Default)]
struct Slot {
    record: Option<Record>,
    writes: u64,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Slot {
    fn version(&self) -> Option<Version> {
        let version = Version::new(self.writes.to_string());
        self.record.as_ref().map(|_| version)
    }
}

#[async_trait]
impl TokenStore for MemoryStore {
    async fn load(&self) -> Result<Option<Stored>, Error> {
        let slot = self
            .kept
            .slot
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let stored = slot.record.clone().zip(slot.version());
        Ok(stored.map(|(record, version)| Stored::new(record, version)))
    }

    async fn store(&self, record: &Record, expected: Option<&Version>) -> Result<Version, Error> {
        let version = {
            let mut slot = self
                .kept
                .slot
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            if slot.version().as_ref() != expected {
                return Err(Error::conflict());
            }
            slot.record = Some(record.clone());
            slot.writes += 1;
            Version::new(slot.writes.to_string())
        };
        self.kept.written.notify_waiters();
        Ok(version)
    }

    /// Also returns for writes of this process: they may be another provider's.
    async fn changed(&self) {
        self.kept.written.notified().await;
    }

    async fn lease(&self) -> Result<Option<Lease>, Error> {
        let guard = Arc::clone(&self.kept.lease).try_lock_owned();
        Ok(guard.ok().map(Lease::new))
    }
}
