//! Which requests are given a token, whose header wins, and what happens after a 401.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use http::header::{AUTHORIZATION, HeaderValue, WWW_AUTHENTICATE};
use reqwest::{Request, Response, Url};

use super::challenge::has_param;
use crate::error::{Error, ErrorKind};
use crate::machine::Generation;
use crate::observe;
use crate::origin::Origin;
use crate::provider::TokenProvider;

#[derive(Clone, Debug)]
pub(super) struct Rules {
    pub(super) origins: Arc<[Origin]>,
    pub(super) overwrite: bool,
    pub(super) resend: bool,
}

impl Rules {
    pub(super) fn of(provider: &TokenProvider) -> Self {
        Self {
            origins: provider.shared_origins(),
            overwrite: false,
            resend: true,
        }
    }

    /// Whether the request is to be given a token.
    #[inline]
    pub(super) fn want(&self, provider: &TokenProvider, request: &Request) -> bool {
        if !self.allow(request.url()) {
            observe::log_left_without_token(request.url().host_str());
            return false;
        }
        (self.overwrite || !request.headers().contains_key(AUTHORIZATION))
            && !provider.is_exchanging_here()
    }

    /// Whether the response says that the token was not accepted. After a redirect to elsewhere,
    /// it is not about our token.
    #[inline]
    pub(super) fn is_refusal(&self, response: &Response) -> bool {
        refuses_token(response) && self.allow(response.url())
    }

    /// Puts the token on the request. The same request without it, if it is to be sent once more
    /// after a refusal and can be sent twice. The copy is the larger part of what all this costs.
    #[inline]
    pub(super) fn put(&self, header: HeaderValue, request: &mut Request) -> Option<Request> {
        let again = if self.resend {
            request.try_clone()
        } else {
            None
        };
        request.headers_mut().insert(AUTHORIZATION, header);
        again
    }

    fn allow(&self, url: &Url) -> bool {
        self.origins.iter().any(|origin| origin.covers(url))
    }
}

/// The header for this request. What is seldom polled is boxed, here as elsewhere, so that the
/// future of each request stays small.
#[inline]
pub(super) async fn header_for(
    provider: &TokenProvider,
    request: &Request,
) -> Result<(HeaderValue, Generation), Error> {
    if let Some(header) = provider.header_at_once() {
        return Ok(header);
    }
    let limit = request.timeout().copied();
    Box::pin(wait_for_header(provider, Generation(0), limit)).await
}

/// The request to send instead of one whose token was refused, if it can be sent twice and there
/// is a newer token to be had. Without one, the caller is given the 401, which says more than our
/// failure.
pub(super) async fn send_instead(
    provider: &TokenProvider,
    refused: Generation,
    again: Option<Request>,
) -> Option<Request> {
    let replaced = provider.deny(refused);
    let mut request = again.filter(|_| replaced)?;
    let limit = request.timeout().copied();
    let (header, _) = wait_for_header(provider, refused, limit).await.ok()?;
    request.headers_mut().insert(AUTHORIZATION, header);
    provider.note_resend();
    Some(request)
}

/// Waits no longer than the request itself may take.
async fn wait_for_header(
    provider: &TokenProvider,
    newer_than: Generation,
    limit: Option<Duration>,
) -> Result<(HeaderValue, Generation), Error> {
    let header = provider.header_newer_than(newer_than);
    match limit {
        None => header.await,
        Some(limit) => tokio::time::timeout(limit, header)
            .await
            .unwrap_or_else(|_| {
                Err(Error::new(
                    ErrorKind::WaitTimeout,
                    "no token within the request's own timeout; the attempts go on",
                ))
            }),
    }
}

/// Whether a new token may help: not where the token was understood but grants too little
/// (RFC 6750, section 3.1).
fn refuses_token(response: &Response) -> bool {
    response.status() == StatusCode::UNAUTHORIZED
        && !response
            .headers()
            .get_all(WWW_AUTHENTICATE)
            .iter()
            .any(|header| has_param(header.as_bytes(), "error", "insufficient_scope"))
}
