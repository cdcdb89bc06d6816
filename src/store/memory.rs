//! A store in memory.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;

use super::{Lease, Record, Stored, TokenStore, Version};
use crate::error::Error;

/// Keeps the record in memory, for providers of one process that share a long-term token, and for tests. A
/// clone is another handle to the same record. A provider that shares its long-term token with no other provider needs
/// no store.
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
    shared: Arc<Shared>,
    /// How many writes this handle has seen.
    seen: AtomicU64,
}

#[derive(Debug, Default)]
struct Shared {
    kept: Mutex<Kept>,
    written: Notify,
}

#[derive(Debug, Default)]
struct Kept {
    record: Option<Record>,
    is_leased: bool,
    writes: u64,
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
        Self {
            shared: Arc::default(),
            seen: AtomicU64::new(0),
        }
    }

    /// Notes that this handle has seen the content. Returns whether there is a write that it had not seen.
    fn see(&self, kept: &Kept) -> bool {
        self.seen.swap(kept.writes, Ordering::SeqCst) != kept.writes
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
            shared: Arc::clone(&self.shared),
            seen: AtomicU64::new(self.seen.load(Ordering::SeqCst)),
        }
    }
}

impl Kept {
    fn version(&self) -> Option<Version> {
        let record = self.record.as_ref();
        record.map(|_| Version::new(self.writes.to_string()))
    }
}

#[async_trait]
impl TokenStore for MemoryStore {
    async fn load(&self) -> Result<Option<Stored>, Error> {
        let kept = self.shared.lock();
        self.see(&kept);
        let stored = kept.record.clone().zip(kept.version());
        Ok(stored.map(|(record, version)| Stored::new(record, version)))
    }

    async fn store(&self, record: &Record, expected: Option<&Version>) -> Result<Version, Error> {
        let mut kept = self.shared.lock();
        if kept.version().as_ref() != expected {
            return Err(Error::conflict());
        }
        kept.record = Some(record.clone());
        kept.writes += 1;
        self.see(&kept);
        self.shared.written.notify_waiters();
        Ok(Version::new(kept.writes.to_string()))
    }

    async fn changed(&self) {
        loop {
            // Registers before it looks, so that no write is missed.
            let written = self.shared.written.notified();
            if self.see(&self.shared.lock()) {
                return;
            }
            written.await;
        }
    }

    async fn lease(&self, _: Duration) -> Result<Option<Lease>, Error> {
        let mut kept = self.shared.lock();
        if std::mem::replace(&mut kept.is_leased, true) {
            return Ok(None);
        }
        Ok(Some(Lease::new(Leased(Arc::clone(&self.shared)))))
    }
}

struct Leased(Arc<Shared>);

impl Drop for Leased {
    fn drop(&mut self) {
        self.0.lock().is_leased = false;
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
