//! The middleware for clients of the reqwest-middleware crate.

use std::fmt;

use async_trait::async_trait;
use http::Extensions;
use reqwest::{Request, Response};
use reqwest_middleware::{Middleware, Next};

use super::rules::Rules;
use crate::error::Error;
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
            tracing::warn!(
                target: "everbearer",
                "the middleware knows no origin and will put the token on no request; name one \
                 with TokenProviderBuilder::origins"
            );
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

#[async_trait]
impl Middleware for BearerMiddleware {
    async fn handle(
        &self,
        mut request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> reqwest_middleware::Result<Response> {
        let authorized = self
            .rules
            .authorize(&self.provider, &mut request)
            .await
            .map_err(reqwest_middleware::Error::middleware)?;
        let Some(authorized) = authorized else {
            return next.run(request, extensions).await;
        };
        let response = next.clone().run(request, extensions).await?;
        match self
            .rules
            .after(&self.provider, authorized, &response)
            .await
        {
            Some(again) => next.run(again, extensions).await,
            None => Ok(response),
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
