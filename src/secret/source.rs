//! Sources of secrets, which are read each time a secret is needed.

use std::fmt;
use std::future::Future;
use std::hash::{BuildHasher as _, RandomState};
use std::path::{Path, PathBuf};
use std::str;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use futures_util::future::BoxFuture;

use super::{Secret, file};
use crate::error::{Error, ErrorKind};
use crate::observe;
use crate::text::without_line_breaks;

/// The longest file that is read, in bytes.
const LONGEST_FILE: usize = 64 * 1024;

/// Reads a secret from a value, an environment variable, a file or a callback.
///
/// Every source but a value is read each time the secret is needed, so that the provider uses a replaced
/// secret from the next time on. The text is zeroized after its use. A byte order mark at the start and line
/// breaks at the end are removed.
///
/// After the auth server has refused a secret, the provider reads the file or variable again every 30
/// seconds. It tries a changed value without waiting for a caller. It does not retry the same
/// value by itself, so that retries lock no account. It does not call a callback again for this.
///
/// Functions that take an `impl Into<SecretSource>` also accept a `&str`, a `String` or a [`Secret`].
///
/// # Examples
///
/// ```
/// use everbearer::{Grant, SecretSource};
///
/// let from_text = Grant::client_secret("client_abc123", "correct-horse");
/// let from_file = Grant::client_secret(
///     "client_abc123",
///     SecretSource::file("/run/secrets/client-secret"),
/// );
/// ```
#[derive(Clone)]
pub struct SecretSource {
    kind: Kind,
    known: Arc<Known>,
    /// Whether the warning that other users can read the file was logged.
    is_exposure_logged: Arc<AtomicBool>,
}

type Callback = dyn Fn() -> BoxFuture<'static, Result<Secret, Error>> + Send + Sync;

#[derive(Clone)]
enum Kind {
    Value(Secret),
    Env(String),
    File {
        path: PathBuf,
        /// Whether a file is refused that another user can replace.
        checked: bool,
    },
    Callback(Arc<Callback>),
}

/// The state of the source from earlier uses. Keyed hashes of the secrets show a change without keeping the
/// secrets.
#[derive(Default)]
struct Known {
    hasher: RandomState,
    /// The hash of the secret that was last used, [`Known::NONE`] or [`Known::UNREADABLE`].
    used: AtomicU64,
    /// The hash of the secret that [`SecretSource::is_new`] last reported.
    reported: AtomicU64,
}

impl Known {
    /// No secret was ever used.
    const NONE: u64 = 0;
    const UNREADABLE: u64 = 1;

    fn hash(&self, secret: &Secret) -> u64 {
        self.hasher
            .hash_one(secret.expose())
            .max(Self::UNREADABLE + 1)
    }
}

impl From<Kind> for SecretSource {
    fn from(kind: Kind) -> Self {
        Self {
            kind,
            known: Arc::default(),
            is_exposure_logged: Arc::default(),
        }
    }
}

impl SecretSource {
    /// Reads the secret from the environment variable of this name.
    ///
    /// If the variable is missing, empty or not UTF-8 when the secret is needed, the attempt fails with
    /// [`ErrorKind::Config`].
    ///
    /// # Examples
    ///
    /// ```
    /// use everbearer::{Grant, SecretSource};
    ///
    /// let grant = Grant::client_secret("client_abc123", SecretSource::env("CLIENT_SECRET"));
    /// ```
    pub fn env(name: impl Into<String>) -> Self {
        Self::from(Kind::Env(name.into()))
    }

    /// Reads the secret from the file at this path, which holds at most 64 KiB of UTF-8.
    ///
    /// The file is read on the calling thread, so it should be on a local file system. If it is missing,
    /// empty or unreadable when the secret is needed, the attempt fails with [`ErrorKind::Secret`], which is
    /// retryable, since another process may be about to write the file. If it is longer, not UTF-8 or not a
    /// regular file, the attempt fails with [`ErrorKind::Config`].
    ///
    /// On Unix, the attempt also fails with [`ErrorKind::Secret`] if another user can replace the file:
    ///
    /// - if neither the user of this process nor root owns the file, or a directory or symlink on its path;
    /// - if other users can write to the file;
    /// - if other users can write to a directory on its path, and the directory is not sticky.
    ///
    /// Two groups are trusted: a group with the number of the owner, which is the owner's private group, and
    /// the group of a directory with the set-group-ID bit, if this process is in that group. Kubernetes sets
    /// that bit for an `fsGroup`. A Kubernetes secret satisfies these rules. An `emptyDir` does not, since
    /// all users can write to it.
    ///
    /// If other users can read the file, the provider reads it and logs one warning.
    ///
    /// # Examples
    ///
    /// ```
    /// use everbearer::{Grant, SecretSource};
    ///
    /// let secret = SecretSource::file("/run/secrets/client-secret");
    /// let grant = Grant::client_secret("client_abc123", secret);
    /// ```
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self::from(Kind::File {
            path: path.into(),
            checked: true,
        })
    }

    /// Disables the checks of owners and modes, for file systems without modes, such as under WSL, and for
    /// files of another user that you trust. It has no effect on other sources than files.
    ///
    /// ```
    /// use everbearer::SecretSource;
    ///
    /// let secret = SecretSource::file("/mnt/c/secrets/client-secret").skip_permission_checks();
    /// ```
    #[must_use]
    pub fn skip_permission_checks(mut self) -> Self {
        if let Kind::File { checked, .. } = &mut self.kind {
            *checked = false;
        }
        self
    }

    /// Calls this callback for the secret, such as to read it from a vault or a prompt.
    ///
    /// The callback's error decides what the provider does next: after [`Error::transient`] it retries after
    /// a backoff, and after [`Error::terminal`] it pauses. An empty secret counts as a transient error. The
    /// duration of the callback counts towards
    /// [`RetryPolicy::exchange_timeout`](crate::RetryPolicy::exchange_timeout), after which the provider
    /// drops the callback's future.
    ///
    /// # Examples
    ///
    /// ```
    /// use everbearer::{Error, Grant, Secret, SecretSource};
    ///
    /// let secret = SecretSource::from_fn(|| async {
    ///     let answer = ask_the_vault().await.map_err(Error::transient)?;
    ///     Ok(Secret::from(answer))
    /// });
    /// let grant = Grant::client_secret("client_abc123", secret);
    /// # async fn ask_the_vault() -> Result<String, std::io::Error> { Ok("hunter2".to_owned()) }
    /// ```
    pub fn from_fn<F, A>(callback: F) -> Self
    where
        F: Fn() -> A + Send + Sync + 'static,
        A: Future<Output = Result<Secret, Error>> + Send + 'static,
    {
        Self::from(Kind::Callback(Arc::new(move || Box::pin(callback()))))
    }

    /// Checks, without reading the secret, that the source is not empty. `what` names the secret in the error.
    pub(crate) fn validate(&self, what: &str) -> Result<(), Error> {
        let is_empty = match &self.kind {
            Kind::Value(secret) => without_line_breaks(secret.expose()).is_empty(),
            Kind::Env(name) => name.is_empty(),
            Kind::File { path, .. } => path.as_os_str().is_empty(),
            Kind::Callback(_) => false,
        };
        if !is_empty {
            return Ok(());
        }
        Err(config(match &self.kind {
            Kind::Env(_) => {
                format!("{what} comes from an environment variable whose name is empty")
            }
            Kind::File { .. } => format!("{what} comes from a file whose path is empty"),
            Kind::Value(_) | Kind::Callback(_) => format!("{what} is empty"),
        }))
    }

    /// Reads the secret: returns the value, reads the variable or the file, or calls the callback. For a
    /// [`TokenIssuer`](crate::TokenIssuer) of your own that needs a secret.
    ///
    /// # Errors
    ///
    /// Returns
    ///
    /// - [`ErrorKind::Config`] if the value is empty, if the variable is missing, empty or not UTF-8, or if the file
    ///   is longer than 64 KiB, not UTF-8 or not a regular file;
    /// - [`ErrorKind::Secret`] if the file is missing, empty or unreadable, if it changes while it is read, or if
    ///   another user can replace it;
    /// - the error of the callback, or [`ErrorKind::Issuer`] if the callback returns an empty secret.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the callback's future.
    ///
    /// # Examples
    ///
    /// ```
    /// use everbearer::SecretSource;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), everbearer::Error> {
    /// let source = SecretSource::from("correct-horse");
    /// assert_eq!(source.read().await?.expose(), "correct-horse");
    /// # Ok(())
    /// # }
    /// ```
    pub async fn read(&self) -> Result<Secret, Error> {
        let secret = match &self.kind {
            Kind::Value(secret) => stripped(secret).ok_or_else(|| config("the secret is empty")),
            Kind::Callback(callback) => callback().await.and_then(|secret| {
                let text = "the callback returned an empty secret";
                stripped(&secret).ok_or_else(|| Error::own(ErrorKind::Issuer, text))
            }),
            Kind::Env(_) | Kind::File { .. } => self.present(),
        };
        let hash = secret.as_ref().map(|secret| self.known.hash(secret));
        let hash = hash.unwrap_or(Known::UNREADABLE);
        self.known.used.store(hash, Ordering::Relaxed);
        secret
    }

    /// Returns whether a file or variable holds another secret than when it was last used. A source that was
    /// never used, or cannot be read now, counts as unchanged.
    pub(crate) fn is_replaced(&self) -> bool {
        self.replacement().is_some()
    }

    /// Like [`is_replaced`](Self::is_replaced), but does not report the same secret twice in a row.
    pub(crate) fn is_new(&self) -> bool {
        let reported = &self.known.reported;
        let replacement = self.replacement();
        replacement.is_some_and(|hash| reported.swap(hash, Ordering::Relaxed) != hash)
    }

    fn replacement(&self) -> Option<u64> {
        if matches!(self.kind, Kind::Value(_) | Kind::Callback(_)) {
            return None;
        }
        let present = self.known.hash(&self.present().ok()?);
        let used = self.known.used.load(Ordering::Relaxed);
        (used != Known::NONE && used != present).then_some(present)
    }

    /// Returns the secret, if this is a value.
    pub(crate) fn held(&self) -> Option<&str> {
        match &self.kind {
            Kind::Value(secret) => Some(without_line_breaks(secret.expose())),
            Kind::Env(_) | Kind::File { .. } | Kind::Callback(_) => None,
        }
    }

    /// Reads the variable or the file.
    fn present(&self) -> Result<Secret, Error> {
        match &self.kind {
            Kind::Env(name) => from_env(name),
            Kind::File { path, checked } => from_file(path, *checked, &self.is_exposure_logged),
            Kind::Value(_) | Kind::Callback(_) => Err(config(
                "the secret comes from neither a file nor a variable",
            )),
        }
    }

    /// Returns this source with a new record of the secret that was last used. Clones share that record.
    pub(crate) fn unused(mut self) -> Self {
        self.known = Arc::default();
        self
    }
}

impl From<Secret> for SecretSource {
    fn from(secret: Secret) -> Self {
        Self::from(Kind::Value(secret))
    }
}

impl From<String> for SecretSource {
    fn from(text: String) -> Self {
        Self::from(Secret::from(text))
    }
}

impl From<&str> for SecretSource {
    fn from(text: &str) -> Self {
        Self::from(Secret::from(text))
    }
}

impl fmt::Debug for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Value(_) => f.write_str("SecretSource(..)"),
            Kind::Env(name) => write!(f, "SecretSource(env {name:?})"),
            Kind::File { path, .. } => write!(f, "SecretSource(file {path:?})"),
            Kind::Callback(_) => f.write_str("SecretSource(callback)"),
        }
    }
}

fn from_env(name: &str) -> Result<Secret, Error> {
    use std::env::{VarError, var};

    let refuse = |how: &str| {
        Err(config(format!(
            "the environment variable {name} {how}; set it to the secret"
        )))
    };
    match var(name) {
        Ok(text) => stripped(&Secret::from(text)).map_or_else(|| refuse("is empty"), Ok),
        Err(VarError::NotPresent) => refuse("is not set"),
        // The error contains the value.
        Err(VarError::NotUnicode(_)) => refuse("is not UTF-8"),
    }
}

fn from_file(path: &Path, checked: bool, is_logged: &AtomicBool) -> Result<Secret, Error> {
    const WHAT: &str = "the secret's file";
    const UNCHECKED: &str = "accept it with `SecretSource::skip_permission_checks`";

    let content = file::read(path, LONGEST_FILE, checked)
        .map_err(|unread| unread.into_error(WHAT, path, ErrorKind::Secret, UNCHECKED))?;
    if checked && content.is_exposed && !is_logged.swap(true, Ordering::Relaxed) {
        observe::log_exposed_file(path, content.mode);
    }
    let refuse = |kind, how: &str| {
        let shown = path.display();
        let text = format!("{WHAT} {shown} {how}; write the secret into it as text");
        Error::own(kind, text)
    };
    let text = str::from_utf8(&content.bytes);
    let text = text.map_err(|_| refuse(ErrorKind::Config, "is not UTF-8"))?;
    match without_line_breaks(text) {
        "" => Err(refuse(ErrorKind::Secret, "is empty")),
        secret => Ok(Secret::from(secret)),
    }
}

/// Returns the secret without a byte order mark and line breaks; `None` if nothing is left.
fn stripped(secret: &Secret) -> Option<Secret> {
    let text = without_line_breaks(secret.expose());
    (!text.is_empty()).then(|| Secret::from(text))
}

fn config(text: impl Into<String>) -> Error {
    Error::own(ErrorKind::Config, text)
}
