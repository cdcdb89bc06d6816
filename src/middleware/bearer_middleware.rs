//! The middleware for clients of the reqwest-middleware crate.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use http::Extensions;
use reqwest::{Request, Response};
use reqwest_middleware::{Middleware, Next};

use super::NOT_SENT;
use super::request_rules::{RequestRules, Wants};
use super::send::{self, After, Sent};
use crate::error::Error;
use crate::observe;
use crate::provider::TokenProvider;

/// Adds the token of a [`TokenProvider`] to the requests of a reqwest-middleware client.
///
/// - It adds the token to requests to the provider's [origins](TokenProvider::origins) only. It sends other
///   requests unchanged, and logs one warning for each of their origins.
/// - A request keeps an `Authorization` header that it already has. A header among the default headers of the
///   reqwest client is not visible to a middleware; the token replaces it.
/// - A refusal is a 401, or a status that [`refusal_statuses`](crate::TokenProviderBuilder::refusal_statuses)
///   lists. After a refusal, the middleware sends the request once more with a newer token, if its body can
///   be sent twice. The newer token is the token in use, if that is newer, or the token of the next exchange.
///   It does not resend a request after a refusal with `insufficient_scope`.
/// - It does not resend a request whose response came from another URL than the requested one. A redirect
///   back to the same URL is not visible to a middleware: if the client follows such redirects, disable
///   [`resend`](Self::resend).
/// - If a request cannot be sent again, the middleware delays the refusal until the newer token is available,
///   for at most 5 s, so that the caller's next attempt uses that token.
/// - If no token is available, the middleware returns an error without sending the request.
///   [`Error::find_in`] finds the cause.
/// - The request's own timeout, or [`timeout`](Self::timeout), covers waiting for a token, sending, waiting
///   for a newer token and resending.
///
/// The client uses its own proxy settings: with a proxy, requests to a loopback address go through the proxy
/// unencrypted, unless the client is built with `no_proxy` or the environment excludes the address.
///
/// Place the middleware behind middleware that retries, so that each retry gets the token that is then in
/// use. For the crate reqwest-retry, this strategy retries only errors of the provider that are retryable:
///
/// ```
/// use everbearer::Error;
/// use reqwest_retry::{
///     Retryable, RetryableStrategy, default_on_request_failure, default_on_request_success,
/// };
///
/// struct Strategy;
///
/// impl RetryableStrategy for Strategy {
///     fn handle(
///         &self,
///         outcome: &Result<reqwest::Response, reqwest_middleware::Error>,
///     ) -> Option<Retryable> {
///         let error = match outcome {
///             Ok(response) => return default_on_request_success(response),
///             Err(error) => error,
///         };
///         match Error::find_in(error) {
///             Some(error) if error.is_retryable() => Some(Retryable::Transient),
///             Some(_) => Some(Retryable::Fatal),
///             None => default_on_request_failure(error),
///         }
///     }
/// }
/// ```
///
/// # Examples
///
/// ```no_run
/// # use everbearer::{AuthApi, Grant, TokenProvider};
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let api = AuthApi::new("https://api.example.com/v1")?;
/// let provider = TokenProvider::builder(api, Grant::client_secret("id", "secret")).build()?;
/// let client = reqwest_middleware::ClientBuilder::new(reqwest::Client::new())
///     .with(provider.middleware())
///     .build();
/// client.get("https://api.example.com/v1/jobs").send().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct BearerMiddleware {
    rules: RequestRules,
    resend: bool,
    timeout: Option<Duration>,
}

impl TokenProvider {
    /// Returns a middleware that adds this provider's token to requests. If the provider has no
    /// [origins](Self::origins), it logs a warning, since the middleware then adds the token to no request.
    ///
    /// # Examples
    ///
    /// ```
    /// # use everbearer::testkit::AuthServer;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = AuthServer::start().await?;
    /// use everbearer::{AuthApi, Grant, TokenProvider};
    /// # let grant = Grant::client_secret(server.client_id(), server.client_secret());
    /// # let provider = TokenProvider::builder(AuthApi::new(server.base_url())?, grant).build()?;
    ///
    /// let client = reqwest_middleware::ClientBuilder::new(reqwest::Client::new())
    ///     .with(provider.middleware())
    ///     .build();
    /// assert_eq!(client.get(server.url("/jobs")).send().await?.status(), 200);
    /// # Ok(())
    /// # }
    /// ```
    pub fn middleware(&self) -> BearerMiddleware {
        if self.origins().is_empty() {
            observe::log_no_origin(self.name());
        }
        BearerMiddleware {
            rules: self.request_rules(),
            resend: true,
            timeout: None,
        }
    }
}

impl BearerMiddleware {
    /// Sets whether the token replaces an `Authorization` header that the request already has. Default:
    /// false.
    ///
    /// ```
    /// # fn example(provider: &everbearer::TokenProvider) {
    /// let middleware = provider.middleware().overwrite(true);
    /// # }
    /// ```
    #[must_use]
    pub fn overwrite(mut self, overwrite: bool) -> Self {
        self.rules = self.rules.overwrite(overwrite);
        self
    }

    /// Sets whether the middleware resends a request once with a newer token after a refusal, if the body can
    /// be sent twice. Default: true.
    ///
    /// If false, the caller gets the refusal. The refusal still causes an exchange for a newer token.
    ///
    /// The middleware copies each request that it may have to resend, with reqwest's `try_clone`. That copy
    /// is most of what the middleware adds to the cost of a request.
    /// [`send_with`](crate::RequestBuilderExt::send_with) always resends.
    ///
    /// ```
    /// # fn example(provider: &everbearer::TokenProvider) {
    /// let middleware = provider.middleware().resend(false);
    /// # }
    /// ```
    #[must_use]
    pub const fn resend(mut self, resend: bool) -> Self {
        self.resend = resend;
        self
    }

    /// Sets the deadline of requests that have no timeout of their own. Default: none.
    ///
    /// The deadline covers waiting for a token, sending, waiting for a newer token after a refusal and
    /// resending. It becomes the [timeout of the request](reqwest::RequestBuilder::timeout), in place of the
    /// client's.
    ///
    /// The client's timeout ([`ClientBuilder::timeout`](reqwest::ClientBuilder::timeout)) is not visible to a
    /// middleware, and restarts each time the request is sent. Without a deadline,
    /// [`RetryPolicy::wait_timeout`](crate::RetryPolicy::wait_timeout) limits each wait for a token.
    ///
    /// ```
    /// # fn example(provider: &everbearer::TokenProvider) {
    /// let middleware = provider.middleware().timeout(std::time::Duration::from_secs(10));
    /// # }
    /// ```
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sets the origins to whose requests this middleware adds the token, in place of the provider's, for a
    /// client that should send the token to fewer origins or to others.
    ///
    /// # Errors
    ///
    /// Returns [`ErrorKind::Config`](crate::ErrorKind::Config) if an origin is neither https nor http to a
    /// loopback address or to a host that
    /// [`TokenProviderBuilder::allow_plain_http_to`](crate::TokenProviderBuilder::allow_plain_http_to) names.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn example(provider: &everbearer::TokenProvider) -> Result<(), everbearer::Error> {
    /// let middleware = provider.middleware().origins(["https://jobs.example.com"])?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn origins<S: AsRef<str>>(
        mut self,
        origins: impl IntoIterator<Item = S>,
    ) -> Result<Self, Error> {
        self.rules = self.rules.origins(origins)?;
        Ok(self)
    }
}

type Answer<'a> = Pin<Box<dyn Future<Output = reqwest_middleware::Result<Response>> + Send + 'a>>;

// Without `async_trait`, whose future holds the request twice. A request without a token costs no future.
impl Middleware for BearerMiddleware {
    fn handle<'a, 'life1, 'life2, 'async_trait>(
        &'a self,
        mut request: Request,
        extensions: &'life1 mut Extensions,
        next: Next<'life2>,
    ) -> Answer<'async_trait>
    where
        Self: 'async_trait,
        'a: 'async_trait,
        'life1: 'async_trait,
        'life2: 'async_trait,
    {
        let origin = match send::origin_of(&self.rules, &request) {
            Ok(origin) => origin,
            Err(Wants::Uncovered) => {
                return Box::pin(async move {
                    let response = next.run(request, extensions).await?;
                    send::note_if_refused(&self.rules, &response);
                    Ok(response)
                });
            }
            Err(_) => return next.run(request, extensions),
        };
        Box::pin(async move {
            let token = send::token(&self.rules, &mut request, self.timeout).await;
            let token = token.map_err(no_token)?;
            let sent = Sent::new(&mut request, token, origin, self.resend);
            let response = next.clone().run(request, extensions).await?;
            if send::is_refusal(&self.rules, &sent, &response) {
                return Box::pin(self.after_refusal(response, sent, extensions, next)).await;
            }
            Ok(response)
        })
    }
}

impl BearerMiddleware {
    async fn after_refusal(
        &self,
        refusal: Response,
        sent: Sent,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> reqwest_middleware::Result<Response> {
        match send::after_refusal(&self.rules, sent, refusal).await {
            After::Resend(request) => next.run(request, extensions).await,
            After::Return(refusal) => Ok(refusal),
        }
    }
}

/// With a context, our error is in the chain of sources: `reqwest_middleware::Error` shows the sources of
/// the outermost error only.
fn no_token(error: Error) -> reqwest_middleware::Error {
    anyhow::Error::new(error).context(NOT_SENT).into()
}

impl fmt::Debug for BearerMiddleware {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BearerMiddleware")
            .field("rules", &self.rules)
            .field("resend", &self.resend)
            .field("timeout", &self.timeout)
            .finish()
    }
}
