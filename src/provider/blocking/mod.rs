//! A provider for programs without an async runtime.

mod send;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use http::HeaderValue;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use super::{TokenProvider, TokenProviderBuilder};
use crate::engine::ShutdownReport;
use crate::error::{Error, ErrorKind};
use crate::token::ShortTermToken;

/// Returns tokens to programs without an async runtime. [`TokenProviderBuilder::build_blocking`] creates it, with a
/// thread of its own that refreshes the token.
///
/// [`token`](Self::token) and [`authorization`](Self::authorization) return a valid token without a lock and without
/// the thread. If no token is valid, these calls block the calling thread. All other calls that return a token,
/// [`send`](Self::send), [`shutdown`](Self::shutdown) and [`wait`](Self::wait) may block, too. Within an async runtime,
/// and on its `spawn_blocking` threads, a call that may block returns an error of the kind [`ErrorKind::Config`]. Async
/// code uses a [`TokenProvider`].
///
/// A clone is another handle to the same provider. The thread ends when the last handle is dropped.
///
/// # Examples
///
/// ```
/// # use everbearer::testkit::ScriptedIssuer;
/// use everbearer::{LongTermToken, TokenProvider};
///
/// # fn main() -> Result<(), everbearer::Error> {
/// # let issuer = ScriptedIssuer::new();
/// let provider = TokenProvider::builder(issuer, LongTermToken::new("secret")?).build_blocking()?;
/// assert_eq!(provider.authorization()?, "Bearer st-1");
/// assert!(provider.shutdown()?.all_revoked());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct BlockingTokenProvider {
    provider: TokenProvider,
    runtime: Arc<RuntimeThread>,
}

/// A runtime on a thread of its own, which ends when this is dropped.
struct RuntimeThread {
    handle: Handle,
    _stop: oneshot::Sender<()>,
}

impl RuntimeThread {
    fn start(name: &str) -> Result<Self, Error> {
        let failed = |error: std::io::Error| {
            let text = "cannot start the thread of the blocking provider; check the process's limits on threads \
                        and open files";
            Error::own(ErrorKind::Config, text).with_source(error)
        };
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(failed)?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let run = move || {
            let _ = runtime.block_on(stopped);
        };
        // `Builder::name` panics at a zero byte.
        let name = format!("everbearer-{}", name.replace('\0', ""));
        let thread = thread::Builder::new().name(name);
        thread.spawn(run).map_err(failed)?;
        Ok(Self {
            handle,
            _stop: stop,
        })
    }
}

impl TokenProviderBuilder {
    /// Builds a provider for programs without an async runtime, and starts its thread.
    ///
    /// # Errors
    ///
    /// As [`build`](Self::build); and [`ErrorKind::Config`] if the thread cannot be started.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn example(builder: everbearer::TokenProviderBuilder) -> Result<(), everbearer::Error> {
    /// let provider = builder.build_blocking()?;
    /// let token = provider.token()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn build_blocking(self) -> Result<BlockingTokenProvider, Error> {
        let runtime = Arc::new(RuntimeThread::start(&self.name)?);
        // Otherwise the driver would start on the runtime of the caller, if there is one.
        let entered = Handle::enter(&runtime.handle);
        let provider = self.build();
        drop(entered);
        let provider = provider?;
        Ok(BlockingTokenProvider { provider, runtime })
    }
}

impl BlockingTokenProvider {
    /// Returns a valid token, as [`TokenProvider::token`].
    ///
    /// # Errors
    ///
    /// As [`TokenProvider::token`]; and [`ErrorKind::Config`] within an async runtime, if the call would wait.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn example(provider: &everbearer::BlockingTokenProvider) -> Result<(), everbearer::Error> {
    /// let token = provider.token()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn token(&self) -> Result<ShortTermToken, Error> {
        match self.provider.at_once(|it| Some(it.token.clone()), || None) {
            Some(token) => Ok(token),
            None => self.wait(self.provider.token())?,
        }
    }

    /// Returns the value for an `Authorization` header, as [`TokenProvider::authorization`].
    ///
    /// # Errors
    ///
    /// As [`token`](Self::token).
    ///
    /// # Examples
    ///
    /// ```
    /// # fn example(provider: &everbearer::BlockingTokenProvider) -> Result<(), everbearer::Error> {
    /// let header = provider.authorization()?;
    /// assert!(header.is_sensitive());
    /// # Ok(())
    /// # }
    /// ```
    pub fn authorization(&self) -> Result<HeaderValue, Error> {
        match (self.provider).at_once(|it| Some(it.header().clone()), || None) {
            Some(header) => Ok(header),
            None => self.wait(self.provider.authorization())?,
        }
    }

    /// Returns a token that is valid for at least `min_remaining`, as [`TokenProvider::token_valid_for`].
    ///
    /// # Errors
    ///
    /// As [`TokenProvider::token_valid_for`]; and [`ErrorKind::Config`] within an async runtime.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn example(provider: &everbearer::BlockingTokenProvider) -> Result<(), everbearer::Error> {
    /// let token = provider.token_valid_for(std::time::Duration::from_secs(60))?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn token_valid_for(&self, min_remaining: Duration) -> Result<ShortTermToken, Error> {
        self.wait(self.provider.token_valid_for(min_remaining))?
    }

    /// Obtains a newer token, as [`TokenProvider::refresh`].
    ///
    /// # Errors
    ///
    /// As [`TokenProvider::refresh`]; and [`ErrorKind::Config`] within an async runtime.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn example(provider: &everbearer::BlockingTokenProvider) -> Result<(), everbearer::Error> {
    /// let newer = provider.refresh()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn refresh(&self) -> Result<ShortTermToken, Error> {
        self.wait(self.provider.refresh())?
    }

    /// Reports that a resource server refused this token, and returns a newer one, as [`TokenProvider::invalidate`].
    ///
    /// # Errors
    ///
    /// As [`TokenProvider::invalidate`]; and [`ErrorKind::Config`] within an async runtime.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn example(provider: &everbearer::BlockingTokenProvider) -> Result<(), everbearer::Error> {
    /// let refused = provider.token()?;
    /// let newer = provider.invalidate(&refused)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn invalidate(&self, token: &ShortTermToken) -> Result<ShortTermToken, Error> {
        self.wait(self.provider.invalidate(token))?
    }

    /// Returns a handle to a narrower scope set, as [`TokenProvider::scoped`].
    ///
    /// ```
    /// # fn example(provider: &everbearer::BlockingTokenProvider) -> Result<(), everbearer::Error> {
    /// let token = provider.scoped(["jobs:read"]).token()?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn scoped<S: Into<String>>(&self, scopes: impl IntoIterator<Item = S>) -> Self {
        Self {
            provider: self.provider.scoped(scopes),
            runtime: Arc::clone(&self.runtime),
        }
    }

    /// Revokes the tokens, and reports the outcome for each, as [`TokenProvider::shutdown`].
    ///
    /// # Errors
    ///
    /// Returns [`ErrorKind::Config`] within an async runtime. The shutdown has then not begun.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn example(provider: &everbearer::BlockingTokenProvider) -> Result<(), everbearer::Error> {
    /// println!("{}", provider.shutdown()?);
    /// # Ok(())
    /// # }
    /// ```
    pub fn shutdown(&self) -> Result<ShutdownReport, Error> {
        self.wait(self.provider.shutdown())
    }

    /// Returns the provider, for methods that do not wait, such as `status` and `subscribe`.
    ///
    /// ```
    /// # fn example(provider: &everbearer::BlockingTokenProvider) {
    /// let status = provider.provider().status();
    /// # }
    /// ```
    pub const fn provider(&self) -> &TokenProvider {
        &self.provider
    }

    /// Blocks the thread until a future of [`provider`](Self::provider) completes, for methods that this type lacks,
    /// such as [`TokenProvider::rotate`].
    ///
    /// # Errors
    ///
    /// Returns [`ErrorKind::Config`] within an async runtime, whose thread must not wait.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn example(provider: &everbearer::BlockingTokenProvider) -> Result<(), everbearer::Error> {
    /// provider.wait(provider.provider().rotate())??;
    /// # Ok(())
    /// # }
    /// ```
    pub fn wait<T>(&self, call: impl Future<Output = T>) -> Result<T, Error> {
        refuse_within_runtime()?;
        Ok(self.runtime.handle.block_on(call))
    }
}

fn refuse_within_runtime() -> Result<(), Error> {
    if Handle::try_current().is_ok() {
        return Err(Error::own(
            ErrorKind::Config,
            "the call would block a thread of an async runtime; use TokenProvider, or call the blocking provider \
             from a std::thread",
        ));
    }
    Ok(())
}

impl fmt::Debug for BlockingTokenProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BlockingTokenProvider")
            .field(&self.provider)
            .finish()
    }
}
