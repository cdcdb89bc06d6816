//! The same for a plain reqwest client: one call in the chain.

use std::future::Future;

use reqwest::{RequestBuilder, Response};

use super::NOT_SENT;
use super::rules::Want;
use super::sending::{self, After};
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
    /// after a refusal if the body can be sent twice. It waits, holds refusals back and sends again as
    /// `BearerMiddleware` does.
    ///
    /// A redirect back to the same URL cannot be seen from here. If a server answers a POST with such a
    /// redirect, use a client that follows none, or the POST may be sent twice.
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
    #[error("{NOT_SENT}")]
    Token(#[source] Error),
    /// What reqwest reports.
    #[error(transparent)]
    Request(#[from] reqwest::Error),
}

impl RequestBuilderExt for RequestBuilder {
    async fn send_with(self, provider: &TokenProvider) -> Result<Response, SendError> {
        let (client, request) = self.build_split();
        let mut request = request?;
        let rules = provider.request_rules();
        let origin = match sending::want(&rules, &request) {
            Want::Token(origin) => origin,
            Want::Nothing => return Ok(client.execute(request).await?),
            Want::Uncovered => {
                let response = client.execute(request).await?;
                sending::note_if_refused(&rules, &response);
                return Ok(response);
            }
        };
        let sent = sending::prepare(&rules, &mut request, origin, true, None).await;
        let sent = sent.map_err(SendError::Token)?;
        let response = client.execute(request).await?;
        if !sending::is_refusal(&rules, &sent, &response) {
            return Ok(response);
        }
        match Box::pin(sending::after_refusal(&rules, sent, response)).await {
            After::Resend(request) => Ok(client.execute(request).await?),
            After::Return(refusal) => Ok(refusal),
        }
    }
}
