//! A refusal whose body is read early, so that its connection is free.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::{Frame, SizeHint};
use reqwest::{Body, Response, ResponseBuilderExt as _};

/// How many bytes of a refusal are read before it is returned. A longer refusal keeps its connection until the newer
/// token is there.
const LONGEST: usize = 64 * 1024;
/// How many bytes of a refusal are read that is not returned.
const MOST_DISCARDED: usize = 1024 * 1024;
/// The time limit for reading what has not arrived yet.
const READING: Duration = Duration::from_millis(200);

pub(super) struct BufferedResponse {
    response: Response,
    read: BytesMut,
    end: End,
}

enum End {
    /// The body may have more.
    Unread,
    Reached,
    Failed(reqwest::Error),
}

impl BufferedResponse {
    pub(super) fn new(response: Response) -> Self {
        Self {
            response,
            read: BytesMut::new(),
            end: End::Unread,
        }
    }

    /// Reads the body, up to [`LONGEST`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing of the body.
    pub(super) async fn read(&mut self) {
        while self.read.len() < LONGEST && matches!(self.end, End::Unread) {
            match self.response.chunk().await {
                Ok(Some(chunk)) => self.read.extend_from_slice(&chunk),
                Ok(None) => self.end = End::Reached,
                Err(error) => self.end = End::Failed(error),
            }
        }
    }

    /// Reads what arrives of the body within [`READING`].
    pub(super) async fn read_soon(&mut self) {
        let _ = tokio::time::timeout(READING, self.read()).await;
    }

    /// Reads the rest of the body, up to [`MOST_DISCARDED`] within [`READING`] and `limit`: the connection
    /// of a body that was read to its end serves the next request.
    pub(super) async fn discard(mut self, limit: Option<Duration>) {
        let mut left = MOST_DISCARDED;
        let rest = async {
            while let Ok(Some(chunk)) = self.response.chunk().await {
                left = left.saturating_sub(chunk.len());
                if left == 0 {
                    return;
                }
            }
        };
        let limit = limit.map_or(READING, |limit| limit.min(READING));
        let _ = tokio::time::timeout(limit, rest).await;
    }

    /// Returns the response as the server sent it.
    pub(super) fn into_response(self) -> Response {
        let url = self.response.url().clone();
        let (mut parts, unread) = http::Response::<Body>::from(self.response).into_parts();
        let read = self.read.freeze();
        let body = match self.end {
            End::Reached => Body::from(read),
            End::Unread => Body::wrap(Rest {
                read: Some(read),
                failure: None,
                unread,
            }),
            End::Failed(error) => Body::wrap(Rest {
                read: Some(read),
                failure: Some(error),
                unread,
            }),
        };
        // Only the builder of a response accepts a URL.
        let with_url = http::Response::builder().url(url).body(());
        if let Ok(with_url) = with_url {
            parts.extensions.extend(with_url.into_parts().0.extensions);
        }
        http::Response::from_parts(parts, body).into()
    }
}

/// Yields what was read of a body, then the error of reading it, or else the rest of the body.
struct Rest {
    read: Option<Bytes>,
    failure: Option<reqwest::Error>,
    unread: Body,
}

impl http_body::Body for Rest {
    type Data = Bytes;
    type Error = reqwest::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, reqwest::Error>>> {
        if let Some(read) = self.read.take().filter(|read| !read.is_empty()) {
            return Poll::Ready(Some(Ok(Frame::data(read))));
        }
        if let Some(failure) = self.failure.take() {
            return Poll::Ready(Some(Err(failure)));
        }
        http_body::Body::poll_frame(Pin::new(&mut self.unread), context)
    }

    fn size_hint(&self) -> SizeHint {
        let read = self.read.as_ref().map_or(0, Bytes::len) as u64;
        let rest = http_body::Body::size_hint(&self.unread);
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(read));
        if let Some(upper) = rest.upper().and_then(|it| it.checked_add(read)) {
            hint.set_upper(upper);
        }
        hint
    }
}
