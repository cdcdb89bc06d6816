//! A store for the life of the process.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::sync::watch;

use super::{Lease, Record, Stored, TokenStore, Version};
use crate::error::Error;

/// Keeps the record in memory: for providers of one process that share a long-term token, and for
/// tests. A clone is another handle to the same record.
///
/// A provider that was given no store has one of these to itself.
#[derive(Debug)]
pub struct MemoryStore {
    kept: Arc<Mutex<Kept>>,
    /// Counts the writes. What this handle has seen of them is its own.
    writes: Mutex<watch::Receiver<u64>>,
}

#[derive(Debug)]
struct Kept {
    record: Option<Record>,
    is_leased: bool,
    writes: watch::Sender<u64>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        let (sender, receiver) = watch::channel(0);
        Self {
            kept: Arc::new(Mutex::new(Kept {
                record: None,
                is_leased: false,
                writes: sender,
            })),
            writes: Mutex::new(receiver),
        }
    }

    /// What is there, all of which this handle has seen from now on.
    fn look(&self) -> MutexGuard<'_, Kept> {
        let kept = lock(&self.kept);
        drop(lock(&self.writes).borrow_and_update());
        kept
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl Clone for MemoryStore {
    fn clone(&self) -> Self {
        Self {
            kept: Arc::clone(&self.kept),
            writes: Mutex::new(lock(&self.writes).clone()),
        }
    }
}

impl Kept {
    fn version(&self) -> Option<Version> {
        let writes = *self.writes.borrow();
        self.record
            .as_ref()
            .map(|_| Version::new(writes.to_string()))
    }
}

#[async_trait]
impl TokenStore for MemoryStore {
    async fn load(&self) -> Result<Option<Stored>, Error> {
        let kept = self.look();
        let stored = kept.record.clone().zip(kept.version());
        Ok(stored.map(|(record, version)| Stored::new(record, version)))
    }

    async fn store(&self, record: &Record, expected: Option<&Version>) -> Result<Version, Error> {
        let mut kept = lock(&self.kept);
        if kept.version().as_ref() != expected {
            return Err(Error::conflict());
        }
        kept.record = Some(record.clone());
        kept.writes.send_modify(|writes| *writes += 1);
        drop(lock(&self.writes).borrow_and_update());
        Ok(Version::new(kept.writes.borrow().to_string()))
    }

    async fn changed(&self) {
        let mut writes = lock(&self.writes).clone();
        if writes.changed().await.is_ok() {
            drop(lock(&self.writes).borrow_and_update());
        }
    }

    async fn lease(&self) -> Result<Option<Lease>, Error> {
        let mut kept = lock(&self.kept);
        if std::mem::replace(&mut kept.is_leased, true) {
            return Ok(None);
        }
        Ok(Some(Lease::new(Leased(Arc::clone(&self.kept)))))
    }
}

struct Leased(Arc<Mutex<Kept>>);

impl Drop for Leased {
    fn drop(&mut self) {
        lock(&self.0).is_leased = false;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
