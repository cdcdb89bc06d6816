//! The middleware for clients of the reqwest-middleware crate.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use http::Extensions;
use reqwest::{Request, Response};
use reqwest_middleware::{Middleware, Next};

use super::NOT_SENT;
use super::rules::{RequestRules, Want};
use super::sending::{self, After, Sent};
use crate::error::Error;
use crate::observe;
use crate::provider::TokenProvider;

/// Puts the token of a [`TokenProvider`] on the requests of a reqwest-middleware client.
///
/// - Only requests to the provider's [origins](TokenProvider::origins) are given the token; others
///   go out as they are, with one warning for each origin.
/// - A request that has an `Authorization` header already keeps it. One that stands in the reqwest
///   client's default headers cannot be seen from here, and gives way to the token.
/// - After a refusal, which is a 401 or what
///   [`refusal_statuses`](crate::TokenProviderBuilder::refusal_statuses) names, a request whose body can be
///   sent twice is sent once more with a newer token: the one in use if it is newer, or else the one that
///   an exchange brings. A refusal that names `insufficient_scope` is no reason for that.
/// - A request is not sent again if the answer came from another URL than the one that was asked. A redirect
///   back to the same URL cannot be seen from here: for a client that follows those, turn
///   [`resend`](Self::resend) off.
/// - The refusal of a request that cannot be sent again is held back until the newer token is there, for 5 s
///   at most, so that the caller's next attempt uses that token.
/// - If no token is available, the middleware returns an error without sending the request.
///   [`Error::find_in`] finds the cause.
/// - A request's own timeout, or [`timeout`](Self::timeout), bounds all of it: waiting for a token, sending,
///   waiting for a newer token and sending again.
///
/// The client's proxy settings are its own: with a proxy, requests to a loopback address go there
/// in the clear, unless the client is built with `no_proxy` or the environment excepts them.
///
/// Place it behind middleware that retries, so that each retry is given the token of its time. For the crate
/// reqwest-retry, this strategy tells which of our errors a retry may help:
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
    /// A middleware that puts this provider's token on requests.
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
    /// Whether an `Authorization` header that the request has already is replaced.
    /// Default: false.
    #[must_use]
    pub fn overwrite(mut self, overwrite: bool) -> Self {
        self.rules = self.rules.overwrite(overwrite);
        self
    }

    /// Whether a request whose token was refused is sent once more with a newer one, if its body
    /// can be sent twice. Without that the caller is given the refusal, which causes the exchange for a
    /// newer token all the same. Default: true.
    ///
    /// A request that may be sent again is copied first, as reqwest offers it: that is most of what
    /// this middleware adds to a request.
    /// [`send_with`](crate::RequestBuilderExt::send_with) always sends again.
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

    /// Sets the deadline for requests without a timeout of their own. It covers waiting for a token, sending,
    /// waiting for a newer token after a refusal and sending again. It becomes the
    /// [timeout of the request](reqwest::RequestBuilder::timeout), in place of the client's. Default: none.
    ///
    /// The client's timeout ([`ClientBuilder::timeout`](reqwest::ClientBuilder::timeout)) is not visible to a
    /// middleware. It restarts each time the request is sent.
    /// Without this setting, [`RetryPolicy::wait_timeout`](crate::RetryPolicy::wait_timeout) bounds each wait.
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

    /// The origins whose requests this middleware gives the token, instead of the provider's: for
    /// a client that is to send it to fewer of them, or to others.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if one is neither https nor http to a loopback address or to
    /// a host that
    /// [`TokenProviderBuilder::allow_plain_http_to`](crate::TokenProviderBuilder::allow_plain_http_to) names.
    pub fn origins<S: AsRef<str>>(
        mut self,
        origins: impl IntoIterator<Item = S>,
    ) -> Result<Self, Error> {
        self.rules = self.rules.origins(origins)?;
        Ok(self)
    }
}

type Answer<'a> = Pin<Box<dyn Future<Output = reqwest_middleware::Result<Response>> + Send + 'a>>;

/// Written out, for `async_trait` makes a future that holds the request twice; and a request that is
/// none of ours costs no future.
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
        let origin = match sending::want(&self.rules, &request) {
            Want::Token(origin) => origin,
            Want::Nothing => return next.run(request, extensions),
            Want::Uncovered => {
                return Box::pin(async move {
                    let response = next.run(request, extensions).await?;
                    sending::note_if_refused(&self.rules, &response);
                    Ok(response)
                });
            }
        };
        Box::pin(async move {
            let sent =
                sending::prepare(&self.rules, &mut request, origin, self.resend, self.timeout);
            let sent = sent.await.map_err(no_token)?;
            let response = next.clone().run(request, extensions).await?;
            if sending::is_refusal(&self.rules, &sent, &response) {
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
        match sending::after_refusal(&self.rules, sent, refusal).await {
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
