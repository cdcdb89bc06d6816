//! Where a secret comes from, each time that it is needed.

use std::fmt;
use std::fs::File;
use std::future::Future;
use std::hash::{BuildHasher as _, RandomState};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::str;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::future::BoxFuture;
use zeroize::Zeroizing;

use crate::error::{Error, ErrorKind};
use crate::secret::Secret;

/// The longest file that is read, in bytes.
const LONGEST_FILE: usize = 64 * 1024;

/// Where a secret comes from: a value, an environment variable, a file, or a callback.
///
/// All but the value are asked anew each time that the secret is needed, so a secret that was
/// replaced is in use from the next time on. What was read is zeroized after its use.
///
/// After the auth server has refused a secret, the provider reads the file or variable again at once, and
/// then every 30 seconds. It tries a changed value without waiting for a caller. It does not retry the
/// same value by itself, so that retries lock no account. Callbacks are not called again for this.
///
/// Text is a source too: whoever takes a `SecretSource` takes a `&str`, a `String` or a
/// [`Secret`].
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
}

type Callback = dyn Fn() -> BoxFuture<'static, Result<Secret, Error>> + Send + Sync;

#[derive(Clone)]
enum Kind {
    Value(Secret),
    Env(String),
    File(PathBuf),
    Callback(Arc<Callback>),
}

/// Keyed hashes of secrets, which show a change without keeping the secrets.
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
        }
    }
}

impl SecretSource {
    /// The environment variable of this name, whose value is taken as it is.
    ///
    /// If it is missing, empty or not UTF-8 when the secret is needed, that is an
    /// [`ErrorKind::Config`].
    pub fn env(name: impl Into<String>) -> Self {
        Self::from(Kind::Env(name.into()))
    }

    /// The file at this path, without the line breaks at its end; at most 64 KiB of UTF-8.
    ///
    /// A file that is missing, empty or unreadable when the secret is needed is an
    /// [`ErrorKind::Secret`], which is retryable: another process may be about to write the file. A file
    /// that is longer, not UTF-8 or not a regular file is an [`ErrorKind::Config`]. The file is read on
    /// the calling thread, so it should be local.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self::from(Kind::File(path.into()))
    }

    /// Whatever this brings: from a vault, from a prompt.
    ///
    /// Its error is passed on as it is, and decides what the engine does: after
    /// [`Error::transient`] it backs off and asks again, after [`Error::terminal`] it stops. An
    /// empty secret counts as transient. The time that it takes counts towards
    /// [`RetryPolicy::exchange_timeout`](crate::RetryPolicy::exchange_timeout), at which its
    /// future is dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// use everbearer::{Error, Grant, Secret, SecretSource};
    ///
    /// let secret = SecretSource::callback(|| async {
    ///     let answer = ask_the_vault().await.map_err(Error::transient)?;
    ///     Ok(Secret::from(answer))
    /// });
    /// let grant = Grant::client_secret("client_abc123", secret);
    /// # async fn ask_the_vault() -> Result<String, std::io::Error> { Ok("hunter2".to_owned()) }
    /// ```
    pub fn callback<F, A>(callback: F) -> Self
    where
        F: Fn() -> A + Send + Sync + 'static,
        A: Future<Output = Result<Secret, Error>> + Send + 'static,
    {
        Self::from(Kind::Callback(Arc::new(move || Box::pin(callback()))))
    }

    /// Checks what can be checked without reading: that it is not empty, of which `what` says what
    /// it is.
    pub(crate) fn validate(&self, what: &str) -> Result<(), Error> {
        let is_empty = match &self.kind {
            Kind::Value(secret) => secret.expose().is_empty(),
            Kind::Env(name) => name.is_empty(),
            Kind::File(path) => path.as_os_str().is_empty(),
            Kind::Callback(_) => false,
        };
        if !is_empty {
            return Ok(());
        }
        Err(config(match &self.kind {
            Kind::Env(_) => format!("{what} comes from an environment variable without a name"),
            Kind::File(_) => format!("{what} comes from a file without a path"),
            Kind::Value(_) | Kind::Callback(_) => format!("{what} is empty"),
        }))
    }

    /// The secret as it is now, which is never empty.
    pub(crate) async fn read(&self) -> Result<Secret, Error> {
        let secret = match &self.kind {
            Kind::Value(secret) if secret.expose().is_empty() => Err(config("the secret is empty")),
            Kind::Value(secret) => Ok(secret.clone()),
            Kind::Env(name) => from_env(name),
            Kind::File(path) => from_file(path),
            Kind::Callback(callback) => match callback().await {
                Ok(secret) if secret.expose().is_empty() => Err(Error::new(
                    ErrorKind::Issuer,
                    "the callback brought an empty secret",
                )),
                outcome => outcome,
            },
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
        let present = match &self.kind {
            Kind::Value(_) | Kind::Callback(_) => return None,
            Kind::Env(name) => from_env(name),
            Kind::File(path) => from_file(path),
        };
        let present = self.known.hash(&present.ok()?);
        let used = self.known.used.load(Ordering::Relaxed);
        (used != Known::NONE && used != present).then_some(present)
    }

    /// Returns this source with a new record of the secret that was last used. Clones share that record.
    pub(crate) fn unused(self) -> Self {
        Self::from(self.kind)
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
            Kind::File(path) => write!(f, "SecretSource(file {path:?})"),
            Kind::Callback(_) => f.write_str("SecretSource(callback)"),
        }
    }
}

/// What the file holds, in a buffer that does not move while it is filled and is zeroized when it
/// is dropped; `what` says what the file is. If the file cannot be read, the error has the kind `unreadable`.
///
/// It blocks the thread, for the length of one read of a small file: there is nothing to spawn
/// for that. What could block for longer, such as a pipe, is refused.
pub(crate) fn read_file(
    path: &Path,
    what: &str,
    unreadable: ErrorKind,
) -> Result<Zeroizing<Vec<u8>>, Error> {
    let shown = path.display();
    let unreadable = |error: std::io::Error| {
        let text =
            format!("{what} {shown} cannot be read; check that it exists and who may read it");
        Error::new(unreadable, text).with_source(error)
    };
    if !path.metadata().map_err(unreadable)?.is_file() {
        return Err(config(format!(
            "{what} {shown} is no regular file; name one, since it may be read more than once"
        )));
    }
    let file = File::open(path).map_err(unreadable)?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(LONGEST_FILE + 1));
    file.take(LONGEST_FILE as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() > LONGEST_FILE {
        return Err(config(format!(
            "{what} {shown} is longer than 64 KiB; check that the path names the right file"
        )));
    }
    Ok(bytes)
}

fn from_env(name: &str) -> Result<Secret, Error> {
    use std::env::{VarError, var};

    let refuse = |how: &str| {
        Err(config(format!(
            "the environment variable {name} {how}; set it to the secret"
        )))
    };
    match var(name) {
        Ok(text) if text.is_empty() => refuse("is empty"),
        Ok(text) => Ok(Secret::from(text)),
        Err(VarError::NotPresent) => refuse("is not set"),
        // The error holds the value.
        Err(VarError::NotUnicode(_)) => refuse("is not UTF-8"),
    }
}

fn from_file(path: &Path) -> Result<Secret, Error> {
    let bytes = read_file(path, "the secret's file", ErrorKind::Secret)?;
    let refuse = |kind, how: &str| {
        let shown = path.display();
        let text = format!("the secret's file {shown} {how}; write the secret into it as text");
        Error::new(kind, text)
    };
    let text = str::from_utf8(&bytes).map_err(|_| refuse(ErrorKind::Config, "is not UTF-8"))?;
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err(refuse(ErrorKind::Secret, "is empty")),
        secret => Ok(Secret::from(secret)),
    }
}

fn config(text: impl Into<String>) -> Error {
    Error::new(ErrorKind::Config, text)
}
