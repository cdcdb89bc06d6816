//! Where a long-term token survives a restart: one record, replaced as a whole.

mod codec;
#[cfg(all(unix, feature = "file-store"))]
mod file;
mod json;
mod memory;
mod record;

use std::any::Any;
use std::fmt;

use async_trait::async_trait;

#[cfg(all(unix, feature = "file-store"))]
pub use file::FileStore;
#[cfg(all(unix, feature = "sealed"))]
pub use file::SealingKey;
pub use memory::MemoryStore;
pub use record::Record;
pub(crate) use record::{Dated, Retiring};

use crate::error::Error;

/// Keeps one [`Record`]: the long-term token, and how far its rotation has come.
///
/// [`MemoryStore`] keeps it for the life of the process, `FileStore` in a file. Implement it for
/// a database or a secret manager: [`Record::encode`] and [`Record::decode`] turn a record into
/// text and back.
///
/// Whoever shares a store shares the long-term token: it is rotated once, by whoever has the
/// [lease](Self::lease), and the others take up what was stored.
///
/// # Examples
///
/// ```
/// use everbearer::{LongTermToken, MemoryStore, Record, TokenStore};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), everbearer::Error> {
/// let store = MemoryStore::new();
/// let record = Record::from(LongTermToken::new("lt_0d51e9bd2f6449cf")?);
/// let version = store.store(&record, None).await?;
///
/// // Whoever saw an older version than the one that is there overwrites nothing.
/// assert!(store.store(&record, None).await.is_err());
/// store.store(&record, Some(&version)).await?;
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait TokenStore: Send + Sync + 'static {
    /// What is kept, or `None` if nothing was stored yet.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Store`](crate::ErrorKind::Store) if it cannot be read, or holds no whole
    /// record. The provider keeps what it has, and tries again.
    async fn load(&self) -> Result<Option<Stored>, Error>;

    /// Puts this record in the place of the one of the `expected` version, or of nothing. When it
    /// returns, the record survives a loss of power, as far as the store can promise that.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Conflict`](crate::ErrorKind::Conflict) if another version is there: nothing
    /// was written. [`ErrorKind::Store`](crate::ErrorKind::Store) if it cannot be written; what
    /// was there before must still be whole then.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped, either the old or the new record is there.
    async fn store(&self, record: &Record, expected: Option<&Version>) -> Result<Version, Error>;

    /// Waits until what is kept may have changed by another hand. It may return too often, but
    /// should not return for a write of this store's own.
    ///
    /// The default never returns: the provider then looks when the auth server refuses its token.
    ///
    /// # Cancel safety
    ///
    /// A change that comes while nobody waits is told to the next who does.
    async fn changed(&self) {
        std::future::pending::<()>().await;
    }

    /// The right to rotate what is kept, or `None` if somebody else has it at this moment. It
    /// must come back by itself when its holder dies.
    ///
    /// The default gives it to everybody, which is right where nobody shares the store.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Store`](crate::ErrorKind::Store) if that cannot be found out.
    async fn lease(&self) -> Result<Option<Lease>, Error> {
        Ok(Some(Lease::new(())))
    }
}

/// A record as it was loaded.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Stored {
    /// What is kept.
    pub record: Record,
    /// Which version of it this is.
    pub version: Version,
}

impl Stored {
    /// This record, in this version.
    pub const fn new(record: Record, version: Version) -> Self {
        Self { record, version }
    }
}

/// Tells one version of what is kept from all others: a counter, a revision, a hash. No secret.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Version(String);

impl Version {
    /// The version of this name.
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// Its name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The right to rotate, held until it is dropped.
#[must_use = "a lease that is dropped is given back"]
pub struct Lease {
    _guard: Box<dyn Any + Send + Sync>,
}

impl Lease {
    /// A lease that is given back by dropping this guard.
    pub fn new(guard: impl Any + Send + Sync) -> Self {
        Self {
            _guard: Box::new(guard),
        }
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lease(..)")
    }
}
