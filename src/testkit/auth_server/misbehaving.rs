//! Counting each request to an endpoint, and carrying out the fault that is meant for it.

use std::future;
use std::io;
use std::sync::Arc;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use futures_util::StreamExt as _;
use futures_util::stream;
use http::StatusCode;
use http::header::{CONTENT_LENGTH, RETRY_AFTER, WWW_AUTHENTICATE};

use super::faults::{Endpoint, Fault};
use super::ledger::Freshness;
use super::replies::{self, Realm};
use super::state::ServerState;

pub(super) async fn attend(
    State((state, endpoint)): State<(Arc<ServerState>, Endpoint)>,
    request: Request,
    next: Next,
) -> Response {
    let visit = Visit::begin(state, endpoint);
    let fault = visit.state.script().next(endpoint);
    match fault {
        Fault::Pass => visit.answer(next.run(request).await),
        Fault::Latency(delay) => {
            tokio::time::sleep(delay).await;
            visit.answer(next.run(request).await)
        }
        Fault::Expired => visit.answer(run_expired(request, next).await),
        Fault::Hang => future::pending().await,
        Fault::CloseEarly => break_off_halfway(next.run(request).await).await,
        Fault::LoseResponse => {
            next.run(request).await;
            lost()
        }
        Fault::Status {
            status,
            code,
            retry_after,
        } => visit.answer(failure(
            endpoint,
            status,
            code.as_deref(),
            retry_after.as_deref(),
        )),
        Fault::Garbage => visit.answer(replies::json(StatusCode::OK, &b"\x00\xff\xfe{]"[..])),
        Fault::Html(status) => visit.answer(proxy_page(status)),
        Fault::Body { status, body } => visit.answer(replies::json(final_status(status), body)),
    }
}

/// One request to an endpoint, from its arrival to its answer, or until its client has gone.
struct Visit {
    state: Arc<ServerState>,
    endpoint: Endpoint,
}

impl Visit {
    fn begin(state: Arc<ServerState>, endpoint: Endpoint) -> Self {
        state.ledger().counts_mut().begin(endpoint);
        Self { state, endpoint }
    }

    fn answer(&self, response: Response) -> Response {
        self.state
            .ledger()
            .counts_mut()
            .answer(self.endpoint, response.status());
        response
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.state.ledger().counts_mut().end(self.endpoint);
    }
}

async fn run_expired(mut request: Request, next: Next) -> Response {
    request.extensions_mut().insert(Freshness::Expired);
    next.run(request).await
}

async fn break_off_halfway(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
    let half = body.slice(..body.len() / 2);
    if half.is_empty() {
        return lost();
    }
    parts.headers.insert(CONTENT_LENGTH, body.len().into());
    // hyper sends what it has when the body makes it wait, and drops the connection when it fails.
    let failure = stream::once(async {
        tokio::task::yield_now().await;
        Err(broken())
    });
    let body = Body::from_stream(stream::iter([Ok(half)]).chain(failure));
    Response::from_parts(parts, body)
}

/// hyper keeps the headers back until it knows how the body begins. This one begins with its
/// failure, and the connection is dropped.
fn lost() -> Response {
    let failure = stream::iter([Err::<Bytes, _>(broken())]);
    Response::new(Body::from_stream(failure))
}

fn broken() -> io::Error {
    io::ErrorKind::ConnectionAborted.into()
}

fn failure(
    endpoint: Endpoint,
    status: u16,
    code: Option<&str>,
    retry_after: Option<&str>,
) -> Response {
    let status = final_status(status);
    let mut response = match code {
        Some(code) => replies::error(status, code, "This failure was asked for by a test."),
        None => replies::empty(status),
    };
    let headers = response.headers_mut();
    if status == StatusCode::UNAUTHORIZED {
        let error = code.map_or_else(String::new, |code| format!(", error=\"{code}\""));
        let challenge = format!("Bearer realm=\"{}\"{error}", realm_of(endpoint).name());
        replies::set(headers, WWW_AUTHENTICATE, &challenge);
    }
    if let Some(retry_after) = retry_after {
        replies::set(headers, RETRY_AFTER, retry_after);
    }
    response
}

fn realm_of(endpoint: Endpoint) -> Realm {
    match endpoint {
        Endpoint::Jobs => Realm::Jobs,
        Endpoint::LongTerm | Endpoint::ShortTerm | Endpoint::Revoke => Realm::Auth,
    }
}

fn proxy_page(status: u16) -> Response {
    let status = final_status(status);
    let page = format!("<html><body><center><h1>{status}</h1></center></body></html>\n");
    replies::typed(status, "text/html", page)
}

fn final_status(status: u16) -> StatusCode {
    StatusCode::from_u16(status)
        .ok()
        .filter(|status| !status.is_informational())
        .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}
