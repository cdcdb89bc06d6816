//! [`TokenProvider`] and its builder.

mod blocking;
mod builder;
mod for_connections;
mod for_middleware;
#[cfg(feature = "oauth2")]
mod for_oauth2;
mod for_providers;

use std::fmt;
use std::future::{self, Future};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http::HeaderValue;

pub use blocking::BlockingTokenProvider;
pub use builder::TokenProviderBuilder;
#[cfg(any(feature = "reqwest", feature = "tower"))]
pub(crate) use for_middleware::Carried;
pub use for_middleware::RequestToken;

use crate::engine::{self, Published, Replacement, ScopeSet, Shared, ShutdownReport};
use crate::error::{Error, ErrorKind};
use crate::machine::{Generation, Input, Window};
use crate::observe::{Status, Subscription};
use crate::origin::Origin;
use crate::token::{LongTermToken, ShortTermToken};

/// Keeps a short-term token fresh, and returns it to callers.
///
/// A background task, the driver, exchanges the long-term token before each short-term token expires. Callers
/// get the token in use without a lock, and wait only if there is no valid token. For each scope set, at most
/// one exchange is in flight, however many callers wait. A clone is another handle to the same provider.
///
/// The driver runs on the tokio runtime on which [`build`](TokenProviderBuilder::build) was called, or else
/// on the runtime of the first caller that needs a token. If that runtime is shut down, the next caller
/// starts the driver on its own runtime. Runtimes need the time driver, which `enable_all` enables. A
/// current-thread runtime must be polled: while it is not, the driver does not run, and callers on other
/// runtimes wait.
///
/// Call [`shutdown`](Self::shutdown) at the end. If the last handle, including scoped ones and middleware, is
/// dropped without it, the driver ends, and the tokens stay valid until they expire.
///
/// # Examples
///
/// ```
/// # use everbearer::testkit::AuthServer;
/// use everbearer::{AuthApi, Grant, TokenProvider};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = AuthServer::start().await?;
/// # let (base_url, id, secret) = (server.base_url(), server.client_id(), server.client_secret());
/// let api = AuthApi::new(base_url)?;
/// let provider = TokenProvider::builder(api, Grant::client_secret(id, secret)).build()?;
///
/// let response = reqwest::Client::new()
///     .get(server.url("/jobs"))
///     .header("authorization", provider.authorization().await?)
///     .send()
///     .await?;
/// assert!(response.status().is_success());
///
/// assert!(provider.shutdown().await.all_revoked());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct TokenProvider {
    pub(crate) shared: Arc<Shared>,
    set: Arc<ScopeSet>,
    stop_on_drop: Arc<StopOnDrop>,
}

/// The longest pause between two attempts of [`TokenProvider::ready`] to get a token.
const POLL_READY: Duration = Duration::from_secs(1);

/// Ends the driver when the last handle is dropped.
struct StopOnDrop(Arc<Shared>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.signal(Input::Abandoned);
    }
}

type Waiting<'a> = Pin<Box<dyn Future<Output = Result<HeaderValue, Error>> + Send + 'a>>;

impl TokenProvider {
    /// Returns a valid token, at once if there is one, and otherwise after the exchange for it.
    ///
    /// # Errors
    ///
    /// Returns why there is no token:
    ///
    /// - the error of the exchange that this call waited for, or of an earlier exchange, if the auth server
    ///   refuses the credential or the next attempt begins after
    ///   [`RetryPolicy::wait_timeout`](crate::RetryPolicy::wait_timeout);
    /// - [`ErrorKind::WaitTimeout`] after that timeout;
    /// - [`ErrorKind::ShutDown`] after [`shutdown`](Self::shutdown);
    /// - [`ErrorKind::TooManyScopeSets`] from a [scoped](Self::scoped) provider;
    /// - [`ErrorKind::NoRuntime`] outside of a tokio runtime;
    /// - [`ErrorKind::Config`] if the provider's own issuer or store calls this method.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cancels this wait only: the exchange continues.
    ///
    /// # Examples
    ///
    /// ```
    /// # use everbearer::testkit::ScriptedIssuer;
    /// # use everbearer::{LongTermToken, TokenProvider};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), everbearer::Error> {
    /// # let issuer = ScriptedIssuer::new();
    /// # let provider = TokenProvider::builder(issuer, LongTermToken::new("secret")?).build()?;
    /// let token = provider.token().await?;
    /// assert_eq!(token.expose(), "st-1");
    /// # Ok(())
    /// # }
    /// ```
    pub async fn token(&self) -> Result<ShortTermToken, Error> {
        let take = |published: &Published| published.token.clone();
        match self.at_once(|it| Some(take(it)), || None) {
            Some(token) => Ok(token),
            None => self.newer_than(Generation(0), take).await,
        }
    }

    /// Returns a token that may be sent with requests for at least `min_remaining`, for a caller that begins
    /// a long upload.
    ///
    /// If the token in use is valid for less, the provider makes one exchange for a newer token, at most once
    /// in a quarter of the token's lifetime. So calls with a `min_remaining` just below the lifetime of a new
    /// token do not cause an exchange each.
    ///
    /// # Errors
    ///
    /// As [`token`](Self::token); and [`ErrorKind::LifetimeTooShort`] if the token in use is valid for less
    /// and an exchange would not help: it was valid for less when it arrived, the last exchange for this
    /// reason is less than a quarter of its lifetime ago, or the auth server returns the same token again.
    ///
    /// # Cancel safety
    ///
    /// As [`token`](Self::token).
    ///
    /// # Examples
    ///
    /// ```
    /// # use everbearer::testkit::ScriptedIssuer;
    /// # use everbearer::{LongTermToken, TokenProvider};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), everbearer::Error> {
    /// # let issuer = ScriptedIssuer::new();
    /// # let provider = TokenProvider::builder(issuer, LongTermToken::new("secret")?).build()?;
    /// use std::time::Duration;
    ///
    /// let token = provider.token_valid_for(Duration::from_secs(600)).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn token_valid_for(&self, min_remaining: Duration) -> Result<ShortTermToken, Error> {
        let take = |published: &Published| (published.token.clone(), published.window);
        let lasts = |window: Window, now| window.usable_until.since(now) >= min_remaining;
        let (mut token, mut window) = self.newer_than(Generation(0), take).await?;
        let lasted_when_new = lasts(window, window.received);
        let present = window.generation;
        if lasted_when_new
            && !lasts(window, self.shared.now())
            && engine::top_up(&self.shared, &self.set, present)
        {
            match self.newer_than(present, take).await {
                Err(error) if error.kind() == ErrorKind::Unchanged => {}
                newer => (token, window) = newer?,
            }
        }
        let now = self.shared.now_or_error()?;
        if lasts(window, now) {
            let (set, until) = (self.set.id, now + min_remaining);
            self.shared.signal(Input::Needed { set, until });
            return Ok(token);
        }
        Err(Error::own(
            ErrorKind::LifetimeTooShort,
            format!(
                "the caller needs a token that is valid for {min_remaining:?}; a new token is valid for \
                 {:?}",
                window.usable_until.since(window.received)
            ),
        ))
    }

    /// Returns a valid token as the value of an `Authorization` header, marked sensitive. It waits as
    /// [`token`](Self::token) does, and is the cheapest way to get a token for each request.
    ///
    /// # Errors
    ///
    /// As [`token`](Self::token).
    ///
    /// # Cancel safety
    ///
    /// As [`token`](Self::token).
    ///
    /// # Examples
    ///
    /// ```
    /// # use everbearer::testkit::ScriptedIssuer;
    /// # use everbearer::{LongTermToken, TokenProvider};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let provider = TokenProvider::builder(ScriptedIssuer::new(), LongTermToken::new("secret")?);
    /// # let provider = provider.build()?;
    /// let mut request = http::Request::get("https://api.example.com/v1/jobs").body(())?;
    /// let header = provider.authorization().await?;
    /// request.headers_mut().insert(http::header::AUTHORIZATION, header);
    /// # Ok(())
    /// # }
    /// ```
    #[inline]
    pub fn authorization(&self) -> impl Future<Output = Result<HeaderValue, Error>> + Send {
        let mut slow_path: Option<Waiting<'_>> = None;
        future::poll_fn(move |context| match &mut slow_path {
            Some(waiting) => waiting.as_mut().poll(context),
            None => self.at_once(
                |it| Poll::Ready(Ok(it.header().clone())),
                || slow_path.insert(self.wait()).as_mut().poll(context),
            ),
        })
    }

    /// Returns the token in use, or `None` if there is no valid token. It never waits, and does not count as
    /// a use of a [scope set](Self::scoped).
    ///
    /// # Examples
    ///
    /// ```
    /// # use everbearer::testkit::ScriptedIssuer;
    /// # use everbearer::{LongTermToken, TokenProvider};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), everbearer::Error> {
    /// # let issuer = ScriptedIssuer::new();
    /// # let provider = TokenProvider::builder(issuer, LongTermToken::new("secret")?).build()?;
    /// assert!(provider.current().is_none());
    /// provider.ready().await?;
    /// assert!(provider.current().is_some());
    /// # Ok(())
    /// # }
    /// ```
    pub fn current(&self) -> Option<ShortTermToken> {
        let now = self.shared.user_code.time.now()?;
        let published = self.set.current.good(now, Generation(0))?;
        Some(published.token.clone())
    }

    /// Waits for the first token, for a daemon that reports that it has started.
    ///
    /// # Errors
    ///
    /// As [`token`](Self::token), after an error that is not retryable, or after exchanges have failed for
    /// [`RetryPolicy::ready_timeout`](crate::RetryPolicy::ready_timeout).
    ///
    /// # Cancel safety
    ///
    /// As [`token`](Self::token).
    ///
    /// # Examples
    ///
    /// ```
    /// # use everbearer::testkit::ScriptedIssuer;
    /// # use everbearer::{LongTermToken, TokenProvider};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), everbearer::Error> {
    /// # let issuer = ScriptedIssuer::new();
    /// # let provider = TokenProvider::builder(issuer, LongTermToken::new("secret")?).build()?;
    /// provider.ready().await?;
    /// println!("the service has started");
    /// # Ok(())
    /// # }
    /// ```
    pub async fn ready(&self) -> Result<(), Error> {
        let Err(mut error) = self.token().await else {
            return Ok(());
        };
        let patience = self.shared.settings.policies.retry.ready_timeout;
        let go_on = async {
            while error.is_retryable() {
                // Polls, since timers stop while the machine is suspended.
                let next = self.status().next_exchange_in.unwrap_or(POLL_READY);
                tokio::time::sleep(next.clamp(POLL_READY / 100, POLL_READY)).await;
                match self.token().await {
                    Ok(_) => return true,
                    Err(failure) => error = failure,
                }
            }
            false
        };
        match tokio::time::timeout(patience, go_on).await {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(error),
        }
    }

    /// Returns a token that is newer than the one in use, even if that one is valid. If an exchange is in
    /// flight, it returns the token of that exchange. If the auth server returns the token in use again, so
    /// does this method.
    ///
    /// Call this method when a virtual machine resumes from a pause or a snapshot, since the clock that
    /// counts the token's lifetime may have stopped meanwhile.
    ///
    /// # Errors
    ///
    /// As [`token`](Self::token). The current token stays in use.
    ///
    /// # Cancel safety
    ///
    /// As [`token`](Self::token).
    ///
    /// # Examples
    ///
    /// ```
    /// # use everbearer::testkit::ScriptedIssuer;
    /// # use everbearer::{LongTermToken, TokenProvider};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), everbearer::Error> {
    /// # let issuer = ScriptedIssuer::new();
    /// # let provider = TokenProvider::builder(issuer, LongTermToken::new("secret")?).build()?;
    /// let token = provider.token().await?;
    /// let newer = provider.refresh().await?;
    /// assert_ne!(newer.expose(), token.expose());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn refresh(&self) -> Result<ShortTermToken, Error> {
        let present = self.set.current.load();
        let present = present.map_or(Generation(0), |published| published.window.generation);
        match self.newer_than(present, |it| it.token.clone()).await {
            Err(error) if error.kind() == ErrorKind::Unchanged => self.token().await,
            newer => newer,
        }
    }

    /// Reports that a resource server refused this token with a 401, and returns a token to try instead. The
    /// middleware calls this for you.
    ///
    /// If the token is no longer in use, this method returns the token in use without an exchange. Otherwise
    /// the provider makes one exchange, however many callers report the same token.
    ///
    /// # Errors
    ///
    /// As [`token`](Self::token), and
    ///
    /// - [`ErrorKind::Denied`] if the previous refresh because of a 401 is less than
    ///   [`RefreshPolicy::min_reject_interval`](crate::RefreshPolicy::min_reject_interval) ago;
    /// - [`ErrorKind::Unchanged`] if the auth server returns the same token again.
    ///
    /// # Cancel safety
    ///
    /// As [`token`](Self::token).
    ///
    /// # Examples
    ///
    /// ```
    /// # use everbearer::testkit::ScriptedIssuer;
    /// # use everbearer::{LongTermToken, TokenProvider};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), everbearer::Error> {
    /// # let issuer = ScriptedIssuer::new();
    /// # let provider = TokenProvider::builder(issuer, LongTermToken::new("secret")?).build()?;
    /// let token = provider.token().await?;
    /// // A resource server responded with 401 to a request with this token.
    /// let newer = provider.invalidate(&token).await?;
    /// assert_ne!(newer.expose(), token.expose());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn invalidate(&self, token: &ShortTermToken) -> Result<ShortTermToken, Error> {
        let in_use = self.set.current.load();
        let in_use = in_use.filter(|it| it.token.reads_like(token));
        let Some(in_use) = in_use else {
            return self.token().await;
        };
        let refused = in_use.window.generation;
        if engine::deny(&self.shared, &self.set, refused) == Replacement::None {
            return Err(Error::own(
                ErrorKind::Denied,
                "the resource server refused a token that the provider obtained just now",
            ));
        }
        self.newer_than(refused, |it| it.token.clone()).await
    }

    /// Returns a provider of tokens that have these scopes only: a scope set. It shares the long-term token,
    /// the driver, the origins and the shutdown with this provider, and has its own tokens and exchanges.
    ///
    /// Order and repetition of the scopes do not matter: providers with equal scopes share one scope set.
    /// Without scopes, it returns the scope set of the provider that was built. The first exchange begins
    /// when a caller needs a token. [`ScopePolicy`](crate::ScopePolicy) sets when an idle scope set is
    /// retired and its tokens are revoked.
    ///
    /// # Examples
    ///
    /// ```
    /// # use everbearer::testkit::ScriptedIssuer;
    /// # use everbearer::{LongTermToken, TokenProvider};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), everbearer::Error> {
    /// # let issuer = ScriptedIssuer::new();
    /// # let long_term = LongTermToken::new("secret")?;
    /// let provider = TokenProvider::builder(issuer, long_term).build()?;
    /// let reader = provider.scoped(["jobs:read"]);
    /// assert_eq!(reader.token().await?.scopes(), ["jobs:read"]);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn scoped<S: Into<String>>(&self, scopes: impl IntoIterator<Item = S>) -> Self {
        let scopes = engine::normalized(scopes);
        let set = {
            let mut engine = self.shared.engine();
            if scopes.is_empty() {
                engine.sets.root()
            } else {
                engine.sets.of(scopes)
            }
        };
        Self {
            shared: Arc::clone(&self.shared),
            set,
            stop_on_drop: Arc::clone(&self.stop_on_drop),
        }
    }

    /// Replaces the long-term token, such as with one that an operator supplied after the auth server had
    /// refused the previous one.
    ///
    /// The provider makes all further exchanges with the new token. It forgets the refusal of the previous
    /// one, and exchanges the new token at once if a caller needs a token. It writes the token to the store
    /// in the background, and reports a failure as [`Event::StoreFailed`](crate::Event::StoreFailed). If the issuer needs no long-term
    /// token ([`Needs::Nothing`](crate::Needs::Nothing)), the call has no effect.
    ///
    /// If the token is already in use, the call keeps it and continues a rotation that has begun. An older token, such as the one in a configuration
    /// that was read again, replaces the one that a rotation has obtained: set a token only if it is a new one.
    ///
    /// # Examples
    ///
    /// ```
    /// # use everbearer::testkit::ScriptedIssuer;
    /// # use everbearer::{LongTermToken, TokenProvider};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), everbearer::Error> {
    /// # let issuer = ScriptedIssuer::new();
    /// # let provider = TokenProvider::builder(issuer, LongTermToken::new("secret")?).build()?;
    /// provider.set_long_term_token(LongTermToken::new("lt_7b2e6c10a1f34d58")?);
    /// # Ok(())
    /// # }
    /// ```
    pub fn set_long_term_token(&self, long_term: LongTermToken) {
        engine::set_long_term_token(&self.shared, long_term);
    }

    /// Reads the [store](TokenProviderBuilder::store) now, and uses a token that another process has written,
    /// for a daemon that reloads on SIGHUP. If the store [reports changes](crate::TokenStore::changed), the
    /// provider reloads without this call.
    ///
    /// # Errors
    ///
    /// Returns [`ErrorKind::Store`] if the store cannot be read; the record that was read last stays in use.
    /// Returns [`ErrorKind::WaitTimeout`], [`ErrorKind::ShutDown`], [`ErrorKind::NoRuntime`] and
    /// [`ErrorKind::Config`] as [`rotate`](Self::rotate) does.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the provider uses either the previous record or the stored one.
    ///
    /// # Examples
    ///
    /// ```
    /// # use everbearer::testkit::ScriptedIssuer;
    /// # use everbearer::{LongTermToken, TokenProvider};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), everbearer::Error> {
    /// # let builder = TokenProvider::builder(ScriptedIssuer::new(), LongTermToken::new("secret")?);
    /// use everbearer::{MemoryStore, Record, TokenStore};
    ///
    /// let store = MemoryStore::new();
    /// store.store(&Record::from(LongTermToken::new("lt_0d51e9bd2f6449cf")?), None).await?;
    /// let provider = builder.store(store).build()?;
    /// provider.reload().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn reload(&self) -> Result<(), Error> {
        engine::for_reload(&self.shared).await
    }

    /// Rotates the long-term token now. It returns when the next token is durably stored, an exchange has
    /// proven it, and it is in use. It also returns if another token comes into use meanwhile, because
    /// another process has rotated it or [`set_long_term_token`](Self::set_long_term_token) was called.
    ///
    /// # Errors
    ///
    /// Returns why the rotation failed. The current token stays in use, and the provider retries as
    /// [`RotationPolicy`](crate::RotationPolicy) states. In particular, it returns
    ///
    /// - [`ErrorKind::Config`] if there is no grant that obtains the next token, or if the provider's own
    ///   issuer or store calls this method;
    /// - [`ErrorKind::WaitTimeout`] after [`RetryPolicy::wait_timeout`](crate::RetryPolicy::wait_timeout);
    /// - [`ErrorKind::ShutDown`] after [`shutdown`](Self::shutdown);
    /// - [`ErrorKind::NoRuntime`] outside of a tokio runtime.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cancels this wait only: the rotation continues.
    ///
    /// # Examples
    ///
    /// ```
    /// # use everbearer::testkit::AuthServer;
    /// use everbearer::{AuthApi, Grant, TokenProvider};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = AuthServer::start().await?;
    /// # let (base_url, id, secret) = (server.base_url(), server.client_id(), server.client_secret());
    /// let api = AuthApi::new(base_url)?;
    /// let provider = TokenProvider::builder(api, Grant::client_secret(id, secret))
    ///     .rotate_with(Grant::self_rotation(id))
    ///     .build()?;
    /// provider.rotate().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn rotate(&self) -> Result<(), Error> {
        engine::for_rotation(&self.shared).await
    }

    /// Returns the state of this scope set at this moment, for a health check. It never waits.
    ///
    /// # Examples
    ///
    /// ```
    /// # use everbearer::testkit::ScriptedIssuer;
    /// # use everbearer::{LongTermToken, TokenProvider};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), everbearer::Error> {
    /// # let issuer = ScriptedIssuer::new();
    /// # let provider = TokenProvider::builder(issuer, LongTermToken::new("secret")?).build()?;
    /// use everbearer::State;
    ///
    /// provider.ready().await?;
    /// assert_eq!(provider.status().state, State::Fresh);
    /// # Ok(())
    /// # }
    /// ```
    pub fn status(&self) -> Status {
        engine::status_of(&self.shared, &self.set)
    }

    /// Returns a receiver of the events from now on, of this provider and of all its scope sets.
    ///
    /// # Examples
    ///
    /// ```
    /// # use everbearer::testkit::ScriptedIssuer;
    /// # use everbearer::{LongTermToken, TokenProvider};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), everbearer::Error> {
    /// # let issuer = ScriptedIssuer::new();
    /// # let provider = TokenProvider::builder(issuer, LongTermToken::new("secret")?).build()?;
    /// use everbearer::Event;
    ///
    /// let mut events = provider.subscribe();
    /// provider.token().await?;
    /// assert!(matches!(events.next().await, Some(Event::ExchangeBegan { .. })));
    /// # Ok(())
    /// # }
    /// ```
    pub fn subscribe(&self) -> Subscription {
        let engine = self.shared.engine(); // tokens are published under this lock
        self.shared
            .observers
            .subscribe(engine.sets.generations_in_use())
    }

    /// Stops refreshing, revokes the tokens that the provider obtained, and reports the outcome for each
    /// token.
    ///
    /// The shutdown revokes every short-term token that has not expired, and the long-term token if
    /// [`ShutdownPolicy::revoke_long_term`](crate::ShutdownPolicy::revoke_long_term) is set. It also revokes
    /// a long-term token that the provider obtained and could not write to the
    /// [store](TokenProviderBuilder::store), since no later process will know that token. It keeps the stored short-term
    /// token that can repeat an unanswered request for a long-term token, which the next process may need.
    ///
    /// It ends within [`ShutdownPolicy::deadline`](crate::ShutdownPolicy::deadline) of the first call,
    /// whatever the auth server does. All calls return the report of the same shutdown. Callers that wait for
    /// a token, and all later callers, get [`ErrorKind::ShutDown`].
    ///
    /// Outside of a tokio runtime, or on a runtime that is shutting down, it revokes nothing, and reports
    /// that for each token. A later call on another runtime continues the shutdown.
    ///
    /// # Cancel safety
    ///
    /// After the first poll, the shutdown continues if the future is dropped, and also if the last handle is
    /// dropped. A later call returns the report.
    ///
    /// # Examples
    ///
    /// ```
    /// # use everbearer::testkit::ScriptedIssuer;
    /// # use everbearer::{LongTermToken, TokenProvider};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), everbearer::Error> {
    /// # let issuer = ScriptedIssuer::new();
    /// # let provider = TokenProvider::builder(issuer, LongTermToken::new("secret")?).build()?;
    /// provider.ready().await?;
    /// let report = provider.shutdown().await;
    /// assert!(report.all_revoked());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn shutdown(&self) -> ShutdownReport {
        engine::shut_down(&self.shared).await
    }

    /// Returns the origins to which the token may be sent.
    ///
    /// # Examples
    ///
    /// ```
    /// # use everbearer::testkit::ScriptedIssuer;
    /// # use everbearer::{LongTermToken, TokenProvider};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), everbearer::Error> {
    /// # let builder = TokenProvider::builder(ScriptedIssuer::new(), LongTermToken::new("secret")?);
    /// let provider = builder.origins(["https://jobs.example.com"]).build()?;
    /// assert_eq!(provider.origins()[0].to_string(), "https://jobs.example.com:443");
    /// # Ok(())
    /// # }
    /// ```
    pub fn origins(&self) -> &[Origin] {
        &self.shared.settings.origins
    }

    /// Returns what `take` makes of a valid token, on the hot path, or `or_else` if there is none.
    #[inline]
    fn at_once<T>(&self, take: impl FnOnce(&Published) -> T, or_else: impl FnOnce() -> T) -> T {
        self.set
            .current
            .serve(self.shared.user_code.time.coarse_now(), take, or_else)
    }

    /// Boxed, so that the future that each request polls stays small.
    #[cold]
    fn wait(&self) -> Waiting<'_> {
        Box::pin(self.newer_than(Generation(0), |it| it.token.authorization().clone()))
    }

    /// Returns what `take` makes of a valid token that is newer than this generation.
    fn newer_than<T>(
        &self,
        generation: Generation,
        take: impl Fn(&Published) -> T,
    ) -> impl Future<Output = Result<T, Error>> {
        engine::for_token(&self.shared, &self.set, generation, take)
    }
}

impl fmt::Debug for TokenProvider {
    /// Shows the issuer by the name of its profile.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = self.status();
        f.debug_struct("TokenProvider")
            .field("name", &self.shared.settings.name)
            .field("issuer", &self.shared.settings.profile.name)
            .field("scopes", &self.set.scopes)
            .field("state", &status.state)
            .field("generation", &status.generation)
            .finish_non_exhaustive()
    }
}
