//! How the body of a request is sent twice.

use std::fmt;

use bytes::Bytes;
use http_body::Body;

use super::replay_body::{ReplayBody, Tape};

/// Defines how [`BearerLayer`](super::BearerLayer) sends the body `B` of a request again. [`CloneBody`], [`Replay`] and
/// [`NoResend`] implement it; the methods of the layer select one of them.
pub trait Resend<B> {
    /// What the layer keeps of the body until the response arrives.
    type Copy;

    /// Returns the body to send, and what to keep of it, or `None` if the request is not sent again.
    fn keep(&self, body: B) -> (B, Option<Self::Copy>);

    /// Returns the body once more, after a refusal, or `None` if it cannot be sent again.
    fn again(&self, copy: Self::Copy) -> Option<B>;
}

/// Clones the body. The default.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct CloneBody;

/// Sends no request again.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct NoResend;

/// Records the body while the inner service reads it.
#[derive(Clone, Copy)]
pub struct Replay<F>(pub(super) F);

impl<B: Clone> Resend<B> for CloneBody {
    type Copy = B;

    fn keep(&self, body: B) -> (B, Option<B>) {
        (body.clone(), Some(body))
    }

    fn again(&self, copy: B) -> Option<B> {
        Some(copy)
    }
}

impl<B> Resend<B> for NoResend {
    type Copy = ();

    fn keep(&self, body: B) -> (B, Option<()>) {
        (body, None)
    }

    fn again(&self, (): ()) -> Option<B> {
        None
    }
}

impl<B, F> Resend<B> for Replay<F>
where
    B: Body<Data = Bytes>,
    F: Fn(ReplayBody<B>) -> B,
{
    type Copy = Tape;

    fn keep(&self, body: B) -> (B, Option<Tape>) {
        let (body, tape) = ReplayBody::recording(body);
        ((self.0)(body), Some(tape))
    }

    fn again(&self, copy: Tape) -> Option<B> {
        copy.play().map(&self.0)
    }
}

impl<F> fmt::Debug for Replay<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replay").finish_non_exhaustive()
    }
}
