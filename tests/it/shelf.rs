//! A store that other hands reach into, and that can be jammed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use everbearer::{Error, Lease, LongTermToken, MemoryStore, Record, Stored, TokenStore, Version};

#[derive(Clone, Debug, Default)]
pub(crate) struct Shelf {
    store: MemoryStore,
    unreadable: Arc<AtomicBool>,
    unwritable: Arc<AtomicBool>,
}

impl Shelf {
    /// From now on it refuses to be read and written; or no longer.
    pub(crate) fn jam(&self, is_jammed: bool) {
        self.unreadable.store(is_jammed, Ordering::SeqCst);
        self.refuse_writes(is_jammed);
    }

    pub(crate) fn refuse_writes(&self, refuses: bool) {
        self.unwritable.store(refuses, Ordering::SeqCst);
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
impl TokenStore for Shelf {
    async fn load(&self) -> Result<Option<Stored>, Error> {
        if self.unreadable.load(Ordering::SeqCst) {
            return Err(Error::store("the drawer is jammed"));
        }
        self.store.load().await
    }

    async fn store(&self, record: &Record, expected: Option<&Version>) -> Result<Version, Error> {
        if self.unwritable.load(Ordering::SeqCst) {
            return Err(Error::store("the drawer is jammed"));
        }
        self.store.store(record, expected).await
    }

    async fn changed(&self) {
        self.store.changed().await;
    }

    async fn lease(&self) -> Result<Option<Lease>, Error> {
        self.store.lease().await
    }
}
