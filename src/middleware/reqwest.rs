//! The middleware for clients of the reqwest-middleware crate.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use http::Extensions;
use reqwest::{Request, Response};
use reqwest_middleware::{Middleware, Next};

use super::rules::{self, Rules};
use crate::error::Error;
use crate::machine::Generation;
use crate::observe;
use crate::provider::TokenProvider;

/// Puts the token of a [`TokenProvider`] on the requests of a reqwest-middleware client.
///
/// - Only requests to the provider's [origins](TokenProvider::origins) are given the token; others
///   go out as they are.
/// - A request that has an `Authorization` header already keeps it. One that stands in the reqwest
///   client's default headers cannot be seen from here, and gives way to the token.
/// - After a 401, a request whose body can be sent twice is sent once more with a newer token: the
///   one in use if it is newer, or else the one that an exchange brings. A 401 that names
///   `insufficient_scope` is no reason for that.
/// - Where there is no token to be had, the request fails with an
///   [`Error`] inside [`reqwest_middleware::Error::Middleware`]; it never goes
///   out without one.
///
/// - A request's own timeout bounds the wait for a token, too.
///
/// The client's proxy settings are its own: with a proxy, requests to a loopback address go there
/// in the clear, unless the client is built with `no_proxy` or the environment excepts them.
///
/// Place it behind middleware that retries, so that each retry is given the token of its time.
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
    provider: TokenProvider,
    rules: Rules,
}

impl TokenProvider {
    /// A middleware that puts this provider's token on requests.
    pub fn middleware(&self) -> BearerMiddleware {
        if self.origins().is_empty() {
            observe::log_no_origin();
        }
        BearerMiddleware {
            rules: Rules::of(self),
            provider: self.clone(),
        }
    }
}

impl BearerMiddleware {
    /// Whether an `Authorization` header that the request has already is replaced.
    /// Default: false.
    #[must_use]
    pub const fn overwrite(mut self, overwrite: bool) -> Self {
        self.rules.overwrite = overwrite;
        self
    }

    /// Whether a request whose token was refused is sent once more with a newer one, if its body
    /// can be sent twice. Without that the caller is given the 401, which brings the exchange of a
    /// newer token about all the same. Default: true.
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
        self.rules.resend = resend;
        self
    }

    /// The origins whose requests this middleware gives the token, instead of the provider's: for
    /// a client that is to send it to fewer of them, or to others.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if one is neither https nor loopback http.
    pub fn origins<S: AsRef<str>>(
        mut self,
        origins: impl IntoIterator<Item = S>,
    ) -> Result<Self, Error> {
        self.rules.origins = origins
            .into_iter()
            .map(|origin| origin.as_ref().parse())
            .collect::<Result<_, Error>>()?;
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
        if !self.rules.want(&self.provider, &request) {
            return next.run(request, extensions);
        }
        Box::pin(async move {
            let (header, generation) = rules::header_for(&self.provider, &request)
                .await
                .map_err(reqwest_middleware::Error::middleware)?;
            let again = self.rules.put(header, &mut request);
            let response = next.clone().run(request, extensions).await?;
            if self.rules.is_refusal(&response) {
                return Box::pin(self.resend_after(response, generation, again, extensions, next))
                    .await;
            }
            Ok(response)
        })
    }
}

impl BearerMiddleware {
    async fn resend_after(
        &self,
        refusal: Response,
        generation: Generation,
        again: Option<Request>,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> reqwest_middleware::Result<Response> {
        match rules::send_instead(&self.provider, generation, again).await {
            Some(instead) => next.run(instead, extensions).await,
            None => Ok(refusal),
        }
    }
}

impl fmt::Debug for BearerMiddleware {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BearerMiddleware")
            .field("provider", &self.provider)
            .field("rules", &self.rules)
            .finish()
    }
}
