//! The future of a response.

use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::{Request, Response, Uri};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::BoxError;
use super::attempt::Attempt;
use super::resend::Resend;
use crate::middleware::request_rules::RequestRules;

type BoxFuture<T> = Pin<Box<dyn Future<Output = Result<T, BoxError>> + Send>>;

pin_project! {
    /// The response future of [`Bearer`](super::Bearer). While a token is valid and the server accepts it, the future
    /// allocates nothing.
    pub struct ResponseFuture<S, B, R>
    where
        S: Service<Request<B>>,
        R: Resend<B>,
    {
        #[pin]
        state: State<S::Future, BoxFuture<S::Response>>,
        then: Then<S, R, R::Copy>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<F, W> {
        /// The request was sent.
        Sent { #[pin] response: F },
        /// The request waits for a token, or is sent again.
        Slow { future: W },
    }
}

/// What happens after the response.
enum Then<S, R, C> {
    Nothing,
    /// No origin covers the URI.
    NoteRefusal(Arc<RequestRules>, Uri),
    Resend(Attempt<R, C>, S),
}

impl<S, B, D, R> ResponseFuture<S, B, R>
where
    S: Service<Request<B>, Response = Response<D>> + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: Send + 'static,
    D: Body + Send + 'static,
    R: Resend<B> + Send + 'static,
    R::Copy: Send + 'static,
{
    pub(super) fn unchanged(response: S::Future) -> Self {
        Self {
            state: State::Sent { response },
            then: Then::Nothing,
        }
    }

    pub(super) fn uncovered(response: S::Future, rules: Arc<RequestRules>, uri: Uri) -> Self {
        Self {
            state: State::Sent { response },
            then: Then::NoteRefusal(rules, uri),
        }
    }

    pub(super) fn sent(response: S::Future, attempt: Attempt<R, R::Copy>, again: S) -> Self {
        Self {
            state: State::Sent { response },
            then: Then::Resend(attempt, again),
        }
    }

    /// Waits for a token, and sends the request by the service, which is ready.
    pub(super) fn waiting(
        rules: Arc<RequestRules>,
        resend: R,
        mut ready: S,
        request: Request<B>,
    ) -> Self {
        let future = async move {
            let token = rules.provider.token_before(None).await?;
            let (attempt, request) = Attempt::new(rules, resend, token, request);
            let response = ready.call(request).await.map_err(Into::into)?;
            if attempt.is_refused(response.status(), response.headers()) {
                return attempt.after_refusal(ready, response).await;
            }
            Ok(response)
        };
        Self {
            state: State::Slow {
                future: Box::pin(future),
            },
            then: Then::Nothing,
        }
    }
}

impl<S, B, D, R> Future for ResponseFuture<S, B, R>
where
    S: Service<Request<B>, Response = Response<D>> + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
    B: Send + 'static,
    D: Body + Send + 'static,
    R: Resend<B> + Send + 'static,
    R::Copy: Send + 'static,
{
    type Output = Result<Response<D>, BoxError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let response = match this.state.as_mut().project() {
                StateProjection::Sent { response } => ready!(response.poll(context)),
                StateProjection::Slow { future } => return future.as_mut().poll(context),
            };
            let response = match response {
                Ok(response) => response,
                Err(error) => {
                    *this.then = Then::Nothing;
                    return Poll::Ready(Err(error.into()));
                }
            };
            let (status, headers) = (response.status(), response.headers());
            match this.then {
                Then::Resend(attempt, _) if attempt.is_refused(status, headers) => {}
                then => {
                    if let Then::NoteRefusal(rules, uri) = then {
                        rules.note_uncovered(uri, status);
                    }
                    // Drops the copy of the request, since the caller may keep the future.
                    *then = Then::Nothing;
                    return Poll::Ready(Ok(response));
                }
            }
            if let Then::Resend(attempt, again) = mem::replace(this.then, Then::Nothing) {
                let future = Box::pin(attempt.after_refusal(again, response));
                this.state.set(State::Slow { future });
            }
        }
    }
}

impl<S, B, R> fmt::Debug for ResponseFuture<S, B, R>
where
    S: Service<Request<B>>,
    R: Resend<B>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
