//! Builds a [`TokenProvider`].

mod build;

use std::fmt;
use std::sync::Arc;

use http::StatusCode;

use super::TokenProvider;
use crate::clock::{Clock, SystemClock};
use crate::issuer::{Credential, Grant, TokenIssuer};
use crate::origin::PlainHttp;
use crate::policy::{
    Policies, RefreshPolicy, RetryPolicy, RotationPolicy, ScopePolicy, ShutdownPolicy,
};
use crate::store::TokenStore;

/// Builds a [`TokenProvider`]. Every setting has a default. [`TokenProvider::builder`] creates it.
///
/// # Examples
///
/// ```
/// # use everbearer::testkit::ScriptedIssuer;
/// use std::time::Duration;
/// use everbearer::{LongTermToken, RetryPolicy, TokenProvider};
///
/// # fn main() -> Result<(), everbearer::Error> {
/// # let issuer = ScriptedIssuer::new();
/// let provider = TokenProvider::builder(issuer, LongTermToken::new("secret")?)
///     .name("jobs")
///     .origins(["https://jobs.example.com"])
///     .retry_policy(RetryPolicy::default().wait_timeout(Duration::from_secs(5)))
///     .build()?;
/// # Ok(())
/// # }
/// ```
#[must_use]
pub struct TokenProviderBuilder {
    pub(super) name: String,
    pub(super) counted_as: Option<Arc<str>>,
    issuer: Arc<dyn TokenIssuer>,
    credential: Credential,
    scopes: Vec<String>,
    origins: Option<Vec<String>>,
    plain_http: PlainHttp,
    refusals: Vec<u16>,
    clock: Arc<dyn Clock>,
    policies: Arc<Policies>,
    shutdown: ShutdownPolicy,
    store: Option<Arc<dyn TokenStore>>,
    rotate_with: Option<Grant>,
    recover_with: Option<Grant>,
    seed: Option<u64>,
}

impl TokenProvider {
    /// Returns a builder for a provider that gets its tokens from this issuer, starting with a
    /// [`LongTermToken`](crate::LongTermToken), a [`Grant`](crate::Grant) or another [`Credential`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use everbearer::testkit::ScriptedIssuer;
    /// use everbearer::{LongTermToken, TokenProvider};
    ///
    /// # fn main() -> Result<(), everbearer::Error> {
    /// # let issuer = ScriptedIssuer::new();
    /// let provider = TokenProvider::builder(issuer, LongTermToken::new("lt_0d51e9bd2f6449cf")?).build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn builder(
        issuer: impl TokenIssuer,
        credential: impl Into<Credential>,
    ) -> TokenProviderBuilder {
        TokenProviderBuilder::new(Arc::new(issuer), credential.into())
    }
}

impl TokenProviderBuilder {
    pub(super) fn new(issuer: Arc<dyn TokenIssuer>, credential: Credential) -> Self {
        Self {
            name: "default".to_owned(),
            counted_as: None,
            issuer,
            credential,
            scopes: Vec::new(),
            origins: None,
            plain_http: PlainHttp::by("TokenProviderBuilder::allow_plain_http_to"),
            refusals: vec![StatusCode::UNAUTHORIZED.as_u16()],
            clock: SystemClock::shared(),
            policies: Policies::shared_default(),
            shutdown: ShutdownPolicy::default(),
            store: None,
            rotate_with: None,
            recover_with: None,
            seed: None,
        }
    }

    /// Sets the name that distinguishes this provider from others of the same process: in its `Debug` output,
    /// in its logs, and as the label `provider` of its [metrics](crate::guide::observation). Default:
    /// `default`.
    ///
    /// ```
    /// # use everbearer::testkit::ScriptedIssuer;
    /// # use everbearer::{LongTermToken, TokenProvider};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), everbearer::Error> {
    /// # let builder = TokenProvider::builder(ScriptedIssuer::new(), LongTermToken::new("secret")?);
    /// let provider = builder.name("jobs").build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Sets the scopes to request for the short-term tokens. Default: all scopes of the long-term token.
    ///
    /// ```
    /// # use everbearer::testkit::ScriptedIssuer;
    /// # use everbearer::{LongTermToken, TokenProvider};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), everbearer::Error> {
    /// # let builder = TokenProvider::builder(ScriptedIssuer::new(), LongTermToken::new("secret")?);
    /// let provider = builder.scopes(["jobs:read", "jobs:submit"]).build()?;
    /// assert_eq!(provider.token().await?.scopes(), ["jobs:read", "jobs:submit"]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn scopes<S: Into<String>>(mut self, scopes: impl IntoIterator<Item = S>) -> Self {
        self.scopes = scopes.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the origins (scheme, host and port; a path is ignored) to which the token may be sent, in place
    /// of the issuer's origin. Requests to other origins are sent without the token.
    ///
    /// # Examples
    ///
    /// ```
    /// # use everbearer::{AuthApi, Grant, TokenProvider};
    /// # fn main() -> Result<(), everbearer::Error> {
    /// let api = AuthApi::new("https://auth.example.com/v1")?;
    /// let provider = TokenProvider::builder(api, Grant::client_secret("id", "secret"))
    ///     .origins(["https://jobs.example.com", "https://files.example.com:8443"])
    ///     .build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn origins<S: Into<String>>(mut self, origins: impl IntoIterator<Item = S>) -> Self {
        self.origins = Some(origins.into_iter().map(Into::into).collect());
        self
    }

    /// Allows [`origins`](Self::origins) with plain http to this host, such as `jobs.internal` in a service
    /// mesh or a compose network. The token is then sent unencrypted. Name the host in full and in lower
    /// case, without a port. [`build`](Self::build) logs a warning for each origin that needs this
    /// permission.
    ///
    /// It does not allow an auth server on plain http, and such a server is no origin of the token by
    /// default: see [`AuthApiBuilder::allow_plain_http_to`](crate::AuthApiBuilder::allow_plain_http_to).
    ///
    /// ```
    /// # fn example(builder: everbearer::TokenProviderBuilder) {
    /// let builder = builder
    ///     .origins(["http://jobs.internal:8080", "https://api.example.com"])
    ///     .allow_plain_http_to("jobs.internal");
    /// # }
    /// ```
    pub fn allow_plain_http_to(mut self, host: impl Into<String>) -> Self {
        self.plain_http.allow(host.into());
        self
    }

    /// Sets the store that keeps the long-term token, so that it survives a restart. Default: no store. The provider
    /// keeps the token in memory, and the token is lost when the provider is dropped.
    ///
    /// A stored token takes precedence over the token or the grant that the provider is built with. The
    /// provider uses those if the store is empty, or if the server refuses the stored token. With
    /// [`Needs::Replacing`](crate::Needs::Replacing), the provider does not use the token of the builder after a refusal.
    ///
    /// Providers that share a store share the token: one of them rotates it, and the others load what it has
    /// written.
    ///
    /// # Examples
    ///
    /// ```
    /// # use everbearer::testkit::ScriptedIssuer;
    /// use everbearer::{LongTermToken, MemoryStore, TokenProvider, TokenStore};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), everbearer::Error> {
    /// # let issuer = ScriptedIssuer::new();
    /// let store = MemoryStore::new();
    /// let provider = TokenProvider::builder(issuer, LongTermToken::new("secret")?)
    ///     .store(store.clone())
    ///     .build()?;
    /// provider.ready().await?;
    /// assert!(store.load().await?.is_some());
    /// # Ok(())
    /// # }
    /// ```
    pub fn store(mut self, store: impl TokenStore) -> Self {
        self.store = Some(Arc::new(store));
        self
    }

    /// Sets the statuses, from 400 to 499, with which a resource server or its gateway refuses a token.
    /// Default: 401.
    ///
    /// After such a status, the middleware, [`send_with`](crate::RequestBuilderExt::send_with) and the tower layer
    /// refresh the token and resend the request. A 401 or 403 with `error="invalid_token"` (RFC 6750, section 3.1) is
    /// always a refusal, and a response with `error="insufficient_scope"` never is.
    ///
    /// If you list 403, a 403 that means "not allowed" causes an exchange too, at most one in
    /// [`RefreshPolicy::min_reject_interval`].
    ///
    /// ```
    /// # fn example(builder: everbearer::TokenProviderBuilder) {
    /// let builder = builder.refusal_statuses([401, 403, 419]);
    /// # }
    /// ```
    pub fn refusal_statuses(mut self, statuses: impl IntoIterator<Item = u16>) -> Self {
        self.refusals = statuses.into_iter().collect();
        self
    }

    /// Sets the grant that obtains the next long-term token in a rotation. Default: the grant of
    /// [`recover_with`](Self::recover_with), or [`Grant::self_rotation`] if that grant is a
    /// [`Grant::bootstrap_token`].
    ///
    /// ```
    /// # use everbearer::testkit::ScriptedIssuer;
    /// # use everbearer::{LongTermToken, TokenProvider};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), everbearer::Error> {
    /// # let builder = TokenProvider::builder(ScriptedIssuer::new(), LongTermToken::new("secret")?);
    /// use everbearer::Grant;
    ///
    /// let provider = builder.rotate_with(Grant::self_rotation("client_abc123")).build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn rotate_with(mut self, grant: Grant) -> Self {
        self.rotate_with = Some(grant);
        self
    }

    /// Sets the grant that obtains another long-term token if there is none, or if the server refuses the
    /// current one. Default: the grant that the provider is built with; without one, the grant of
    /// [`rotate_with`](Self::rotate_with), unless that is [`Grant::self_rotation`].
    ///
    /// ```
    /// # use everbearer::testkit::ScriptedIssuer;
    /// # use everbearer::{LongTermToken, TokenProvider};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), everbearer::Error> {
    /// # let builder = TokenProvider::builder(ScriptedIssuer::new(), LongTermToken::new("secret")?);
    /// use everbearer::{Grant, SecretSource};
    ///
    /// let secret = SecretSource::file("/run/secrets/client-secret");
    /// let provider = builder.recover_with(Grant::client_secret("client_abc123", secret)).build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn recover_with(mut self, grant: Grant) -> Self {
        self.recover_with = Some(grant);
        self
    }

    /// Sets when the long-term token is rotated.
    ///
    /// ```
    /// # use everbearer::testkit::ScriptedIssuer;
    /// # use everbearer::{LongTermToken, TokenProvider};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), everbearer::Error> {
    /// # let builder = TokenProvider::builder(ScriptedIssuer::new(), LongTermToken::new("secret")?);
    /// use everbearer::RotationPolicy;
    ///
    /// let provider = builder.rotation_policy(RotationPolicy::default().manual()).build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn rotation_policy(mut self, policy: RotationPolicy) -> Self {
        Arc::make_mut(&mut self.policies).rotation = policy;
        self
    }

    /// Sets when a short-term token is refreshed.
    ///
    /// ```
    /// # use everbearer::testkit::ScriptedIssuer;
    /// # use everbearer::{LongTermToken, TokenProvider};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), everbearer::Error> {
    /// # let builder = TokenProvider::builder(ScriptedIssuer::new(), LongTermToken::new("secret")?);
    /// use everbearer::RefreshPolicy;
    ///
    /// let provider = builder.refresh_policy(RefreshPolicy::default().fraction(0.5)).build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn refresh_policy(mut self, policy: RefreshPolicy) -> Self {
        Arc::make_mut(&mut self.policies).refresh = policy;
        self
    }

    /// Sets how failed exchanges are retried, and the timeouts of exchanges and callers.
    ///
    /// ```
    /// # use everbearer::testkit::ScriptedIssuer;
    /// # use everbearer::{LongTermToken, TokenProvider};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), everbearer::Error> {
    /// # let builder = TokenProvider::builder(ScriptedIssuer::new(), LongTermToken::new("secret")?);
    /// use std::time::Duration;
    /// use everbearer::RetryPolicy;
    ///
    /// let policy = RetryPolicy::default().wait_timeout(Duration::from_secs(5));
    /// let provider = builder.retry_policy(policy).build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn retry_policy(mut self, policy: RetryPolicy) -> Self {
        Arc::make_mut(&mut self.policies).retry = policy;
        self
    }

    /// Sets how many [scope sets](TokenProvider::scoped) may have tokens, and for how long an idle set keeps
    /// them.
    ///
    /// ```
    /// # use everbearer::testkit::ScriptedIssuer;
    /// # use everbearer::{LongTermToken, TokenProvider};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), everbearer::Error> {
    /// # let builder = TokenProvider::builder(ScriptedIssuer::new(), LongTermToken::new("secret")?);
    /// use everbearer::ScopePolicy;
    ///
    /// let provider = builder.scope_policy(ScopePolicy::default().max_sets(8)).build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn scope_policy(mut self, policy: ScopePolicy) -> Self {
        Arc::make_mut(&mut self.policies).scopes = policy;
        self
    }

    /// Sets which tokens [`TokenProvider::shutdown`] revokes, and how long it may take.
    ///
    /// ```
    /// # use everbearer::testkit::ScriptedIssuer;
    /// # use everbearer::{LongTermToken, TokenProvider};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), everbearer::Error> {
    /// # let builder = TokenProvider::builder(ScriptedIssuer::new(), LongTermToken::new("secret")?);
    /// use everbearer::ShutdownPolicy;
    ///
    /// let provider = builder
    ///     .shutdown_policy(ShutdownPolicy::default().revoke_long_term(true))
    ///     .build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn shutdown_policy(mut self, policy: ShutdownPolicy) -> Self {
        self.shutdown = policy;
        self
    }

    /// Sets the clock. Default: [`SystemClock`](crate::SystemClock).
    ///
    /// A test that pauses tokio's time needs a clock that follows tokio's timers, such as
    /// `testkit::ManualClock`. With the system clock, paused timers fire at once while the clock stands
    /// still, so the driver uses a full core.
    ///
    /// ```
    /// # use everbearer::testkit::ScriptedIssuer;
    /// use everbearer::testkit::ManualClock;
    /// # use everbearer::{LongTermToken, TokenProvider};
    ///
    /// // In a test with `#[tokio::test(start_paused = true)]`.
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), everbearer::Error> {
    /// # let builder = TokenProvider::builder(ScriptedIssuer::new(), LongTermToken::new("secret")?);
    /// let provider = builder.clock(ManualClock::new()).build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Sets the seed of the jitter, so that a test gets the same jitter in every run. Default: a random seed.
    ///
    /// ```
    /// # use everbearer::testkit::ScriptedIssuer;
    /// # use everbearer::{LongTermToken, TokenProvider};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), everbearer::Error> {
    /// # let builder = TokenProvider::builder(ScriptedIssuer::new(), LongTermToken::new("secret")?);
    /// let provider = builder.jitter_seed(7).build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn jitter_seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }
}

impl fmt::Debug for TokenProviderBuilder {
    /// Leaves out the issuer, the store and the clock, whose `Debug` is user code, and the origins and hosts, which
    /// are not validated yet and may contain a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenProviderBuilder")
            .field("name", &self.name)
            .field("credential", &self.credential)
            .field("scopes", &self.scopes)
            .field("refusal_statuses", &self.refusals)
            .field("policies", &self.policies)
            .field("shutdown_policy", &self.shutdown)
            .field("rotate_with", &self.rotate_with)
            .field("recover_with", &self.recover_with)
            .finish_non_exhaustive()
    }
}
