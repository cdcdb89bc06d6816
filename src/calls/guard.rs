//! Futures that run user code: an issuer, a store, and the subscriber behind their span. They catch panics
//! in a poll, in a drop and in the span.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tracing::Span;

use crate::error::{Error, ErrorKind};
use crate::unwind::caught;

/// A future that runs within a span and outputs `None` if it panics.
pub(crate) struct Guarded<'a, T> {
    span: Span,
    /// `None` once it has ended.
    work: Option<Pin<Box<dyn Future<Output = T> + Send + 'a>>>,
}

pub(crate) fn guarded_within<'a, T>(
    span: Span,
    work: impl Future<Output = T> + Send + 'a,
) -> Guarded<'a, T> {
    Guarded {
        span,
        work: Some(Box::pin(work)),
    }
}

/// Returns the error of a call that panicked.
pub(crate) fn panicked() -> Error {
    Error::own(
        ErrorKind::Issuer,
        "the token issuer or the token store panicked; the panic's message is on stderr, unless \
         the application has a panic hook of its own",
    )
}

impl<T> Guarded<'_, T> {
    /// Runs a part of the work within the span, and leaves the span even if the part panics.
    fn within<R>(span: &Span, part: impl FnOnce() -> R) -> Option<R> {
        let entered = caught(|| span.enter());
        let outcome = caught(part);
        caught(|| drop(entered));
        outcome
    }

    fn end(&mut self) {
        if let Some(work) = self.work.take() {
            Self::within(&self.span, || drop(work));
        }
    }
}

impl<T> Future for Guarded<'_, T> {
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        let this = &mut *self;
        let Some(work) = &mut this.work else {
            return Poll::Ready(None);
        };
        match Self::within(&this.span, || work.as_mut().poll(context)) {
            Some(Poll::Pending) => Poll::Pending,
            Some(Poll::Ready(output)) => {
                this.end();
                Poll::Ready(Some(output))
            }
            None => {
                this.end();
                Poll::Ready(None)
            }
        }
    }
}

impl<T> Drop for Guarded<'_, T> {
    fn drop(&mut self) {
        self.end();
        let span = std::mem::replace(&mut self.span, Span::none());
        caught(|| drop(span));
    }
}
