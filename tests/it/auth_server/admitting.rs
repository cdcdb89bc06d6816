//! `/jobs`, as a resource server checks tokens, and `/health`.

use reqwest::Method;
use reqwest::header::AUTHORIZATION;
use serde_json::json;

use super::support::{DAY, MINUTE, Reply, Site};

#[tokio::test]
async fn a_good_token_sees_jobs_and_submits_them() {
    let site = Site::start().await;
    let token = site.short_term().await;

    let seen = site.get("/jobs", &token.text).await;
    assert_eq!(seen.status, 200);
    assert!(seen.json()["jobs"].is_array());
    assert_eq!(seen.json()["token_id"], token.id.as_str());

    let request = site.request(Method::POST, "/jobs").bearer_auth(&token.text);
    let submitted = Reply::read(request.body(vec![0xff; 3_000_000])).await;
    assert_eq!(submitted.status, 200);
    let expected = json!({ "accepted": true, "bytes": 3_000_000, "token_id": token.id });
    assert_eq!(submitted.json(), expected);
}

#[tokio::test]
async fn reading_and_submitting_need_a_scope_each() {
    let site = Site::start().await;
    let reader = site.short_term_for(&["jobs:read"]).await;
    let submitter = site.short_term_for(&["jobs:submit"]).await;

    assert_eq!(site.get("/jobs", &reader.text).await.status, 200);
    site.get("/jobs", &submitter.text)
        .await
        .assert_error(403, "insufficient_scope");
    let forbidden = site.post("/jobs", Some(&reader.text), &json!({})).await;
    forbidden.assert_error(403, "insufficient_scope");
    assert_eq!(
        forbidden.header("www-authenticate"),
        Some(
            r#"Bearer realm="jobs", error="insufficient_scope", error_description="The token lacks the scope jobs:submit.", scope="jobs:submit""#
        )
    );
}

#[tokio::test]
async fn who_sends_no_token_is_told_of_no_error() {
    let site = Site::start().await;
    for request in [
        site.request(Method::GET, "/jobs"),
        site.request(Method::POST, "/jobs").body("{}"),
        site.request(Method::GET, "/jobs")
            .header(AUTHORIZATION, "Basic Zm9vOmJhcg=="),
    ] {
        let reply = Reply::read(request).await;

        reply.assert_error(401, "invalid_token");
        assert_eq!(
            reply.header("www-authenticate"),
            Some(r#"Bearer realm="jobs""#)
        );
    }
}

#[tokio::test]
async fn an_expired_token_is_refused_and_says_so() {
    let site = Site::start().await;
    let token = site.short_term().await;
    site.server.set_clock_offset(16 * MINUTE);

    let reply = site.get("/jobs", &token.text).await;

    reply.assert_error(401, "token_expired");
    assert_eq!(
        reply.header("www-authenticate"),
        Some(
            r#"Bearer realm="jobs", error="invalid_token", error_description="The token has expired.""#
        )
    );
}

#[tokio::test]
async fn a_token_is_refused_before_its_time() {
    let site = Site::start().await;
    let token = site.short_term().await;
    site.server.set_clock_offset(-DAY);

    site.get("/jobs", &token.text)
        .await
        .assert_error(401, "invalid_token");
}

#[tokio::test]
async fn a_long_term_token_is_not_for_the_resource_api() {
    let site = Site::start().await;
    let token = site.long_term().await;

    site.get("/jobs", &token.text)
        .await
        .assert_error(401, "invalid_token");
}

#[tokio::test]
async fn two_different_authorization_headers_or_a_broken_one_are_refused() {
    let site = Site::start().await;
    let token = format!("Bearer {}", site.short_term().await.text);
    let other = format!("Bearer {}", site.short_term().await.text);
    let get = || site.request(Method::GET, "/jobs");

    for request in [
        get()
            .header(AUTHORIZATION, &token)
            .header(AUTHORIZATION, &other),
        get().header(AUTHORIZATION, "Bearer"),
        get().header(AUTHORIZATION, "Bearer "),
        get().header(AUTHORIZATION, format!("{token}, {token}")),
        get().header(AUTHORIZATION, format!("{token} {token}")),
    ] {
        let reply = Reply::read(request).await;

        reply.assert_error(401, "invalid_token");
        assert!(reply.header("www-authenticate").unwrap().contains("error="));
    }
    assert_eq!(site.server.counts().jobs_outcomes.invalid, 5);
}

#[tokio::test]
async fn the_same_authorization_header_twice_counts_as_one() {
    let site = Site::start().await;
    let token = format!("Bearer {}", site.short_term().await.text);
    let request = site.request(Method::GET, "/jobs");
    let request = request.header(AUTHORIZATION, &token);
    let reply = Reply::read(request.header(AUTHORIZATION, &token)).await;
    assert_eq!(reply.status, 200);
}

#[tokio::test]
async fn anybody_may_ask_for_the_health() {
    let site = Site::start().await;

    let reply = Reply::read(site.request(Method::GET, "/health")).await;

    assert_eq!(reply.status, 200);
}
