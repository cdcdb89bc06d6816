//! A store in a file, which several processes may share.

mod content;
mod failure;
mod fence;
mod lock;
mod read;
#[cfg(feature = "sealed")]
mod seal;
mod seen;
mod target;
mod token_file;
mod watch;
mod write;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::runtime::Handle;

#[cfg(feature = "sealed")]
pub use seal::SealingKey;

use self::content::Content;
use self::failure::{no_runtime, not_done};
use self::fence::Fence;
use self::seen::Seen;
use self::token_file::TokenFile;
use self::watch::Watch;
use super::{Lease, Record, Stored, TokenStore, Version};
use crate::error::Error;
use crate::observe;

/// Keeps the record in a file, so that a long-term token survives a restart. It exists on Unix, with the
/// feature `file-store`.
///
/// A store notices changes for one provider. Give each provider its own store, on the same path.
///
/// # Reading
///
/// The store reads the JSON that it writes, or a text that is only a token, as agents and Kubernetes write
/// it. It follows symlinks. If there is no file, nothing is stored yet.
///
/// It refuses a file that is larger than 256 KiB, or that another user can replace, by the rules of
/// [`SecretSource::file`](crate::SecretSource::file). It also refuses JSON of its own that users other than
/// the owner can access. It reads a token that another program wrote and that other users can read, and logs
/// one warning.
///
/// # Writing
///
/// The store writes a new file of mode 0600, and replaces the old file in one step after the new one is on
/// the disk. So after a crash of the process or the machine, the file holds either the old or the new record.
/// Behind a symlink, the store replaces the file that the symlink points at.
///
/// Other users must not be able to create files in the directory. Give the store its own directory, such as
/// systemd's `StateDirectory=`.
///
/// The store finishes a write even if its future is dropped. A tokio runtime that is dropped waits for the
/// write, unless it is ended by `shutdown_background` or `shutdown_timeout`.
///
/// # Locks
///
/// The store locks the file `<name>.lock` during a write, and `<name>.lease` while the process holds the
/// lease. The store removes neither; the second one contains the number of the last lease. The kernel releases a lock
/// when its holder dies. The next write removes a `.<name>.<number>.tmp` that a killed process left behind.
///
/// The locks are `flock`s. They work between the processes of one machine, and over NFS if the client and the
/// server run Linux.
///
/// # Changes
///
/// The store notices a change by another process at once if the system reports it, and otherwise within 10
/// seconds, such as on a network file system, or behind a symlink that leads out of the directory.
///
/// # Examples
///
/// ```
/// use everbearer::{FileStore, LongTermToken, Record, TokenStore};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("token");
/// // let path = "/var/lib/nightly/token";
/// let store = FileStore::new(&path);
/// assert!(store.load().await?.is_none());
///
/// store.store(&Record::from(LongTermToken::new("lt_0d51e9bd")?), None).await?;
///
/// let again = FileStore::new(&path).load().await?.ok_or("no token")?;
/// assert_eq!(again.record.current().expose(), "lt_0d51e9bd");
/// # Ok(())
/// # }
/// ```
pub struct FileStore {
    file: TokenFile,
    kept: Arc<Kept>,
}

/// The state of the store between calls.
#[derive(Default)]
struct Kept {
    seen: Seen,
    watch: Watch,
    fence: Arc<Fence>,
    /// Whether the warning that other users can read the file was logged.
    is_exposure_logged: AtomicBool,
}

impl FileStore {
    /// Creates a store in the file at this path. It reads and writes nothing yet. A relative path is resolved
    /// in the directory that is current now.
    ///
    /// # Examples
    ///
    /// ```
    /// let store = everbearer::FileStore::new("/var/lib/nightly/token");
    /// ```
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            file: TokenFile::new(path.into()),
            kept: Arc::default(),
        }
    }

    /// Sets whether the store reads a record that the group of the file can also read. Default: false.
    ///
    /// A volume of Kubernetes needs this: for a pod with an `fsGroup`, Kubernetes gives the group access to
    /// all files. The store still refuses a record that other users can read or that the group can write, and
    /// writes with mode 0600.
    ///
    /// ```
    /// let store = everbearer::FileStore::new("/var/lib/nightly/token").accept_group_readable(true);
    /// ```
    #[must_use]
    pub fn accept_group_readable(mut self, accept: bool) -> Self {
        self.file.group_may_read = accept;
        self
    }

    /// Disables the checks of owners and modes, for file systems without modes, such as under WSL, and for
    /// directories of another user that you trust.
    ///
    /// ```
    /// let store = everbearer::FileStore::new("/mnt/c/nightly/token").skip_permission_checks();
    /// ```
    #[must_use]
    pub fn skip_permission_checks(mut self) -> Self {
        self.file.checked = false;
        self
    }

    /// Sets the key with which the store encrypts what it writes and decrypts what it reads. It exists with
    /// the feature `sealed`.
    ///
    /// The store also reads a file that is not encrypted, and encrypts it with the next write. Encryption
    /// protects the token in copies of the file: in a backup, on a disk, or in the snapshot of a volume. The
    /// key must therefore be kept elsewhere.
    ///
    /// # Examples
    ///
    /// ```
    /// use everbearer::{FileStore, LongTermToken, Record, SealingKey, TokenStore};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("token");
    /// // Created with `openssl rand -base64 32`.
    /// let key = SealingKey::parse("Ca7vXn6mB1xvUe5J9sSYt0hP3kQzR8wDfL2gTiOyM4c=")?;
    /// let store = FileStore::new(&path).sealed_with(key);
    /// store.store(&Record::from(LongTermToken::new("lt_0d51e9bd")?), None).await?;
    ///
    /// assert!(std::fs::read_to_string(&path)?.starts_with("everbearer-sealed-1:"));
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "sealed")]
    #[must_use]
    pub fn sealed_with(mut self, key: SealingKey) -> Self {
        self.file.key = Some(key);
        self
    }

    /// Runs this work on a blocking thread. It runs to its end also if the future is dropped.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&TokenFile, &Kept) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let runtime = Handle::try_current().map_err(no_runtime)?;
        let (file, kept) = (self.file.clone(), Arc::clone(&self.kept));
        let done = runtime.spawn_blocking(move || work(&file, &kept));
        done.await.map_err(not_done)?
    }
}

#[async_trait]
impl TokenStore for FileStore {
    async fn load(&self) -> Result<Option<Stored>, Error> {
        let loaded = self.run(|file, kept| file.load(&kept.seen)).await?;
        if let Some(mode) = loaded.exposed
            && !self.kept.is_exposure_logged.swap(true, Ordering::Relaxed)
        {
            // Logged here and not on the blocking thread, so that the span names the provider.
            observe::log_exposed_file(self.file.path(), mode);
        }
        Ok(loaded.stored)
    }

    /// Replaces the file. A write that has begun continues if the future is dropped, so the file holds either the old
    /// or the new record.
    async fn store(&self, record: &Record, expected: Option<&Version>) -> Result<Version, Error> {
        let (text, expected) = (record.encode(), expected.cloned());
        self.run(move |file, kept| file.replace(&text, expected.as_ref(), &kept.seen, &kept.fence))
            .await
    }

    /// Returns, once for each change, when the content of the file differs from what this store has loaded or written.
    /// Only one caller can wait at a time.
    async fn changed(&self) {
        let begun = self.run(|file, kept| Ok(kept.watch.begin(file.path())));
        if let Ok(Some(error)) = begun.await {
            observe::log_unwatched(self.file.path(), &error);
        }
        loop {
            let Ok(change) = self
                .run(|file, kept| Ok(kept.seen.look(|| Content::from(&file.content()))))
                .await
            else {
                // The runtime is shutting down, and drops this future.
                return std::future::pending().await;
            };
            // Noted here and not on the blocking thread, which continues if this future is dropped.
            if change.is_some_and(|change| self.kept.seen.tell(change)) {
                return;
            }
            self.kept.watch.next().await;
        }
    }

    /// Locks a file beside the record, which the kernel unlocks when this process ends. The lease therefore lasts as long as
    /// its holder lives, also while it is stopped. Each lease has a number, which is kept in that file.
    async fn lease(&self, _: Duration) -> Result<Option<Lease>, Error> {
        self.run(|file, kept| file.lease(&kept.fence)).await
    }
}

impl fmt::Debug for FileStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileStore")
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}
