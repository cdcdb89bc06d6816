//! A store in one file, which several processes may share.

mod content;
mod failure;
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

use async_trait::async_trait;
use tokio::runtime::Handle;

#[cfg(feature = "sealed")]
pub use seal::SealingKey;

use self::content::Content;
use self::failure::{no_runtime, not_done};
use self::seen::Seen;
use self::token_file::TokenFile;
use self::watch::Watch;
use super::{Lease, Record, Stored, TokenStore, Version};
use crate::error::Error;
use crate::observe;

/// Keeps the record in a file, so that a long-term token survives a restart. On unix, behind the
/// feature `file-store`.
///
/// **What is read.** The JSON that this store writes, or a text that is nothing but a token, as
/// agents and Kubernetes write it. Symlinks are followed. No file means: nothing stored yet. The store refuses
/// a file that is larger than 256 KiB, or that another user can replace, by the rules of
/// [`SecretSource::file`](crate::SecretSource::file). It also refuses JSON of its own to which others than the
/// owner have a right. A token that another program wrote and that others may read is read, with one warning
/// in the log.
///
/// **What is written.** A new file of mode 0600 that takes the old one's place in one step, once it
/// is on the disk: whenever the process or the machine dies, the old or the new record is there as a
/// whole. Behind a symlink, the file that it points at is replaced. The directory must be
/// one in which other users cannot create files: give the store a directory of its own, such as systemd's
/// `StateDirectory=`.
///
/// **Beside it** lie `<name>.lock`, which is locked for the length of a write, and `<name>.lease`,
/// for as long as somebody has the lease. Both are empty and stay there; the kernel takes a lock
/// back when its holder dies. A `.<name>.<number>.tmp` that a killed process left behind goes with
/// the next write. The locks are `flock`s: they hold between the processes of one machine, and
/// over NFS if it is Linux on both sides.
///
/// **Changes** by another hand are noticed at once where the system tells of them, and otherwise
/// within 10 seconds: on a network file system, for example, and behind a symlink that leads out
/// of the directory.
///
/// A write that was begun is finished, also when nobody waits for it any more: a tokio runtime that
/// is dropped waits for it, unless it is ended by `shutdown_background` or `shutdown_timeout`.
///
/// A store notices changes for one provider. Give each provider a store of its own, on the same
/// path.
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

/// What the store remembers from one call to the next.
#[derive(Default)]
struct Kept {
    seen: Seen,
    watch: Watch,
    /// Whether it was logged that others may read the file.
    is_exposure_logged: AtomicBool,
}

impl FileStore {
    /// A store in the file of this name. Nothing is read or written yet. A relative path is taken
    /// from the directory that is current now.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            file: TokenFile::new(path.into()),
            kept: Arc::default(),
        }
    }

    /// Whether to read a record that its group may read, too. A volume of Kubernetes needs this: for a pod
    /// with an `fsGroup`, Kubernetes gives the group a right to all files. The store still refuses a record that other
    /// users can read, or that the group can write, and writes with mode 0600.
    /// Default: false.
    #[must_use]
    pub fn accept_group_readable(mut self, accept: bool) -> Self {
        self.file.group_may_read = accept;
        self
    }

    /// Skips the checks of owners and modes: for file systems without modes, as under WSL, and for directories of
    /// another user who is trusted.
    #[must_use]
    pub fn skip_permission_checks(mut self) -> Self {
        self.file.checked = false;
        self
    }

    /// Seals what is written with this key, and opens what is read. A file that is not sealed is
    /// read as well, and sealed with the next write. Behind the feature `sealed`.
    ///
    /// This keeps the token from whoever comes by the file alone: a backup, a disk, a volume's
    /// snapshot. The key must come from elsewhere.
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
    /// // Made with `openssl rand -base64 32`.
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

    /// Does this on a thread that may block. It runs to its end even if nobody waits any more.
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
            // Here and not on the thread that may block, so that the span names the provider.
            observe::log_exposed_file(self.file.path(), mode);
        }
        Ok(loaded.stored)
    }

    /// Once it has begun, a write goes on to its end when the future is dropped: then, too, either
    /// the old or the new record is there.
    async fn store(&self, record: &Record, expected: Option<&Version>) -> Result<Version, Error> {
        let (text, expected) = (record.encode(), expected.cloned());
        self.run(move |file, kept| file.replace(&text, expected.as_ref(), &kept.seen))
            .await
    }

    /// Returns when the file's content is another than what this store has loaded or written, once
    /// for each change. It waits for one caller at a time.
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
                // The runtime is going away, and this future with it.
                return std::future::pending().await;
            };
            // Here and not where it was found, for that goes on when this future is dropped.
            if change.is_some_and(|change| self.kept.seen.tell(change)) {
                return;
            }
            self.kept.watch.next().await;
        }
    }

    async fn lease(&self) -> Result<Option<Lease>, Error> {
        self.run(|file, _| file.lease()).await
    }
}

impl fmt::Debug for FileStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileStore")
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}
