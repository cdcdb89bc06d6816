//! Stores, which keep the long-term token over a restart, in one record that is replaced as a whole.

mod codec;
#[cfg(all(unix, feature = "file-store"))]
mod file;
mod json;
mod memory;
mod nowhere;
mod record;

use std::any::Any;
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

#[cfg(all(unix, feature = "file-store"))]
pub use file::FileStore;
#[cfg(all(unix, feature = "sealed"))]
pub use file::SealingKey;
pub use memory::MemoryStore;
pub(crate) use nowhere::NoStore;
pub use record::Record;
pub(crate) use record::{Dated, Retiring, Rotation};

use crate::error::Error;

/// Keeps one [`Record`]: the long-term token and the progress of its rotation.
///
/// [`MemoryStore`] keeps the record while the process runs, and `FileStore` keeps it in a file. Implement the
/// trait for a database or a secret manager: [`Record::encode`] and [`Record::decode`] convert a record to
/// text and back.
///
/// Providers that share a store share the long-term token. Only the provider that holds the
/// [lease](Self::lease) rotates it, and the others load the token that it has stored.
///
/// A store must not wait for a token of the provider that uses it: such a call returns
/// [`ErrorKind::Config`](crate::ErrorKind::Config).
///
/// # Examples
///
/// A store in a database, in a table with one row that has a revision:
///
/// ```
/// use everbearer::{Error, Record, Stored, TokenStore, Version, async_trait};
///
/// struct DatabaseStore {
///     row: Row,
/// }
///
/// #[async_trait]
/// impl TokenStore for DatabaseStore {
///     async fn load(&self) -> Result<Option<Stored>, Error> {
///         let Some((text, revision)) = self.row.select().await.map_err(Error::store)? else {
///             return Ok(None);
///         };
///         Ok(Some(Stored::new(Record::decode(&text)?, Version::new(revision))))
///     }
///
///     async fn store(&self, record: &Record, expected: Option<&Version>) -> Result<Version, Error> {
///         let text = record.encode();
///         // UPDATE ... SET record = $1, revision = revision + 1 WHERE revision = $2
///         let updated = self.row.update(text.expose(), expected.map(Version::as_str)).await;
///         let revision = updated.map_err(Error::store)?;
///         revision.map(Version::new).ok_or_else(Error::conflict)
///     }
/// }
/// # #[derive(Default)]
/// # struct Row(std::sync::Mutex<Option<(String, u64)>>);
/// # impl Row {
/// #     async fn select(&self) -> Result<Option<(String, String)>, std::io::Error> {
/// #         let row = self.0.lock().unwrap().clone();
/// #         Ok(row.map(|(text, revision)| (text, revision.to_string())))
/// #     }
/// #     async fn update(&self, text: &str, at: Option<&str>) -> Result<Option<String>, std::io::Error> {
/// #         let mut row = self.0.lock().unwrap();
/// #         let present = row.as_ref().map(|(_, revision)| revision.to_string());
/// #         if present.as_deref() != at { return Ok(None); }
/// #         let next = row.as_ref().map_or(1, |(_, revision)| revision + 1);
/// #         *row = Some((text.to_owned(), next));
/// #         Ok(Some(next.to_string()))
/// #     }
/// # }
///
/// # use everbearer::LongTermToken;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), everbearer::Error> {
/// # let store = DatabaseStore { row: Row::default() };
/// let record = Record::from(LongTermToken::new("lt_0d51e9bd2f6449cf")?);
/// let version = store.store(&record, None).await?;
///
/// // A writer that has an old version overwrites nothing.
/// assert!(store.store(&record, None).await.is_err());
/// store.store(&record, Some(&version)).await?;
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait TokenStore: Send + Sync + 'static {
    /// Returns the stored record, or `None` if nothing was stored yet.
    ///
    /// # Errors
    ///
    /// Returns [`ErrorKind::Store`](crate::ErrorKind::Store) if the record cannot be read or is not complete.
    /// The provider keeps the record that it has, and tries again.
    ///
    /// # Cancel safety
    ///
    /// The provider may drop the future at any await, after a timeout or when its runtime shuts down.
    async fn load(&self) -> Result<Option<Stored>, Error>;

    /// Replaces the record of the `expected` version, or writes the first record if `expected` is `None`, and
    /// returns the new version. When it returns, the record must survive a loss of power, as far as the store
    /// can guarantee that.
    ///
    /// # Errors
    ///
    /// Returns [`ErrorKind::Conflict`](crate::ErrorKind::Conflict) without writing anything if the store
    /// holds another version ([`Error::conflict`] creates that error), and
    /// [`ErrorKind::Store`](crate::ErrorKind::Store) if the record cannot be written, in which case the
    /// previous record must still be complete.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the store must hold either the old or the new record.
    async fn store(&self, record: &Record, expected: Option<&Version>) -> Result<Version, Error>;

    /// Waits until another process may have changed the record. It may return too often, but should not
    /// return after a write of this store itself.
    ///
    /// The default implementation never returns. The provider then reads the store only when the auth server
    /// refuses its token, or when [`TokenProvider::reload`](crate::TokenProvider::reload) is called.
    ///
    /// # Cancel safety
    ///
    /// If the record changes while no call waits, the next call must return.
    ///
    /// # Examples
    ///
    /// ```
    /// use everbearer::{LongTermToken, MemoryStore, Record, TokenStore};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), everbearer::Error> {
    /// let store = MemoryStore::new();
    /// let other = store.clone();
    /// other.store(&Record::from(LongTermToken::new("lt_0d51e9bd2f6449cf")?), None).await?;
    /// store.changed().await;
    /// assert!(store.load().await?.is_some());
    /// # Ok(())
    /// # }
    /// ```
    async fn changed(&self) {
        std::future::pending::<()>().await;
    }

    /// Returns the lease, which is the right to request another long-term token, or `None` if another process holds it.
    ///
    /// The provider holds the lease for at most `at_most`, 90 seconds with the default policies, unless it
    /// [renews](Self::renew) it. The store must take the lease back when its holder dies, and may take it back after
    /// that time. A provider that has no usable token waits for a lease somewhat longer than that, and then goes on
    /// without it: its holder is stopped.
    ///
    /// A store that takes a lease back while its holder lives must refuse with
    /// [`ErrorKind::Conflict`](crate::ErrorKind::Conflict) what that holder [stores](Self::store) later. For that, it
    /// numbers the leases ([`Lease::fenced`]) and remembers the number of its own.
    ///
    /// The default implementation always returns a lease, which is correct if no other process uses the
    /// store.
    ///
    /// # Errors
    ///
    /// Returns [`ErrorKind::Store`](crate::ErrorKind::Store) if the store cannot tell whether the lease is
    /// free.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the lease must become free again.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use everbearer::{MemoryStore, TokenStore};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), everbearer::Error> {
    /// let (store, minute) = (MemoryStore::new(), Duration::from_secs(60));
    /// let lease = store.lease(minute).await?;
    /// assert!(lease.is_some());
    /// assert!(store.clone().lease(minute).await?.is_none());
    /// drop(lease);
    /// assert!(store.lease(minute).await?.is_some());
    /// # Ok(())
    /// # }
    /// ```
    async fn lease(&self, at_most: Duration) -> Result<Option<Lease>, Error> {
        let _ = at_most;
        Ok(Some(Lease::new(())))
    }

    /// Extends the lease to `at_most` from now. Returns false if another process has the lease.
    ///
    /// The default implementation returns true, which is correct for a lease that ends with its holder only.
    ///
    /// # Errors
    ///
    /// Returns [`ErrorKind::Store`](crate::ErrorKind::Store) if the store cannot tell. The provider then gives the
    /// lease back.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the provider gives the lease back.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use everbearer::{MemoryStore, TokenStore};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), everbearer::Error> {
    /// let (store, minute) = (MemoryStore::new(), Duration::from_secs(60));
    /// if let Some(lease) = store.lease(minute).await? {
    ///     assert!(store.renew(&lease, minute).await?);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    async fn renew(&self, lease: &Lease, at_most: Duration) -> Result<bool, Error> {
        let _ = (lease, at_most);
        Ok(true)
    }
}

/// Contains a record as it was loaded, and its version.
///
/// # Examples
///
/// ```
/// use everbearer::{LongTermToken, Record, Stored, Version};
///
/// # fn main() -> Result<(), everbearer::Error> {
/// let record = Record::from(LongTermToken::new("lt_0d51e9bd2f6449cf")?);
/// let stored = Stored::new(record, Version::new("7"));
/// assert_eq!(stored.version.as_str(), "7");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Stored {
    /// The stored record.
    pub record: Record,
    /// The version of the record.
    pub version: Version,
}

impl Stored {
    /// Creates a loaded record from a record and its version.
    ///
    /// # Examples
    ///
    /// ```
    /// use everbearer::{LongTermToken, Record, Stored, Version};
    ///
    /// # fn main() -> Result<(), everbearer::Error> {
    /// let record = Record::from(LongTermToken::new("lt_0d51e9bd2f6449cf")?);
    /// let stored = Stored::new(record, Version::new("7"));
    /// # Ok(())
    /// # }
    /// ```
    pub const fn new(record: Record, version: Version) -> Self {
        Self { record, version }
    }
}

/// Identifies one version of a stored record: a counter, a revision or a hash. It is not a secret.
///
/// # Examples
///
/// ```
/// use everbearer::Version;
///
/// assert_ne!(Version::new("7"), Version::new("8"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Version(String);

impl Version {
    /// Creates a version with this name.
    ///
    /// # Examples
    ///
    /// ```
    /// use everbearer::Version;
    ///
    /// let version = Version::new("7");
    /// ```
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// Returns the name of the version.
    ///
    /// # Examples
    ///
    /// ```
    /// use everbearer::Version;
    ///
    /// assert_eq!(Version::new("7").as_str(), "7");
    /// ```
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Grants the right to request another long-term token for a store, until it is dropped.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use everbearer::{MemoryStore, TokenStore};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), everbearer::Error> {
/// let store = MemoryStore::new();
/// if let Some(lease) = store.lease(Duration::from_secs(60)).await? {
///     // Rotate the token.
///     drop(lease);
/// }
/// # Ok(())
/// # }
/// ```
#[must_use = "a lease that is dropped is given back"]
pub struct Lease {
    _guard: Box<dyn Any + Send + Sync>,
    fence: Option<u64>,
}

impl Lease {
    /// Creates a lease that is released when this guard is dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// use everbearer::Lease;
    ///
    /// struct Unlock;
    ///
    /// impl Drop for Unlock {
    ///     fn drop(&mut self) {
    ///         println!("the lease is free");
    ///     }
    /// }
    ///
    /// let lease = Lease::new(Unlock);
    /// drop(lease);
    /// ```
    pub fn new(guard: impl Any + Send + Sync) -> Self {
        Self {
            _guard: Box::new(guard),
            fence: None,
        }
    }

    /// Creates a lease with a fencing number, which is greater than those of all leases before.
    ///
    /// The provider does not pass the lease to [`TokenStore::store`]. The store remembers the number of the lease that it
    /// has granted last, and compares it in each write with the highest number that any process was granted, so that a
    /// holder that was stopped and has lost the lease overwrites nothing.
    ///
    /// A restart of the store must not reset the number. The greater of the wall clock's microseconds and the last
    /// number plus one is such a number.
    ///
    /// # Examples
    ///
    /// ```
    /// use everbearer::Lease;
    ///
    /// let lease = Lease::fenced((), 1_795_819_383_000_000);
    /// assert_eq!(lease.fence(), Some(1_795_819_383_000_000));
    /// ```
    pub fn fenced(guard: impl Any + Send + Sync, fence: u64) -> Self {
        Self {
            fence: Some(fence),
            ..Self::new(guard)
        }
    }

    /// Returns the fencing number, if the store numbers its leases.
    ///
    /// # Examples
    ///
    /// ```
    /// use everbearer::Lease;
    ///
    /// assert_eq!(Lease::new(()).fence(), None);
    /// ```
    pub const fn fence(&self) -> Option<u64> {
        self.fence
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease")
            .field("fence", &self.fence)
            .finish_non_exhaustive()
    }
}
