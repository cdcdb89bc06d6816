//! A store that other hands reach into, and that can be jammed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use everbearer::{Error, Lease, LongTermToken, MemoryStore, Record, Stored, TokenStore, Version};

#[derive(Clone, Debug)]
pub(crate) struct SharedMemoryStore {
    store: MemoryStore,
    unreadable: Arc<AtomicBool>,
    /// So many writes are still taken.
    writes: Arc<AtomicU32>,
    /// So many milliseconds pass between a write and its answer.
    slowness: Arc<AtomicU64>,
    is_blind: bool,
}

impl Default for SharedMemoryStore {
    fn default() -> Self {
        Self {
            store: MemoryStore::new(),
            unreadable: Arc::default(),
            writes: Arc::new(AtomicU32::new(u32::MAX)),
            slowness: Arc::default(),
            is_blind: false,
        }
    }
}

impl SharedMemoryStore {
    /// The same, as another process has it.
    pub(crate) fn another_hand(&self) -> Self {
        self.clone()
    }

    /// The same, for one who is told of no change.
    pub(crate) fn blind(&self) -> Self {
        let mut shared_store = self.clone();
        shared_store.is_blind = true;
        shared_store
    }

    /// From now on it refuses to be read and written; or no longer.
    pub(crate) fn jam(&self, is_jammed: bool) {
        self.unreadable.store(is_jammed, Ordering::SeqCst);
        self.refuse_writes(is_jammed);
    }

    pub(crate) fn refuse_writes(&self, refuses: bool) {
        self.refuse_writes_after(if refuses { 0 } else { u32::MAX });
    }

    pub(crate) fn refuse_writes_after(&self, writes: u32) {
        self.writes.store(writes, Ordering::SeqCst);
    }

    /// From now on each write is answered so much later than it is done.
    pub(crate) fn slow_down(&self, by: Duration) {
        let millis = u64::try_from(by.as_millis()).unwrap();
        self.slowness.store(millis, Ordering::SeqCst);
    }

    /// Another hand puts this text there, whatever was there.
    pub(crate) async fn put_text(&self, text: &str) {
        self.put(&Record::decode(text).unwrap()).await;
    }

    /// Another hand puts this token there, whatever was there.
    pub(crate) async fn hand_in(&self, token: &str) {
        let token = LongTermToken::builder(token).token_id(token).build();
        self.put(&Record::from(token.unwrap())).await;
    }

    pub(crate) async fn put(&self, record: &Record) {
        let hand = self.store.clone();
        let version = hand.load().await.unwrap().map(|stored| stored.version);
        hand.store(record, version.as_ref()).await.unwrap();
    }

    /// What is there, as text.
    pub(crate) async fn text(&self) -> String {
        let stored = self.store.clone().load().await.unwrap();
        stored.map_or(String::new(), |stored| {
            stored.record.encode().expose().to_owned()
        })
    }

    /// The token in use.
    pub(crate) async fn current(&self) -> String {
        let stored = self.store.clone().load().await.unwrap();
        stored.unwrap().record.current().expose().to_owned()
    }
}

#[async_trait::async_trait]
impl TokenStore for SharedMemoryStore {
    async fn load(&self) -> Result<Option<Stored>, Error> {
        if self.unreadable.load(Ordering::SeqCst) {
            return Err(Error::store("the drawer is jammed"));
        }
        self.store.load().await
    }

    async fn store(&self, record: &Record, expected: Option<&Version>) -> Result<Version, Error> {
        let left = |left: u32| left.checked_sub(1);
        let taken = self
            .writes
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, left);
        if taken.is_err() {
            return Err(Error::store("the drawer is jammed"));
        }
        let outcome = self.store.store(record, expected).await;
        let slowness = self.slowness.load(Ordering::SeqCst);
        if slowness > 0 {
            tokio::time::sleep(Duration::from_millis(slowness)).await;
        }
        outcome
    }

    async fn changed(&self) {
        if self.is_blind {
            std::future::pending::<()>().await;
        }
        self.store.changed().await;
    }

    async fn lease(&self, at_most: Duration) -> Result<Option<Lease>, Error> {
        self.store.lease(at_most).await
    }
}
