//! The same for a plain reqwest client: one call in the chain.

use std::future::Future;

use reqwest::{RequestBuilder, Response};

use super::rules::{self, Rules};
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
    /// Sends the request with the provider's token, in place of
    /// [`send`](RequestBuilder::send): to the provider's [origins](TokenProvider::origins) only,
    /// keeping an `Authorization` header that is there already, and once more with a newer token
    /// after a 401 if the body can be sent twice.
    ///
    /// # Errors
    ///
    /// [`SendError::Token`] if there is no token to be had; the request was not sent.
    /// [`SendError::Request`] for everything that reqwest reports.
    ///
    /// # Cancel safety
    ///
    /// As reqwest's `send`: a dropped future drops the request. An exchange that it waited for
    /// goes on.
    fn send_with(
        self,
        provider: &TokenProvider,
    ) -> impl Future<Output = Result<Response, SendError>> + Send;
}

/// Why a request got no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// There is no token to be had, so the request was not sent.
    #[error("the request was not sent, for there is no token")]
    Token(#[source] Error),
    /// What reqwest reports.
    #[error(transparent)]
    Request(#[from] reqwest::Error),
}

impl RequestBuilderExt for RequestBuilder {
    async fn send_with(self, provider: &TokenProvider) -> Result<Response, SendError> {
        let (client, request) = self.build_split();
        let mut request = request?;
        let rules = Rules::of(provider);
        if !rules.want(provider, &request) {
            return Ok(client.execute(request).await?);
        }
        let (header, generation) = rules::header_for(provider, &request)
            .await
            .map_err(SendError::Token)?;
        let again = rules.put(header, &mut request);
        let response = client.execute(request).await?;
        if !rules.is_refusal(&response) {
            return Ok(response);
        }
        match Box::pin(rules::send_instead(provider, generation, again)).await {
            Some(instead) => Ok(client.execute(instead).await?),
            None => Ok(response),
        }
    }
}
