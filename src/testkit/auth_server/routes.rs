//! From HTTP to the ledger and back.

use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{DefaultBodyLimit, Extension, Path, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::{MethodRouter, get, post};
use http::header::DATE;
use http::{HeaderMap, StatusCode};
use serde_json::json;

use super::faults::Endpoint;
use super::ledger::{Freshness, JobsAccess};
use super::misbehaving::attend;
use super::refusal::{Reason, Refusal};
use super::replies::{self, Realm};
use super::requests::{self, ReceivedBody};
use super::state::ServerState;

type Shared = State<Arc<ServerState>>;
type Routes = MethodRouter<Arc<ServerState>>;

pub(super) fn router(state: &Arc<ServerState>) -> Router {
    let at = |endpoint, routes: Routes| {
        routes.route_layer(from_fn_with_state((Arc::clone(state), endpoint), attend))
    };
    let jobs = get(list_jobs)
        .post(submit_job)
        .layer(DefaultBodyLimit::disable());
    Router::new()
        .route(
            "/v1/auth/tokens/long",
            at(Endpoint::LongTerm, post(issue_long_term)),
        )
        .route(
            "/v1/auth/tokens/short",
            at(Endpoint::ShortTerm, post(issue_short_term)),
        )
        .route(
            "/v1/auth/tokens/{token_id}/revoke",
            at(Endpoint::Revoke, post(revoke)),
        )
        .route("/v1/jobs", at(Endpoint::Jobs, jobs))
        .route("/v1/health", get(health))
        .fallback(unknown_path)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(Arc::clone(state), stamp_date))
        .with_state(Arc::clone(state))
}

async fn issue_long_term(
    State(state): Shared,
    freshness: Option<Extension<Freshness>>,
    headers: HeaderMap,
    body: ReceivedBody,
) -> Response {
    let issued = requests::long_token(&headers, body).and_then(|request| {
        let bearer = requests::bearer(&headers);
        let (now, freshness) = (state.now(), fresh_unless(freshness));
        state
            .ledger()
            .issue_long_term(request, bearer, now, freshness)
    });
    match issued {
        Ok(issued) => replies::issued(&issued, state.token_ids),
        Err(refusal) => replies::refused(&refusal, Realm::Auth),
    }
}

async fn issue_short_term(
    State(state): Shared,
    freshness: Option<Extension<Freshness>>,
    headers: HeaderMap,
    body: ReceivedBody,
) -> Response {
    let issued = requests::short_token(&headers, body).and_then(|request| {
        let bearer = requests::bearer(&headers);
        let (now, freshness) = (state.now(), fresh_unless(freshness));
        state.ledger().exchange(request, bearer, now, freshness)
    });
    match issued {
        Ok(issued) => replies::issued(&issued, state.token_ids),
        Err(refusal) => replies::refused(&refusal, Realm::Auth),
    }
}

async fn revoke(
    State(state): Shared,
    token_id: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Response {
    let target = token_id.map(|Path(id)| id).unwrap_or_default();
    let bearer = requests::bearer(&headers);
    let revoked = state.ledger().revoke(&target, bearer, state.now());
    match revoked {
        Ok(()) => replies::empty(StatusCode::NO_CONTENT),
        Err(refusal) => forbidden_as_unauthorized(replies::refused(&refusal, Realm::Auth)),
    }
}

async fn list_jobs(State(state): Shared, headers: HeaderMap) -> Response {
    let bearer = requests::bearer(&headers);
    let admitted = state
        .ledger()
        .admit_to_jobs(JobsAccess::Read, bearer, state.now());
    match admitted {
        Ok(token_id) => {
            let jobs = json!([{ "job_id": "job_1", "state": "done" }]);
            replies::json(
                StatusCode::OK,
                json!({ "jobs": jobs, "token_id": token_id }).to_string(),
            )
        }
        Err(refusal) => replies::refused(&refusal, Realm::Jobs),
    }
}

async fn submit_job(State(state): Shared, headers: HeaderMap, body: ReceivedBody) -> Response {
    let bearer = requests::bearer(&headers);
    let submitted = requests::whole(body).and_then(|body| {
        let token_id = state
            .ledger()
            .admit_to_jobs(JobsAccess::Submit, bearer, state.now())?;
        Ok(json!({ "accepted": true, "bytes": body.len(), "token_id": token_id }))
    });
    match submitted {
        Ok(reply) => replies::json(StatusCode::OK, reply.to_string()),
        Err(refusal) => replies::refused(&refusal, Realm::Jobs),
    }
}

async fn health() -> Response {
    replies::json(StatusCode::OK, json!({ "status": "ok" }).to_string())
}

async fn unknown_path() -> Response {
    let refusal = Refusal::new(Reason::NotFound, "There is nothing at this path.");
    replies::refused(&refusal, Realm::Auth)
}

async fn wrong_method() -> Response {
    let refusal = Refusal::new(
        Reason::MethodNotAllowed,
        "This path does not take this method.",
    );
    replies::refused(&refusal, Realm::Auth)
}

/// hyper would write the true time.
async fn stamp_date(State(state): Shared, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    replies::set(response.headers_mut(), DATE, &state.now().to_http_date());
    response
}

fn fresh_unless(told_otherwise: Option<Extension<Freshness>>) -> Freshness {
    told_otherwise.map_or(Freshness::Fresh, |Extension(freshness)| freshness)
}

/// The contract knows no 403 for a revocation.
fn forbidden_as_unauthorized(mut response: Response) -> Response {
    if response.status() == StatusCode::FORBIDDEN {
        *response.status_mut() = StatusCode::UNAUTHORIZED;
    }
    response
}
