//! How a request is sent twice.

use std::convert::Infallible;
use std::fmt;

use bytes::Bytes;
use http::Request;
use http::request::Parts;
use http_body::Body;

use super::replay_body::{ReplayBody, Tape};

/// Defines how [`BearerLayer`](super::BearerLayer) sends a request with a body `B` again. [`CloneBody`], [`Replay`]
/// and [`NoResend`] implement it; the methods of the layer select one of them. Pass another
/// implementation to [`resend_by`](super::BearerLayer::resend_by).
///
/// # Examples
///
/// ```
/// use everbearer::tower::{Bearer, BearerLayer, Resend};
/// use tower::Layer;
///
/// fn wrap<S, R: Resend<String> + Clone>(client: S, layer: &BearerLayer<R>) -> Bearer<S, R> {
///     layer.layer(client)
/// }
/// ```
pub trait Resend<B> {
    /// What the layer keeps of the request until the response arrives.
    type Copy;

    /// Returns the request to send, and what to keep of it, or `None` if the request is not sent again. The request
    /// has no token yet.
    fn keep(&self, request: Request<B>) -> (Request<B>, Option<Self::Copy>);

    /// Returns the request once more, after a refusal, or `None` if it cannot be sent again.
    fn again(&self, copy: Self::Copy) -> Option<Request<B>>;
}

/// Clones each request, before it is sent. This is the default.
///
/// # Examples
///
/// ```
/// use everbearer::tower::{BearerLayer, CloneBody};
///
/// # fn example(provider: &everbearer::TokenProvider) {
/// let layer: BearerLayer<CloneBody> = provider.layer();
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct CloneBody;

/// Sends no request again.
///
/// # Examples
///
/// ```
/// use everbearer::tower::{BearerLayer, NoResend};
///
/// # fn example(provider: &everbearer::TokenProvider) {
/// let layer: BearerLayer<NoResend> = provider.layer().without_resend();
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct NoResend;

/// Records the body while the inner service reads it.
///
/// # Examples
///
/// ```
/// # use bytes::Bytes;
/// # use http_body_util::combinators::UnsyncBoxBody;
/// use everbearer::tower::{BearerLayer, Replay, ReplayBody};
///
/// type Body = UnsyncBoxBody<Bytes, std::io::Error>;
///
/// # fn example(provider: &everbearer::TokenProvider) {
/// let layer: BearerLayer<Replay<_>> = provider.layer().replay(|body: ReplayBody<Body>| Body::new(body));
/// # }
/// ```
#[derive(Clone, Copy)]
pub struct Replay<F>(pub(super) F);

impl<B: Clone> Resend<B> for CloneBody {
    type Copy = Request<B>;

    #[inline]
    fn keep(&self, request: Request<B>) -> (Request<B>, Option<Request<B>>) {
        let copy = request.clone();
        (request, Some(copy))
    }

    fn again(&self, copy: Request<B>) -> Option<Request<B>> {
        Some(copy)
    }
}

impl<B> Resend<B> for NoResend {
    type Copy = Infallible;

    #[inline]
    fn keep(&self, request: Request<B>) -> (Request<B>, Option<Infallible>) {
        (request, None)
    }

    fn again(&self, copy: Infallible) -> Option<Request<B>> {
        match copy {}
    }
}

impl<B, F> Resend<B> for Replay<F>
where
    B: Body<Data = Bytes>,
    F: Fn(ReplayBody<B>) -> B,
{
    type Copy = (Parts, Tape);

    fn keep(&self, request: Request<B>) -> (Request<B>, Option<(Parts, Tape)>) {
        let (parts, body) = request.into_parts();
        let (body, tape) = ReplayBody::recording(body);
        let copy = (parts.clone(), tape);
        (Request::from_parts(parts, (self.0)(body)), Some(copy))
    }

    fn again(&self, (parts, tape): (Parts, Tape)) -> Option<Request<B>> {
        let body = tape.play().map(&self.0)?;
        Some(Request::from_parts(parts, body))
    }
}

impl<F> fmt::Debug for Replay<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replay").finish_non_exhaustive()
    }
}
