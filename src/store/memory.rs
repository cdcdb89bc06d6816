//! A store in memory.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;

use super::{Lease, Record, Stored, TokenStore, Version};
use crate::error::Error;

/// Keeps the record in memory, for providers of one process that share a long-term token, and for tests. A
/// clone is another handle to the same record.
///
/// A provider without a store uses a `MemoryStore` of its own.
///
/// # Examples
///
/// ```
/// use everbearer::{LongTermToken, MemoryStore, Record, TokenStore};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), everbearer::Error> {
/// let store = MemoryStore::new();
/// store.store(&Record::from(LongTermToken::new("lt_0d51e9bd2f6449cf")?), None).await?;
/// assert!(store.clone().load().await?.is_some());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct MemoryStore {
    kept: Arc<Mutex<Kept>>,
    /// The number of writes, and how many of them this handle has seen.
    writes: Mutex<watch::Receiver<u64>>,
}

#[derive(Debug)]
struct Kept {
    record: Option<Record>,
    is_leased: bool,
    writes: watch::Sender<u64>,
}

impl MemoryStore {
    /// Creates an empty store.
    ///
    /// # Examples
    ///
    /// ```
    /// use everbearer::{MemoryStore, TokenStore};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), everbearer::Error> {
    /// assert!(MemoryStore::new().load().await?.is_none());
    /// # Ok(())
    /// # }
    /// ```
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

    /// Returns the content, and notes that this handle has seen it.
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

    async fn lease(&self, _: Duration) -> Result<Option<Lease>, Error> {
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
