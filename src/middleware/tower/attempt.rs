//! A request that was sent with a token, and is sent once more after a refusal.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;

use bytes::Buf;
use futures_util::future::poll_immediate;
use http::header::AUTHORIZATION;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::Body;
use tower_service::Service;

use super::BoxError;
use super::resend::Resend;
use crate::middleware::refusal::refuses_token;
use crate::middleware::request_rules::RequestRules;
use crate::provider::{Carried, RequestToken};

/// How many bytes of a refusal are read at most.
const LONGEST_DISCARDED: usize = 64 * 1024;

/// What is kept of a request until its response arrives.
pub(super) struct Attempt<R, C> {
    rules: Arc<RequestRules>,
    resend: R,
    carried: Carried,
    /// What is kept of the request without the token, if it may be sent again.
    copy: Option<C>,
}

impl<R, C> Attempt<R, C> {
    /// Adds the token to the request.
    #[inline]
    pub(super) fn new<B>(
        rules: Arc<RequestRules>,
        resend: R,
        token: RequestToken,
        request: Request<B>,
    ) -> (Self, Request<B>)
    where
        R: Resend<B, Copy = C>,
    {
        let (mut request, copy) = resend.keep(request);
        let carried = token.carried;
        let headers = request.headers_mut();
        headers.insert(AUTHORIZATION, token.into_header());
        let attempt = Self {
            rules,
            resend,
            carried,
            copy,
        };
        (attempt, request)
    }

    pub(super) fn is_refused(&self, status: StatusCode, headers: &HeaderMap) -> bool {
        refuses_token(&self.rules.refusals, status, headers)
    }

    /// Sends the request once more with a newer token, or returns the refusal if that is not possible.
    pub(super) async fn after_refusal<S, B, D>(
        self,
        mut service: S,
        refusal: Response<D>,
    ) -> Result<Response<D>, BoxError>
    where
        S: Service<Request<B>, Response = Response<D>>,
        S::Error: Into<BoxError>,
        R: Resend<B, Copy = C>,
        D: Body,
    {
        let provider = &self.rules.provider;
        let again = self.copy.and_then(|copy| self.resend.again(copy));
        let newer = provider.newer_token(self.carried, again.is_some(), None);
        let Some((newer, mut request)) = newer.await.zip(again) else {
            return Ok(refusal);
        };
        let headers = request.headers_mut();
        headers.insert(AUTHORIZATION, newer.into_header());
        poll_fn(|context| service.poll_ready(context))
            .await
            .map_err(Into::into)?;
        discard(refusal.into_body()).await;
        provider.note_resend();
        service.call(request).await.map_err(Into::into)
    }
}

/// Reads what has arrived of the refusal's body, up to a limit. If the body is complete, the client can reuse an
/// HTTP/1 connection.
async fn discard<D: Body>(body: D) {
    let mut body = pin!(body);
    let mut left = LONGEST_DISCARDED;
    while left > 0 {
        let next = poll_immediate(poll_fn(|context| body.as_mut().poll_frame(context)));
        let Some(Some(Ok(frame))) = next.await else {
            return;
        };
        let length = frame.data_ref().map_or(0, Buf::remaining);
        left = left.saturating_sub(length.max(1));
    }
}
