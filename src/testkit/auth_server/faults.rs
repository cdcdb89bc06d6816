//! The faults of the auth server for tests.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

/// Selects an endpoint of an [`AuthServer`](crate::testkit::AuthServer) whose requests should fail.
///
/// # Examples
///
/// ```
/// # use everbearer::testkit::AuthServer;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = AuthServer::start().await?;
/// use everbearer::testkit::{Endpoint, Fault};
///
/// server.script(Endpoint::Revoke, [Fault::Hang]);
/// # Ok(())
/// # }
/// ```
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

/// Determines what happens to one request.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use everbearer::testkit::{AuthServer, Endpoint, Fault};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// let server = AuthServer::start().await?;
/// // The next three exchanges fail in different ways, and the fourth succeeds.
/// server.script(
///     Endpoint::ShortTerm,
///     [
///         Fault::status(503),
///         Fault::rate_limited("2"),
///         Fault::LoseResponse,
///     ],
/// );
/// // Every request to `/jobs` is delayed.
/// server.fault_always(Endpoint::Jobs, Fault::Latency(Duration::from_millis(20)));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// No fault: the server processes the request as usual.
    Pass,
    /// The server does not process the request, and responds with this status.
    Status {
        /// The status. The server responds with 500 in place of a number that is not a final HTTP status.
        status: u16,
        /// The `code` of the `AuthError` in the body. Without a code, the body is empty, like the response of
        /// a load balancer whose server is down.
        code: Option<String>,
        /// The header `Retry-After`, sent unchanged: seconds, an HTTP date, or an invalid value.
        retry_after: Option<String>,
    },
    /// The server delays the request by this time, and then processes it as usual.
    Latency(Duration),
    /// The server does not process the request, and does not respond until the client closes the connection
    /// or the server stops.
    Hang,
    /// The server processes the request, and closes the connection in the middle of the response: it sends
    /// the correct `Content-Length` and half of the body. It drops a response without a body as
    /// [`LoseResponse`](Self::LoseResponse) does.
    CloseEarly,
    /// The server does not process the request, and responds with 200, a JSON content type, and bytes that
    /// are neither JSON nor UTF-8.
    Garbage,
    /// The server does not process the request, and responds with this status and the HTML page of a proxy.
    Html(u16),
    /// The server processes the request, so that it issues or revokes a token, and closes the connection
    /// without a response.
    LoseResponse,
    /// The server does not process the request, and responds with this status, a JSON content type and this
    /// body.
    Body {
        /// The status. The server responds with 500 in place of a number that is not a final HTTP status.
        status: u16,
        /// The body, sent unchanged.
        body: Vec<u8>,
    },
    /// The server issues a token that expired one second ago, with an `expires_in` of 0. It processes
    /// requests that obtain no token as usual.
    Expired,
}

impl Fault {
    /// Returns a fault with this status and an empty body.
    ///
    /// ```
    /// use everbearer::testkit::Fault;
    ///
    /// let fault = Fault::status(503);
    /// ```
    pub fn status(status: u16) -> Self {
        Self::Status {
            status,
            code: None,
            retry_after: None,
        }
    }

    /// Returns a fault with this status and an `AuthError` with this code.
    ///
    /// ```
    /// use everbearer::testkit::Fault;
    ///
    /// let fault = Fault::error(400, "invalid_grant");
    /// ```
    pub fn error(status: u16, code: impl Into<String>) -> Self {
        Self::Status {
            status,
            code: Some(code.into()),
            retry_after: None,
        }
    }

    /// Returns a fault with the status 429, the code `rate_limited` and this `Retry-After`, which is sent
    /// unchanged.
    ///
    /// ```
    /// use everbearer::testkit::Fault;
    ///
    /// let fault = Fault::rate_limited("2");
    /// ```
    pub fn rate_limited(retry_after: impl Into<String>) -> Self {
        Self::Status {
            status: 429,
            code: Some("rate_limited".to_owned()),
            retry_after: Some(retry_after.into()),
        }
    }

    /// Returns a fault with this status and this body.
    ///
    /// ```
    /// use everbearer::testkit::Fault;
    ///
    /// let fault = Fault::body(200, "{}");
    /// ```
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
