//! A body that is recorded while it is sent, so that it can be sent again.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

/// The longest body that is sent again, in bytes.
const LONGEST: usize = 1024 * 1024;
/// What an empty frame counts.
const LEAST_OF_FRAME: usize = 32;

pin_project! {
    /// Wraps the body of a request for [`BearerLayer::replay`](super::BearerLayer::replay): it records the body while
    /// the inner service reads it, or replays the recorded body.
    ///
    /// # Examples
    ///
    /// ```
    /// # use bytes::Bytes;
    /// # use http_body_util::combinators::UnsyncBoxBody;
    /// use everbearer::tower::ReplayBody;
    ///
    /// type Body = UnsyncBoxBody<Bytes, std::io::Error>;
    ///
    /// fn new_body(body: ReplayBody<Body>) -> Body {
    ///     Body::new(body)
    /// }
    ///
    /// # fn example(provider: &everbearer::TokenProvider) {
    /// let layer = provider.layer().replay(new_body);
    /// # }
    /// ```
    pub struct ReplayBody<B> {
        #[pin]
        source: Source<B>,
    }
}

pin_project! {
    #[project = SourceProjection]
    enum Source<B> {
        Recorded { #[pin] body: B, tape: Weak<Mutex<Recording>> },
        Played { frames: Frames },
    }
}

/// Holds what a [`ReplayBody`] has recorded, for [`Replay`](super::Replay).
#[derive(Clone)]
pub struct Tape(Arc<Mutex<Recording>>);

#[derive(Default)]
struct Recording {
    frames: Frames,
    length: usize,
    is_complete: bool,
}

#[derive(Default)]
struct Frames {
    data: VecDeque<Bytes>,
    trailers: Option<HeaderMap>,
}

impl<B: Body<Data = Bytes>> ReplayBody<B> {
    pub(super) fn recording(body: B) -> (Self, Tape) {
        let tape = Tape(Arc::default());
        tape.lock().is_complete = is_at_end(&body);
        let source = Source::Recorded {
            body,
            tape: Arc::downgrade(&tape.0),
        };
        (Self { source }, tape)
    }
}

impl Tape {
    fn lock(&self) -> MutexGuard<'_, Recording> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the body once more, if it was read to its end and is not too long.
    pub(super) fn play<B>(self) -> Option<ReplayBody<B>> {
        let recording = std::mem::take(&mut *self.lock());
        let is_whole = recording.is_complete && recording.length <= LONGEST;
        is_whole.then(|| ReplayBody {
            source: Source::Played {
                frames: recording.frames,
            },
        })
    }
}

impl Recording {
    /// Notes a frame, and whether the body ends with it.
    fn record(&mut self, frame: &Frame<Bytes>, is_end: bool) {
        self.is_complete = is_end;
        if let Some(data) = frame.data_ref() {
            self.length = self.length.saturating_add(data.len().max(LEAST_OF_FRAME));
            if self.length > LONGEST {
                self.frames = Frames::default();
            } else {
                self.frames.data.push_back(data.clone());
            }
        } else {
            self.frames.trailers = frame.trailers_ref().cloned();
        }
    }

    /// The body cannot be sent again.
    fn give_up(&mut self) {
        self.frames = Frames::default();
        self.length = usize::MAX;
    }
}

/// Returns whether the body has ended. Some clients do not read a body further whose stated length they have read.
fn is_at_end(body: &impl Body) -> bool {
    body.is_end_stream() || body.size_hint().exact() == Some(0)
}

impl<B: Body<Data = Bytes>> Body for ReplayBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.project().source.project() {
            SourceProjection::Recorded { mut body, tape } => {
                let frame = ready!(body.as_mut().poll_frame(context));
                // Without the response, nothing is sent again.
                if let Some(recording) = tape.upgrade() {
                    let mut recording = recording.lock().unwrap_or_else(PoisonError::into_inner);
                    match &frame {
                        Some(Ok(frame)) => recording.record(frame, is_at_end(&*body)),
                        Some(Err(_)) => recording.give_up(),
                        None => recording.is_complete = true,
                    }
                }
                Poll::Ready(frame)
            }
            SourceProjection::Played { frames } => {
                let data = frames.data.pop_front().map(Frame::data);
                let frame = data.or_else(|| frames.trailers.take().map(Frame::trailers));
                Poll::Ready(frame.map(Ok))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Recorded { body, .. } => body.is_end_stream(),
            Source::Played { frames } => frames.data.is_empty() && frames.trailers.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Recorded { body, .. } => body.size_hint(),
            Source::Played { frames } => {
                let length: usize = frames.data.iter().map(Bytes::len).sum();
                let length = length as u64;
                if frames.trailers.is_none() {
                    return SizeHint::with_exact(length);
                }
                // With an exact length, HTTP/1 would leave out the trailers.
                let mut hint = SizeHint::new();
                hint.set_lower(length);
                hint
            }
        }
    }
}

impl<B> fmt::Debug for ReplayBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplayBody").finish_non_exhaustive()
    }
}

impl fmt::Debug for Tape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tape").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use http::header::HeaderValue;
    use http_body_util::{BodyExt as _, Full};

    use super::*;

    /// Returns the body that is sent again after this one.
    fn replayed(body: impl Body<Data = Bytes, Error: fmt::Debug>) -> ReplayBody<Full<Bytes>> {
        let (body, tape) = ReplayBody::recording(body);
        body.collect().now_or_never().unwrap().unwrap();
        tape.play().unwrap()
    }

    /// HTTP/1 sends trailers only with a body of unknown length.
    #[test]
    fn a_replayed_body_states_its_length_unless_it_has_trailers() {
        let body = Full::new(Bytes::from_static(b"a job"));
        assert_eq!(replayed(body.clone()).size_hint().exact(), Some(5));
        let trailers = HeaderMap::from_iter([(
            http::header::HeaderName::from_static("checksum"),
            HeaderValue::from_static("1"),
        )]);
        let with_trailers = body.with_trailers(std::future::ready(Some(Ok(trailers))));
        let hint = replayed(with_trailers).size_hint();
        assert_eq!((hint.lower(), hint.exact()), (5, None));
    }
}
