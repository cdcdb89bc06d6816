//! A provider for each of many keys, such as tenants.

mod entries;
mod eviction;
mod report;
mod shared;

pub use report::ShutdownReports;

use std::borrow::Borrow;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{join_all, poll_immediate};
use futures_util::stream::{self, StreamExt as _};

use self::entries::{Entries, Found};
use self::shared::{Build, MOST_SHUT_DOWN_AT_ONCE, Settings, Shared};
use crate::engine::{ShutdownReport, current_runtime};
use crate::error::Error;
use crate::observe::Status;
use crate::provider::{TokenProvider, TokenProviderBuilder};

/// Keeps a [`TokenProvider`] for each key `K`, such as a tenant: builds it at the first use, and shuts it down when
/// it has been idle.
///
/// A provider is in use while a handle to it exists outside, such as a clone or a middleware. Providers in use are
/// neither evicted nor shut down for idleness.
///
/// Metrics count all providers together: the label `provider` is [`name`](Self::name), `scopes` is `other`, and the
/// only gauge is `everbearer_waiting_callers`. Log lines name each provider as its builder does, so give each a
/// [name](TokenProviderBuilder::name).
///
/// A clone is another handle to the same providers, with a copy of the settings. Change the settings before cloning: the
/// idle timeout of the handle that first calls [`get`](Self::get) applies to all handles. When the last handle is dropped, the providers end without
/// revoking their tokens, as a [`TokenProvider`] does: call [`shutdown`](Self::shutdown) first.
///
/// # Examples
///
/// ```
/// # use everbearer::testkit::ScriptedIssuer;
/// use everbearer::{LongTermToken, TokenProvider, TokenProviders};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), everbearer::Error> {
/// # let issuer = ScriptedIssuer::new();
/// let tenants = TokenProviders::new(issuer, |issuer, tenant: String| async move {
///     let secret = LongTermToken::new(format!("secret-of-{tenant}"))?;
///     Ok(TokenProvider::builder(issuer, secret).name(tenant))
/// });
/// let token = tenants.get("acme").await?.token().await?;
/// assert_eq!(token.expose(), "st-1");
/// assert!(tenants.shutdown().await.all_revoked());
/// # Ok(())
/// # }
/// ```
pub struct TokenProviders<K> {
    shared: Arc<Shared<K>>,
    settings: Settings,
}

impl<K: Clone + Ord + Send + Sync + 'static> TokenProviders<K> {
    /// Creates an empty collection of providers. `build` returns the builder of the provider for a key, from a clone of
    /// `context`, such as the issuer or a database pool. For each key, at most one call of `build` is in flight.
    ///
    /// ```
    /// use everbearer::{OAuth2, TokenProviders};
    ///
    /// # #[cfg(feature = "oauth2")]
    /// let tenants = TokenProviders::new("client_abc123", |client_id, tenant: String| async move {
    ///     let token_url = format!("https://{tenant}.example.com/token");
    ///     OAuth2::client_credentials(token_url, client_id, "correct-horse").provider()
    /// });
    /// ```
    pub fn new<C, F, B>(context: C, build: F) -> Self
    where
        C: Clone + Send + Sync + 'static,
        F: Fn(C, K) -> B + Send + Sync + 'static,
        B: Future<Output = Result<TokenProviderBuilder, Error>> + Send + 'static,
    {
        let build: Build<K> = Box::new(move |key| Box::pin(build(context.clone(), key)));
        Self {
            shared: Arc::new(Shared {
                build,
                entries: Entries::default(),
            }),
            settings: Settings {
                name: "tenants".into(),
                most: 10_000,
                idle_timeout: Duration::from_secs(3_600),
                deadline: Duration::from_secs(30),
            },
        }
    }

    /// Sets the name of the label `provider` in metrics. Default: `tenants`.
    ///
    /// ```
    /// # fn example(tenants: everbearer::TokenProviders<u64>) {
    /// let tenants = tenants.name("customers");
    /// # }
    /// ```
    #[must_use]
    pub fn name(mut self, name: impl AsRef<str>) -> Self {
        self.settings.name = name.as_ref().into();
        self
    }

    /// Sets how many providers there are at most. Default: 10,000. For a further key, [`get`](Self::get) shuts down
    /// the provider that was used least recently and is not in use.
    ///
    /// ```
    /// # fn example(tenants: everbearer::TokenProviders<u64>) {
    /// let tenants = tenants.max_providers(500);
    /// # }
    /// ```
    #[must_use]
    pub const fn max_providers(mut self, most: usize) -> Self {
        self.settings.most = most;
        self
    }

    /// Sets the idle timeout: a provider is shut down when it has not been in use for this long. Default: 1 h. The
    /// precision is an eighth of the timeout.
    ///
    /// ```
    /// # fn example(tenants: everbearer::TokenProviders<u64>) {
    /// let tenants = tenants.idle_timeout(std::time::Duration::from_secs(600));
    /// # }
    /// ```
    #[must_use]
    pub const fn idle_timeout(mut self, idle_timeout: Duration) -> Self {
        self.settings.idle_timeout = idle_timeout;
        self
    }

    /// Sets for how long [`shutdown`](Self::shutdown) limits the number of providers that it shuts down at the same
    /// time. Default: 30 s. After that time, it begins with all others at once.
    ///
    /// ```
    /// # fn example(tenants: everbearer::TokenProviders<u64>) {
    /// let tenants = tenants.shutdown_deadline(std::time::Duration::from_secs(10));
    /// # }
    /// ```
    #[must_use]
    pub const fn shutdown_deadline(mut self, deadline: Duration) -> Self {
        self.settings.deadline = deadline;
        self
    }

    /// Returns the provider for this key, and builds it first if there is none. If an earlier provider for this key
    /// is shutting down, `get` waits until that shutdown has ended.
    ///
    /// # Errors
    ///
    /// Returns the error of building the provider; the next call builds it again. Returns
    /// [`ErrorKind::TooManyProviders`](crate::ErrorKind::TooManyProviders) if there are
    /// [`max_providers`](Self::max_providers) providers and all are in use or being built,
    /// [`ErrorKind::ShutDown`](crate::ErrorKind::ShutDown) after [`shutdown`](Self::shutdown), and
    /// [`ErrorKind::NoRuntime`](crate::ErrorKind::NoRuntime) outside of a tokio runtime.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops its call of `build`. If another caller waits for the same provider, that caller
    /// calls `build` again.
    ///
    /// # Examples
    ///
    /// ```
    /// # async fn example(tenants: everbearer::TokenProviders<u64>) -> Result<(), everbearer::Error> {
    /// let header = tenants.get(&4711).await?.authorization().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn get<Q>(&self, key: &Q) -> Result<TokenProvider, Error>
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Ord + ?Sized,
    {
        eviction::ensure(&self.shared, &self.settings, &current_runtime()?);
        loop {
            let cell = match self.shared.entries.find(key, self.settings.most)? {
                Found::Provider(provider) => return Ok(provider),
                Found::Cell(cell) => cell,
            };
            // A provider that was shut down for the same key may still write to the store.
            for earlier in self.shared.entries.leaving(key) {
                earlier.shutdown().await;
            }
            let provider = cell.get_or_try_init(|| self.build(key.to_owned())).await?;
            if let Err(error) = self.shared.entries.check_running() {
                // It was built during the shutdown, and may have a token.
                provider.shutdown().await;
                return Err(error);
            }
            for evicted in self.shared.entries.evict(self.settings.most) {
                // Begins the shutdown, which goes on by itself.
                let _ = poll_immediate(Box::pin(evicted.shutdown())).await;
            }
            // It may have been evicted meanwhile.
        }
    }

    async fn build(&self, key: K) -> Result<TokenProvider, Error> {
        let builder = (self.shared.build)(key).await?;
        self.shared.entries.check_running()?;
        builder.counted_as(Arc::clone(&self.settings.name)).build()
    }

    /// Returns the providers and their states.
    ///
    /// ```
    /// # fn example(tenants: everbearer::TokenProviders<u64>) {
    /// for (tenant, status) in tenants.statuses() {
    ///     println!("{tenant}: {:?}", status.state);
    /// }
    /// # }
    /// ```
    pub fn statuses(&self) -> Vec<(K, Status)> {
        let cells = self.shared.entries.cells().into_iter();
        cells
            .filter_map(|(key, cell)| Some((key, cell.get()?.status())))
            .collect()
    }

    /// Shuts down the provider for this key, also if it is in use, and returns its report, or `None` if there is no
    /// provider for it.
    ///
    /// # Cancel safety
    ///
    /// As [`TokenProvider::shutdown`].
    ///
    /// # Examples
    ///
    /// ```
    /// # async fn example(tenants: everbearer::TokenProviders<u64>) {
    /// if let Some(report) = tenants.remove(&4711).await {
    ///     println!("{report}");
    /// }
    /// # }
    /// ```
    pub async fn remove<Q>(&self, key: &Q) -> Option<ShutdownReport>
    where
        K: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        // Waits for a build that is in flight.
        let cell = self.shared.entries.cell(key)?;
        let _ = cell.get_or_try_init(|| async { Err(()) }).await;
        drop(cell);
        let provider = self.shared.entries.remove(key)?;
        Some(provider.shutdown().await)
    }

    /// Shuts down all providers, and returns their reports. Later calls of [`get`](Self::get) return an error.
    ///
    /// At most 64 shutdowns run at the same time. After the [deadline](Self::shutdown_deadline), all others begin.
    /// The call ends within the [deadline of a provider](crate::ShutdownPolicy::deadline) after that.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the shutdowns that have begun continue. Call it again for the others.
    ///
    /// # Examples
    ///
    /// ```
    /// # async fn example(tenants: everbearer::TokenProviders<String>) {
    /// let reports = tenants.shutdown().await;
    /// println!("{reports}");
    /// # }
    /// ```
    pub async fn shutdown(&self) -> ShutdownReports<K> {
        let providers = self.shared.entries.shut_down();
        if current_runtime().is_ok() {
            let one = |(_, provider): &(K, TokenProvider)| {
                let provider = provider.clone();
                async move {
                    provider.shutdown().await;
                }
            };
            let limited = stream::iter(&providers).for_each_concurrent(MOST_SHUT_DOWN_AT_ONCE, one);
            let _ = tokio::time::timeout(self.settings.deadline, limited).await;
        }
        // Returns the report of a shutdown that has ended.
        let reports = providers
            .into_iter()
            .map(|(key, provider)| async move { (key, provider.shutdown().await) });
        ShutdownReports {
            reports: join_all(reports).await,
        }
    }
}

impl<K> Clone for TokenProviders<K> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            settings: self.settings.clone(),
        }
    }
}

impl<K> fmt::Debug for TokenProviders<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenProviders")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
