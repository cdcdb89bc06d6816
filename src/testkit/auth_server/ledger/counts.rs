//! The counts of the auth server for tests.

use crate::testkit::auth_server::faults::Endpoint;
use crate::testkit::auth_server::refusal::{Reason, Refusal};

/// Counts what the server has done since it was started.
///
/// The server counts a request before it sends the response, so a client that has read a response can rely on
/// the numbers.
///
/// # Examples
///
/// ```
/// # use everbearer::testkit::AuthServer;
/// # use everbearer::{AuthApi, Grant, TokenProvider};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = AuthServer::start().await?;
/// # let grant = Grant::client_secret(server.client_id(), server.client_secret());
/// # let provider = TokenProvider::builder(AuthApi::new(server.base_url())?, grant).build()?;
/// provider.ready().await?;
/// let counts = server.counts();
/// assert_eq!(counts.short_term.requests, 1);
/// assert_eq!(counts.max_concurrent_exchanges, 1);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Requests to `POST /auth/tokens/long`.
    pub long_term: EndpointCounts,
    /// Requests to `POST /auth/tokens/short`.
    pub short_term: EndpointCounts,
    /// Requests to `POST /auth/tokens/{tokenId}/revoke`.
    pub revoke: EndpointCounts,
    /// Requests to `GET` and `POST /jobs`.
    pub jobs: EndpointCounts,
    /// Long-term tokens that were issued, including those whose response a fault lost.
    pub long_term_issued: u64,
    /// Short-term tokens that were issued, including those whose response a fault lost.
    pub exchanges_succeeded: u64,
    /// Exchanges that returned a short-term token again, as
    /// [`repeat_short_term_tokens`](crate::testkit::AuthServerBuilder::repeat_short_term_tokens) sets.
    pub exchanges_repeated: u64,
    /// The highest number of requests to `POST /auth/tokens/short` that were in flight at the same time.
    pub max_concurrent_exchanges: u64,
    /// Tokens that clients have revoked. Another revocation of the same token does not count.
    pub revocations: u64,
    /// The outcomes of requests to `/jobs`, without those that a [`Fault`](crate::testkit::Fault) answered.
    pub jobs_outcomes: JobsCounts,
}

/// Counts the requests to one endpoint, including those that a fault answered. A request with another method
/// does not count.
///
/// # Examples
///
/// ```
/// # use everbearer::testkit::AuthServer;
/// # use everbearer::{AuthApi, Grant, TokenProvider};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = AuthServer::start().await?;
/// # let grant = Grant::client_secret(server.client_id(), server.client_secret());
/// # let provider = TokenProvider::builder(AuthApi::new(server.base_url())?, grant).build()?;
/// provider.ready().await?;
/// assert_eq!(server.counts().short_term.successes, 1);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct EndpointCounts {
    /// Requests that arrived.
    pub requests: u64,
    /// Requests that are being processed, delayed or left hanging at this moment.
    pub in_progress: u64,
    /// Responses with a status from 200 to 299.
    pub successes: u64,
    /// Responses with a status from 300 to 399.
    pub redirections: u64,
    /// Responses with a status from 400 to 499.
    pub client_errors: u64,
    /// Responses with a status from 500 on.
    pub server_errors: u64,
}

/// Counts the requests to `/jobs` by outcome.
///
/// # Examples
///
/// ```
/// # use everbearer::testkit::AuthServer;
/// # use everbearer::{AuthApi, Grant, TokenProvider};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = AuthServer::start().await?;
/// # let grant = Grant::client_secret(server.client_id(), server.client_secret());
/// # let provider = TokenProvider::builder(AuthApi::new(server.base_url())?, grant).build()?;
/// let url = server.url("/jobs");
/// reqwest::get(&url).await?;
/// assert_eq!(server.counts().jobs_outcomes.without_token, 1);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct JobsCounts {
    /// Requests that got a 200.
    pub served: u64,
    /// Requests without a bearer token.
    pub without_token: u64,
    /// Requests whose token had expired.
    pub expired: u64,
    /// Requests whose token had been revoked.
    pub revoked: u64,
    /// Requests whose token was not a short-term token of this server, was modified, or was not valid yet.
    pub invalid: u64,
    /// Requests that got a 403, since the token lacks the scope.
    pub forbidden: u64,
}

impl EndpointCounts {
    /// Returns how many requests ended without a complete response, because a
    /// [`Fault`](crate::testkit::Fault) closed the connection or the client did.
    ///
    /// # Examples
    ///
    /// ```
    /// # use everbearer::testkit::AuthServer;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = AuthServer::start().await?;
    /// assert_eq!(server.counts().short_term.unanswered(), 0);
    /// # Ok(())
    /// # }
    /// ```
    pub fn unanswered(&self) -> u64 {
        let answered = self.successes + self.redirections + self.client_errors + self.server_errors;
        self.requests.saturating_sub(answered + self.in_progress)
    }

    fn add_response(&mut self, status: http::StatusCode) {
        match status.as_u16() {
            ..=299 => self.successes += 1,
            300..=399 => self.redirections += 1,
            400..=499 => self.client_errors += 1,
            500.. => self.server_errors += 1,
        }
    }
}

impl JobsCounts {
    pub(super) fn count<T>(&mut self, outcome: &Result<T, Refusal>) {
        let Err(refusal) = outcome else {
            self.served += 1;
            return;
        };
        match refusal.reason {
            Reason::MissingToken => self.without_token += 1,
            Reason::ExpiredToken => self.expired += 1,
            Reason::RevokedToken => self.revoked += 1,
            Reason::InsufficientScope { .. } => self.forbidden += 1,
            _ => self.invalid += 1,
        }
    }
}

impl Counts {
    pub(crate) fn begin(&mut self, endpoint: Endpoint) {
        let counts = self.of(endpoint);
        counts.requests += 1;
        counts.in_progress += 1;
        let exchanges = self.short_term.in_progress;
        self.max_concurrent_exchanges = self.max_concurrent_exchanges.max(exchanges);
    }

    pub(crate) fn answer(&mut self, endpoint: Endpoint, status: http::StatusCode) {
        self.of(endpoint).add_response(status);
    }

    pub(crate) fn end(&mut self, endpoint: Endpoint) {
        let counts = self.of(endpoint);
        counts.in_progress = counts.in_progress.saturating_sub(1);
    }

    fn of(&mut self, endpoint: Endpoint) -> &mut EndpointCounts {
        match endpoint {
            Endpoint::LongTerm => &mut self.long_term,
            Endpoint::ShortTerm => &mut self.short_term,
            Endpoint::Revoke => &mut self.revoke,
            Endpoint::Jobs => &mut self.jobs,
        }
    }
}
