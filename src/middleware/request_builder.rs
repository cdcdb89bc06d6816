//! The adapter of a plain reqwest client: one call in place of `send`.

use std::future::Future;

use reqwest::{RequestBuilder, Response};

use super::NOT_SENT;
use super::request_rules::Wants;
use super::send::{self, After, Sent};
use crate::error::Error;
use crate::provider::TokenProvider;

/// Sends a request of a plain [`reqwest::Client`] with a provider's token.
///
/// # Examples
///
/// ```no_run
/// use everbearer::{RequestBuilderExt, TokenProvider};
///
/// # async fn example(provider: &TokenProvider) -> Result<(), everbearer::SendError> {
/// let client = reqwest::Client::new();
/// let response = client
///     .get("https://api.example.com/v1/jobs")
///     .send_with(provider)
///     .await?;
/// # Ok(())
/// # }
/// ```
pub trait RequestBuilderExt {
    /// Sends the request with the provider's token, in place of [`send`](RequestBuilder::send).
    ///
    /// It adds the token to requests to the provider's [origins](TokenProvider::origins) only, and keeps an
    /// `Authorization` header that the request already has. After a refusal, it sends the request once more
    /// with a newer token, if the body can be sent twice. It waits, delays refusals and resends as
    /// `BearerMiddleware` does.
    ///
    /// A redirect back to the same URL is not visible to this method. If a server answers a POST with such a
    /// redirect, use a client that follows no redirects, since the POST may otherwise be sent twice.
    ///
    /// # Errors
    ///
    /// Returns [`SendError::Token`] if no token is available, in which case the request was not sent, and
    /// [`SendError::Request`] for an error of reqwest.
    ///
    /// # Cancel safety
    ///
    /// As reqwest's `send`: dropping the future cancels the request. An exchange that it waits for continues.
    ///
    /// # Examples
    ///
    /// ```
    /// # use everbearer::testkit::AuthServer;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = AuthServer::start().await?;
    /// use everbearer::{AuthApi, Grant, RequestBuilderExt, TokenProvider};
    /// # let grant = Grant::client_secret(server.client_id(), server.client_secret());
    /// # let provider = TokenProvider::builder(AuthApi::new(server.base_url())?, grant).build()?;
    ///
    /// let response = reqwest::Client::new().get(server.url("/jobs")).send_with(&provider).await?;
    /// assert_eq!(response.status(), 200);
    /// # Ok(())
    /// # }
    /// ```
    fn send_with(
        self,
        provider: &TokenProvider,
    ) -> impl Future<Output = Result<Response, SendError>> + Send;
}

/// Describes why a request got no response.
///
/// # Examples
///
/// ```no_run
/// use everbearer::{RequestBuilderExt, SendError, TokenProvider};
///
/// # async fn example(provider: &TokenProvider) {
/// let request = reqwest::Client::new().get("https://api.example.com/v1/jobs");
/// match request.send_with(provider).await {
///     Ok(response) => println!("{}", response.status()),
///     Err(SendError::Token(error)) => println!("not sent, since there is no token: {error}"),
///     Err(error) => println!("{error}"),
/// }
/// # }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// No token is available, so the request was not sent.
    #[error("{NOT_SENT}")]
    Token(#[source] Error),
    /// An error of reqwest.
    #[error(transparent)]
    Request(#[from] reqwest::Error),
}

impl RequestBuilderExt for RequestBuilder {
    async fn send_with(self, provider: &TokenProvider) -> Result<Response, SendError> {
        let (client, request) = self.build_split();
        let mut request = request?;
        let rules = provider.request_rules();
        let origin = match send::origin_of(&rules, &request) {
            Ok(origin) => origin,
            Err(Wants::Uncovered) => {
                let response = client.execute(request).await?;
                send::note_if_refused(&rules, &response);
                return Ok(response);
            }
            Err(_) => return Ok(client.execute(request).await?),
        };
        let token = send::token(&rules, &mut request, None).await;
        let sent = Sent::new(&mut request, token.map_err(SendError::Token)?, origin, true);
        let response = client.execute(request).await?;
        if !send::is_refusal(&rules, &sent, &response) {
            return Ok(response);
        }
        match Box::pin(send::after_refusal(&rules, sent, response)).await {
            After::Resend(request) => Ok(client.execute(request).await?),
            After::Return(refusal) => Ok(refusal),
        }
    }
}
