//! What goes wrong, when a test says so.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

/// The endpoints that can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Endpoint {
    /// `POST /auth/tokens/long`.
    LongTerm,
    /// `POST /auth/tokens/short`.
    ShortTerm,
    /// `POST /auth/tokens/{tokenId}/revoke`.
    Revoke,
    /// `GET` and `POST /jobs`.
    Jobs,
}

/// What happens to one request.
///
/// ```
/// use std::time::Duration;
/// use everbearer::testkit::{AuthServer, Endpoint, Fault};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// let server = AuthServer::start().await?;
/// // The next three exchanges fail, each in its own way; the fourth succeeds.
/// server.script(
///     Endpoint::ShortTerm,
///     [
///         Fault::status(503),
///         Fault::rate_limited("2"),
///         Fault::LoseResponse,
///     ],
/// );
/// // And every request to `/jobs` takes its time.
/// server.fault_always(Endpoint::Jobs, Fault::Latency(Duration::from_millis(20)));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// None: the request is served as usual.
    Pass,
    /// The request is not carried out, and answered with this status.
    Status {
        /// The status. A number that is no final HTTP status is answered as 500.
        status: u16,
        /// The `code` of the `AuthError` in the body. Without one the body is empty, as it is when
        /// a load balancer speaks for a server that is down.
        code: Option<String>,
        /// The `Retry-After` header as it stands: seconds, an HTTP date, or nonsense.
        retry_after: Option<String>,
    },
    /// The request waits for so long, and is then served as usual.
    Latency(Duration),
    /// The request is not carried out and never answered: it ends when the client goes away or the
    /// server stops.
    Hang,
    /// The request is carried out, but the connection breaks in the middle of the response: its
    /// `Content-Length` is true, and half of the body arrives. A response without a body is lost as
    /// with [`LoseResponse`](Self::LoseResponse).
    CloseEarly,
    /// The request is not carried out. The response is a 200 that promises JSON, with bytes that are
    /// none, nor even UTF-8.
    Garbage,
    /// The request is not carried out. The response has this status and a proxy's HTML page.
    Html(u16),
    /// The request is carried out (the token minted, or revoked), but the connection closes without
    /// a byte of the response.
    LoseResponse,
    /// The request is not carried out. The response has this status and this body, said to be JSON.
    Body {
        /// The status. A number that is no final HTTP status is answered as 500.
        status: u16,
        /// The body, sent as it is.
        body: Vec<u8>,
    },
    /// The token that the request obtains has expired one second ago, and says so: its `expires_in`
    /// is 0. Requests for no token are served as usual.
    Expired,
}

impl Fault {
    /// This status with an empty body: `Fault::status(503)`.
    pub fn status(status: u16) -> Self {
        Self::Status {
            status,
            code: None,
            retry_after: None,
        }
    }

    /// This status with an `AuthError` of this code: `Fault::error(400, "invalid_grant")`.
    pub fn error(status: u16, code: impl Into<String>) -> Self {
        Self::Status {
            status,
            code: Some(code.into()),
            retry_after: None,
        }
    }

    /// 429 `rate_limited` with this `Retry-After`, as it stands: `Fault::rate_limited("2")`.
    pub fn rate_limited(retry_after: impl Into<String>) -> Self {
        Self::Status {
            status: 429,
            code: Some("rate_limited".to_owned()),
            retry_after: Some(retry_after.into()),
        }
    }

    /// This status and this body: `Fault::body(200, "{}")`.
    pub fn body(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self::Body {
            status,
            body: body.into(),
        }
    }
}

/// The faults to come.
#[derive(Default)]
pub(super) struct Script {
    once: HashMap<Endpoint, VecDeque<Fault>>,
    always: HashMap<Endpoint, Fault>,
}

impl Script {
    pub(super) fn append(&mut self, endpoint: Endpoint, faults: impl IntoIterator<Item = Fault>) {
        self.once.entry(endpoint).or_default().extend(faults);
    }

    pub(super) fn set_always(&mut self, endpoint: Endpoint, fault: Fault) {
        self.always.insert(endpoint, fault);
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// What stands in the script comes before what happens always.
    pub(super) fn next(&mut self, endpoint: Endpoint) -> Fault {
        self.once
            .get_mut(&endpoint)
            .and_then(VecDeque::pop_front)
            .or_else(|| self.always.get(&endpoint).cloned())
            .unwrap_or(Fault::Pass)
    }
}
