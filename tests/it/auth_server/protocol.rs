//! What is left of HTTP.

use reqwest::Method;
use reqwest::header::CONTENT_TYPE;

use super::support::{Reply, Site};

#[tokio::test]
async fn an_unknown_path_is_not_found() {
    let site = Site::start().await;
    for path in ["/", "/auth/tokens", "/auth/tokens/a/b/revoke", "/jobs/1"] {
        let reply = Reply::read(site.request(Method::GET, path)).await;

        reply.assert_error(404, "not_found");
    }
}

#[tokio::test]
async fn a_wrong_method_is_told_which_are_right() {
    let site = Site::start().await;
    for (method, path, allowed) in [
        (Method::GET, "/auth/tokens/long", "POST"),
        (Method::GET, "/auth/tokens/short", "POST"),
        (Method::DELETE, "/auth/tokens/tok_st_1/revoke", "POST"),
        (Method::PUT, "/jobs", "GET,HEAD,POST"),
    ] {
        let reply = Reply::read(site.request(method, path)).await;

        reply.assert_error(405, "method_not_allowed");
        assert_eq!(reply.header("allow"), Some(allowed), "{path}");
    }
    assert_eq!(site.server.counts(), everbearer::testkit::Counts::default());
}

#[tokio::test]
async fn a_body_has_to_be_declared_as_json() {
    let site = Site::start().await;
    let request = |kind: Option<&str>| {
        let body = site.by_secret().to_string();
        let request = site.request(Method::POST, "/auth/tokens/long").body(body);
        kind.map_or(request.try_clone().unwrap(), |kind| {
            request.header(CONTENT_TYPE, kind)
        })
    };

    for right in ["application/json", "Application/JSON; charset=utf-8"] {
        Reply::read(request(Some(right))).await.token();
    }
    for wrong in [
        None,
        Some("text/plain"),
        Some("application/x-www-form-urlencoded"),
    ] {
        Reply::read(request(wrong))
            .await
            .assert_bad_request("Content-Type");
    }
}

#[tokio::test]
async fn a_body_without_end_is_refused() {
    let site = Site::start().await;
    let request = site
        .request(Method::POST, "/auth/tokens/long")
        .header(CONTENT_TYPE, "application/json")
        .body(vec![b' '; 3_000_000]);

    Reply::read(request).await.assert_bad_request("too long");
}
