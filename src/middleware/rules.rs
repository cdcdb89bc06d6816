//! Which requests are given a token, whose header wins, and what happens after a 401.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use http::header::{AUTHORIZATION, HeaderValue, WWW_AUTHENTICATE};
use reqwest::{Request, Response, Url};

use crate::error::{Error, ErrorKind};
use crate::machine::Generation;
use crate::origin::Origin;
use crate::provider::TokenProvider;

#[derive(Clone, Debug)]
pub(super) struct Rules {
    pub(super) origins: Arc<[Origin]>,
    pub(super) overwrite: bool,
}

/// A request that is on its way with a token.
pub(super) struct Authorized {
    generation: Generation,
    /// The same request once more, if its body can be sent twice.
    again: Option<Request>,
}

impl Rules {
    pub(super) fn of(provider: &TokenProvider) -> Self {
        Self {
            origins: provider.shared_origins(),
            overwrite: false,
        }
    }

    /// Puts the token on the request, if the rules allow it one.
    pub(super) async fn authorize(
        &self,
        provider: &TokenProvider,
        request: &mut Request,
    ) -> Result<Option<Authorized>, Error> {
        if !self.allow(request.url()) {
            tracing::debug!(
                target: "everbearer",
                host = request.url().host_str(),
                "left a request without a token: its origin is not on the list"
            );
            return Ok(None);
        }
        if !self.overwrite && request.headers().contains_key(AUTHORIZATION) {
            return Ok(None);
        }
        if provider.is_exchanging_here() {
            return Ok(None);
        }
        let (header, generation) = if let Some(header) = provider.header_at_once() {
            header
        } else {
            let limit = request.timeout().copied();
            wait_for_header(provider, Generation(0), limit).await?
        };
        let again = request.try_clone();
        request.headers_mut().insert(AUTHORIZATION, header);
        Ok(Some(Authorized { generation, again }))
    }

    /// The request to send instead, with a newer token, if the response says that the token was
    /// not accepted and there is a newer one to be had.
    pub(super) async fn after(
        &self,
        provider: &TokenProvider,
        authorized: Authorized,
        response: &Response,
    ) -> Option<Request> {
        // After a redirect to elsewhere, the answer is not about our token.
        if !refuses_token(response) || !self.allow(response.url()) {
            return None;
        }
        let Authorized { generation, again } = authorized;
        let replaced = provider.deny(generation);
        let mut request = again.filter(|_| replaced)?;
        // Without a newer token, the caller is given the 401, which says more than our failure.
        let limit = request.timeout().copied();
        let (header, _) = wait_for_header(provider, generation, limit).await.ok()?;
        request.headers_mut().insert(AUTHORIZATION, header);
        provider.note_resend();
        Some(request)
    }

    fn allow(&self, url: &Url) -> bool {
        self.origins.iter().any(|origin| origin.covers(url))
    }
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
            .any(|challenge| {
                challenge
                    .to_str()
                    .is_ok_and(|challenge| challenge.contains("insufficient_scope"))
            })
}
