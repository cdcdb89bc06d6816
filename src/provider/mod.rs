//! The provider, as users hold it.

mod builder;
mod for_middleware;

use std::fmt;
use std::future::{self, Future};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http::HeaderValue;

pub use builder::TokenProviderBuilder;
#[cfg(feature = "reqwest")]
pub(crate) use for_middleware::Carried;
pub use for_middleware::RequestToken;

use crate::engine::{self, Published, Replacement, ScopeSet, Shared, ShutdownReport};
use crate::error::{Error, ErrorKind};
use crate::issuer::{Credential, TokenIssuer};
use crate::machine::{Generation, Input, Window};
use crate::observe::{Status, Subscription};
use crate::origin::Origin;
use crate::token::{LongTermToken, ShortTermToken};

/// Keeps a short-term token fresh, and gives it out.
///
/// One task behind it exchanges the long-term token ahead of each expiry; callers take what is
/// there without a lock, and wait only where there is no usable token. However many wait, one
/// exchange is under way. A clone is another handle to the same thing.
///
/// The task runs on the tokio runtime on which [`build`](TokenProviderBuilder::build), or else the
/// first caller in need of it, was called; if that runtime goes away, the next caller starts it
/// again on its own. Runtimes need their time driver enabled, as `enable_all` does, and have to be
/// driven: on a current-thread runtime that nobody runs, the task stands still, and callers on
/// other runtimes wait for it.
///
/// Call [`shutdown`](Self::shutdown) at the end. When the last handle, scoped ones and middleware
/// included, is dropped without that, the task ends, and the tokens live on until they expire.
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
    lifeline: Arc<StopOnDrop>,
}

/// How often [`TokenProvider::ready`] looks whether there is a token by now.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Ends the driver when the last handle is dropped.
struct StopOnDrop(Arc<Shared>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.signal(Input::Abandoned);
    }
}

type Waiting<'a> = Pin<Box<dyn Future<Output = Result<HeaderValue, Error>> + Send + 'a>>;

impl TokenProvider {
    /// A provider that takes its tokens from this issuer, starting from a
    /// [`LongTermToken`] or a [`Grant`](crate::Grant).
    pub fn builder(
        issuer: impl TokenIssuer,
        credential: impl Into<Credential>,
    ) -> TokenProviderBuilder {
        TokenProviderBuilder::new(Arc::new(issuer), credential.into())
    }

    /// A good token: at once if there is one, else after the exchange that brings it.
    ///
    /// # Errors
    ///
    /// Why there is none: the failure of the exchange that this call waited for, a failure shortly
    /// before if the next attempt is far, [`ErrorKind::WaitTimeout`] after
    /// [`RetryPolicy::wait_timeout`](crate::RetryPolicy::wait_timeout), [`ErrorKind::ShutDown`],
    /// [`ErrorKind::TooManyScopeSets`] from a scoped provider, or [`ErrorKind::NoRuntime`] outside
    /// of tokio.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the waiting and nothing else: the exchange goes on.
    pub async fn token(&self) -> Result<ShortTermToken, Error> {
        let take = |published: &Published| published.token.clone();
        match self.at_once(|it| Some(take(it)), || None) {
            Some(token) => Ok(token),
            None => self.newer_than(Generation(0), take).await,
        }
    }

    /// Returns a token that may go on requests for at least `min_remaining`, for a caller with a long
    /// upload ahead. If the token in use is good for less, one exchange is made for a newer token, at most
    /// one in a quarter of the token's life. So calls with a `min_remaining` just below the life of a new
    /// token do not cause an exchange each.
    ///
    /// # Errors
    ///
    /// As [`token`](Self::token); and [`ErrorKind::LifetimeTooShort`] if the token in use is good for less
    /// and an exchange would not help: it was good for less when it arrived, the last exchange for this
    /// reason is less than a quarter of its life ago, or the auth server returns the same token again.
    ///
    /// # Cancel safety
    ///
    /// As [`token`](Self::token).
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
                "a token that is good for {min_remaining:?} was asked for, and a new one is good \
                 for {:?}",
                window.usable_until.since(window.received)
            ),
        ))
    }

    /// The value for an `Authorization` header, marked sensitive; otherwise as
    /// [`token`](Self::token). This is the way with the least cost for each request.
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
        let mut long_way: Option<Waiting<'_>> = None;
        future::poll_fn(move |context| match &mut long_way {
            Some(waiting) => waiting.as_mut().poll(context),
            None => self.at_once(
                |it| Poll::Ready(Ok(it.header().clone())),
                || long_way.insert(self.wait()).as_mut().poll(context),
            ),
        })
    }

    /// The token in use, if there is a good one at this moment. Never waits, and does not count as
    /// a use of a [set of scopes](Self::scoped).
    pub fn current(&self) -> Option<ShortTermToken> {
        let now = self.shared.outside.time.now()?;
        let published = self.set.current.good(now, Generation(0))?;
        Some(published.token.clone())
    }

    /// Waits until there is a first token, as a daemon does before it says that it has started.
    ///
    /// # Errors
    ///
    /// As [`token`](Self::token), if that error will not pass, or when exchanges have failed for
    /// [`RetryPolicy::ready_timeout`](crate::RetryPolicy::ready_timeout).
    ///
    /// # Cancel safety
    ///
    /// As [`token`](Self::token).
    pub async fn ready(&self) -> Result<(), Error> {
        let Err(mut error) = self.token().await else {
            return Ok(());
        };
        let patience = self.shared.settings.policies.retry.ready_timeout;
        let go_on = async {
            while error.is_retryable() {
                // Look again now and then: timers stand still while the machine sleeps.
                let next = self.status().next_exchange_in.unwrap_or(LOOK_AGAIN);
                tokio::time::sleep(next.clamp(LOOK_AGAIN / 100, LOOK_AGAIN)).await;
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

    /// Returns a token that is newer than the one in use, even if that one is good. If an exchange is in
    /// flight, its token is returned. If the auth server returns the token in use again, so does this
    /// method.
    ///
    /// Call this when a virtual machine resumes from a pause or a snapshot: the clock by which the
    /// token's life is counted may have stood still.
    ///
    /// # Errors
    ///
    /// As [`token`](Self::token). The present token stays in use.
    ///
    /// # Cancel safety
    ///
    /// As [`token`](Self::token).
    pub async fn refresh(&self) -> Result<ShortTermToken, Error> {
        let present = self.set.current.load();
        let present = present.map_or(Generation(0), |published| published.window.generation);
        match self.newer_than(present, |it| it.token.clone()).await {
            Err(error) if error.kind() == ErrorKind::Unchanged => self.token().await,
            newer => newer,
        }
    }

    /// Says that a resource server refused this token with a 401, and returns one to try instead.
    ///
    /// If the token is no longer the one in use, the one in use is returned and nothing is
    /// exchanged. Otherwise one exchange is made, however many callers report the same token.
    /// The middleware does this by itself.
    ///
    /// # Errors
    ///
    /// As [`token`](Self::token); [`ErrorKind::Denied`] if a refresh that a 401 asked for was
    /// so recent ([`RefreshPolicy::min_reject_interval`](crate::RefreshPolicy::min_reject_interval)) that
    /// another one is no use; and [`ErrorKind::Unchanged`] if the auth server returns the same token
    /// again.
    ///
    /// # Cancel safety
    ///
    /// As [`token`](Self::token).
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
                "the resource server refused a token that was minted just now",
            ));
        }
        self.newer_than(refused, |it| it.token.clone()).await
    }

    /// A provider of tokens that are good for these scopes only. It shares the long-term token,
    /// the task, the origins and the shutdown with this one; its tokens and its exchanges are its
    /// own.
    ///
    /// The order of the scopes and how often one is named make no difference: the same set is the
    /// same tokens, from wherever it is asked for. No scopes mean those of the provider that was
    /// built. The first exchange is made when somebody asks for a token; a set that nobody uses
    /// is dropped, and its tokens are revoked, as [`ScopePolicy`](crate::ScopePolicy) says.
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
                engine.root()
            } else {
                engine.set(scopes)
            }
        };
        Self {
            shared: Arc::clone(&self.shared),
            set,
            lifeline: Arc::clone(&self.lifeline),
        }
    }

    /// Takes another long-term token, such as one that a person brought after the server had
    /// refused the one before. Exchanges from now on are made with it; a refusal of the one before
    /// is forgotten, and callers in need of a token have it tried at once. It is written into the
    /// store behind the caller's back; [`Event::StoreFailed`] says if that fails. An issuer that needs no
    /// long-term token ([`Needs::Nothing`](crate::Needs::Nothing)) ignores it.
    pub fn set_long_term_token(&self, long_term: LongTermToken) {
        engine::set_long_term_token(&self.shared, long_term);
    }

    /// Reads the [store](TokenProviderBuilder::store) now, and takes up what somebody else has put
    /// there, as a daemon does on SIGHUP. A store that [tells of
    /// changes](crate::TokenStore::changed) needs nobody to ask for it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Store`] if it cannot be read; what was read last stays in use. As
    /// [`rotate`](Self::rotate), [`ErrorKind::WaitTimeout`], [`ErrorKind::ShutDown`] and
    /// [`ErrorKind::NoRuntime`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves all as it was, or as the store has it.
    pub async fn reload(&self) -> Result<(), Error> {
        engine::for_reload(&self.shared).await
    }

    /// Rotates the long-term token now: returns when the next one is durably stored, was proven by
    /// an exchange, and has taken the other's place. If another one comes into use meanwhile, because
    /// another process has rotated it or somebody has handed one in, that will do.
    ///
    /// # Errors
    ///
    /// Why it failed; the token in use stays in use then, and the rotation is tried again as
    /// [`RotationPolicy`](crate::RotationPolicy) says. [`ErrorKind::Config`] if there is no grant
    /// to obtain the next one with, [`ErrorKind::WaitTimeout`] after
    /// [`RetryPolicy::wait_timeout`](crate::RetryPolicy::wait_timeout), [`ErrorKind::ShutDown`],
    /// or [`ErrorKind::NoRuntime`] outside of tokio.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the waiting and nothing else: the rotation goes on.
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

    /// How the provider is at this moment, for a health check.
    pub fn status(&self) -> Status {
        engine::status_of(&self.shared, &self.set)
    }

    /// What happens from now on, to this provider and to all its sets of scopes.
    pub fn subscribe(&self) -> Subscription {
        let engine = self.shared.engine(); // under which tokens are published
        self.shared.observers.subscribe(engine.generations_in_use())
    }

    /// Stops refreshing, revokes every live short-term token that was minted here, then the
    /// long-term token if the policy says so, and says what became of each. A long-term token that
    /// was obtained here and that the [store](TokenProviderBuilder::store) could not be made to
    /// take is revoked in any case: nobody will know of it.
    ///
    /// It ends within [`ShutdownPolicy::deadline`](crate::ShutdownPolicy::deadline) of the first
    /// call, whatever the server does. However often and from wherever it is called, there is one
    /// shutdown and one report. Callers that wait for a token, and all later ones, are given
    /// [`ErrorKind::ShutDown`]. Outside of tokio, or on a runtime that is going away, it revokes
    /// nothing and says so of each token; a call on another runtime goes on from there.
    ///
    /// # Cancel safety
    ///
    /// Once polled, the shutdown goes on when the future is dropped, and also when the last handle
    /// is; a later call returns the report.
    pub async fn shutdown(&self) -> ShutdownReport {
        engine::shut_down(&self.shared).await
    }

    /// The origins to which the token may go.
    pub fn origins(&self) -> &[Origin] {
        &self.shared.settings.origins
    }

    /// What `take` makes of a good token, on the hot path; or what `or_else` says if there is none.
    #[inline]
    fn at_once<T>(&self, take: impl FnOnce(&Published) -> T, or_else: impl FnOnce() -> T) -> T {
        self.set
            .current
            .serve(self.shared.outside.time.coarse_now(), take, or_else)
    }

    /// Apart, and in a box, so that what each request polls stays small.
    #[cold]
    fn wait(&self) -> Waiting<'_> {
        Box::pin(self.newer_than(Generation(0), |it| it.token.authorization().clone()))
    }

    /// What `take` makes of a good token that is newer than this generation.
    fn newer_than<T>(
        &self,
        generation: Generation,
        take: impl Fn(&Published) -> T,
    ) -> impl Future<Output = Result<T, Error>> {
        engine::for_token(&self.shared, &self.set, generation, take)
    }
}

impl fmt::Debug for TokenProvider {
    /// The issuer is shown by the name of its profile.
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
