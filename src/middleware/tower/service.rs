//! The service, which adds the token to a request.

use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::BoxError;
use super::attempt::Attempt;
use super::resend::{CloneBody, Resend};
use super::response_future::ResponseFuture;
use crate::middleware::request_rules::{RequestRules, Wants};

/// The service of [`BearerLayer`](super::BearerLayer), which adds tokens to the requests for the service `S`.
///
/// # Examples
///
/// ```
/// use everbearer::tower::Bearer;
/// use tower::Layer;
///
/// # fn example<C>(provider: &everbearer::TokenProvider, client: C) {
/// let service: Bearer<C> = provider.layer().layer(client);
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Bearer<S, R = CloneBody> {
    pub(super) inner: S,
    pub(super) rules: Arc<RequestRules>,
    pub(super) resend: R,
}

impl<S, B, D, R> Service<Request<B>> for Bearer<S, R>
where
    S: Service<Request<B>, Response = Response<D>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: Send + 'static,
    D: Body + Send + 'static,
    R: Resend<B> + Clone + Send + 'static,
    R::Copy: Send + 'static,
{
    type Response = Response<D>;
    type Error = BoxError;
    type Future = ResponseFuture<S, B, R>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let uri = request.uri();
        match self.rules.wants(uri, request.headers()) {
            Wants::Token => {}
            Wants::Uncovered => {
                let uri = uri.clone();
                let future = self.inner.call(request);
                return ResponseFuture::uncovered(future, Arc::clone(&self.rules), uri);
            }
            Wants::Nothing => return ResponseFuture::unchanged(self.inner.call(request)),
        }
        let rules = Arc::clone(&self.rules);
        let resend = self.resend.clone();
        let Some(token) = rules.provider.token_at_once() else {
            // The service that is ready gets the request.
            let clone = self.inner.clone();
            let ready = mem::replace(&mut self.inner, clone);
            return ResponseFuture::waiting(rules, resend, ready, request);
        };
        let (attempt, request) = Attempt::new(rules, resend, token, request);
        let again = self.inner.clone();
        ResponseFuture::sent(self.inner.call(request), attempt, again)
    }
}
