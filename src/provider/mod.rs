//! The engine's shell: what users hold, and the task behind it.

mod builder;
mod cell;
mod driver;
mod flight;
mod shared;
mod shutdown;
mod status;
mod wait;

use std::fmt;
use std::sync::Arc;

use http::HeaderValue;

pub use builder::TokenProviderBuilder;
pub use shutdown::{Fate, ShutdownReport, Tier, TokenReport};

use crate::error::{Error, ErrorKind};
use crate::issuer::{Credential, TokenIssuer};
use crate::machine::{Event, Generation};
use crate::observe::{Happening, Status, Subscription};
use crate::origin::Origin;
use crate::token::ShortTermToken;
use shared::Shared;

/// Keeps a short-term token fresh, and gives it out.
///
/// One task behind it exchanges the long-term token ahead of each expiry; callers take what is
/// there without a lock, and wait only where there is no usable token. However many wait, one
/// exchange is under way. A clone is another handle to the same thing.
///
/// The task runs on the tokio runtime on which [`build`](TokenProviderBuilder::build), or else the
/// first caller in need of it, was called; if that runtime goes away, the next caller starts it
/// again on its own. Runtimes need their time driver enabled, as `enable_all` does.
///
/// Call [`shutdown`](Self::shutdown) at the end. When the last handle is dropped without that,
/// the task ends, and the tokens live on until they expire.
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
/// assert!(provider.shutdown().await.is_clean());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct TokenProvider {
    shared: Arc<Shared>,
    lifeline: Arc<Lifeline>,
}

/// Ends the driver when the last handle is dropped.
struct Lifeline(Arc<Shared>);

impl Drop for Lifeline {
    fn drop(&mut self) {
        self.0.signal(Event::Abandoned);
    }
}

impl TokenProvider {
    /// A provider that takes its tokens from this issuer, starting from a
    /// [`LongTermToken`](crate::LongTermToken) or a [`Grant`](crate::Grant).
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
    /// Why there is none: the failure of the exchange that this call waited for, a terminal
    /// failure shortly before, [`ErrorKind::WaitTimeout`] after
    /// [`RetryPolicy::wait_timeout`](crate::RetryPolicy::wait_timeout), [`ErrorKind::ShutDown`],
    /// or [`ErrorKind::NoRuntime`] outside of tokio.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the waiting and nothing else: the exchange goes on.
    pub async fn token(&self) -> Result<ShortTermToken, Error> {
        if let Some(token) = self.shared.cell.token(self.shared.now()) {
            return Ok(token);
        }
        let published = wait::for_token(&self.shared, Generation(0)).await?;
        Ok(published.token.clone())
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
    pub async fn authorization(&self) -> Result<HeaderValue, Error> {
        Ok(self.header().await?.0)
    }

    /// The token in use, if there is a good one at this moment. Never waits.
    pub fn current(&self) -> Option<ShortTermToken> {
        let published = self.shared.cell.load()?;
        published
            .is_usable(self.shared.now())
            .then(|| published.token.clone())
    }

    /// A token that is newer than the present one, whatever the present one's state. If an
    /// exchange is under way, its token is the one.
    ///
    /// # Errors
    ///
    /// As [`token`](Self::token). The present token stays in use.
    ///
    /// # Cancel safety
    ///
    /// As [`token`](Self::token).
    pub async fn refresh(&self) -> Result<ShortTermToken, Error> {
        let present = self.present_generation();
        let published = wait::for_token(&self.shared, present).await?;
        Ok(published.token.clone())
    }

    /// Says that a resource server refused this token with a 401, and returns one to try instead.
    ///
    /// If the token is no longer the one in use, the one in use is returned and nothing is
    /// exchanged. Otherwise one exchange is made, however many callers report the same token.
    /// The middleware does this by itself.
    ///
    /// # Errors
    ///
    /// As [`token`](Self::token); and [`ErrorKind::Denied`] if a refresh that a 401 asked for was
    /// so recent ([`RefreshPolicy::between_denials`](crate::RefreshPolicy::between_denials)) that
    /// another one is no use.
    ///
    /// # Cancel safety
    ///
    /// As [`token`](Self::token).
    pub async fn reject(&self, token: &ShortTermToken) -> Result<ShortTermToken, Error> {
        let refused = match self.shared.cell.load() {
            Some(published) if published.token.is(token) => published.window.generation,
            _ => Generation(0),
        };
        if !self.deny(refused) {
            return Err(Error::new(
                ErrorKind::Denied,
                "the resource server refused a token that was minted just now",
            ));
        }
        let published = wait::for_token(&self.shared, refused).await?;
        Ok(published.token.clone())
    }

    /// How the provider is at this moment, for a health check.
    pub fn status(&self) -> Status {
        status::of(&self.shared)
    }

    /// What happens from now on.
    pub fn subscribe(&self) -> Subscription {
        self.shared.observers.subscribe()
    }

    /// Stops refreshing, revokes every live short-term token that was minted here, and the
    /// long-term token if the policy says so; then says what became of each.
    ///
    /// It ends within [`ShutdownPolicy::deadline`](crate::ShutdownPolicy::deadline) of the first
    /// call, whatever the server does. However often and from wherever it is called, there is one
    /// shutdown and one report. Callers that wait for a token, and all later ones, are given
    /// [`ErrorKind::ShutDown`].
    ///
    /// # Cancel safety
    ///
    /// Once polled, the shutdown goes on when the future is dropped; a later call returns the
    /// report.
    pub async fn shutdown(&self) -> ShutdownReport {
        shutdown::shut_down(&self.shared).await
    }

    /// The origins to which the token may go.
    pub fn origins(&self) -> &[Origin] {
        &self.shared.settings.origins
    }

    pub(crate) fn shared_origins(&self) -> Arc<[Origin]> {
        Arc::clone(&self.shared.settings.origins)
    }

    /// The header and the generation of a good token.
    pub(crate) async fn header(&self) -> Result<(HeaderValue, Generation), Error> {
        if let Some(header) = self.shared.cell.header(self.shared.now()) {
            return Ok(header);
        }
        self.header_newer_than(Generation(0)).await
    }

    pub(crate) async fn header_newer_than(
        &self,
        generation: Generation,
    ) -> Result<(HeaderValue, Generation), Error> {
        let published = wait::for_token(&self.shared, generation).await?;
        Ok((
            published.token.authorization().clone(),
            published.window.generation,
        ))
    }

    /// Notes that a resource server refused this generation, and says whether a newer one is
    /// there or on its way.
    pub(crate) fn deny(&self, generation: Generation) -> bool {
        let now = self.shared.now();
        let (news, replaced) = {
            let machine = &mut self.shared.engine().machine;
            let known = machine.replaces(generation);
            machine.handle(Event::Denied(generation), now);
            let replaced = machine.replaces(generation);
            (replaced && !known, replaced)
        };
        if news {
            self.shared.observers.tell(Happening::Denied {
                generation: generation.0,
            });
            self.shared.wake.notify_one();
        }
        replaced
    }

    fn present_generation(&self) -> Generation {
        self.shared
            .cell
            .load()
            .map_or(Generation(0), |published| published.window.generation)
    }
}

impl fmt::Debug for TokenProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = self.status();
        f.debug_struct("TokenProvider")
            .field("issuer", &self.shared.settings.issuer)
            .field("state", &status.state)
            .field("generation", &status.generation)
            .field("handles", &Arc::strong_count(&self.lifeline))
            .finish_non_exhaustive()
    }
}
