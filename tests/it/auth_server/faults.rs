//! Every way to go wrong, over a real socket.

use std::time::Duration;

use everbearer::testkit::{Endpoint, Fault};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::support::{Site, Token};

#[tokio::test]
async fn a_script_is_followed_in_order_and_then_used_up() {
    let site = Site::start().await;
    let long_term = site.long_term().await;
    let faults = [
        Fault::status(503),
        Fault::Pass,
        Fault::error(400, "invalid_grant"),
    ];
    site.server.script(Endpoint::ShortTerm, faults);
    site.server
        .script(Endpoint::ShortTerm, [Fault::status(500)]);

    let mut statuses = Vec::new();
    for _ in 0..5 {
        statuses.push(site.exchange(&long_term.text).await.status);
    }

    assert_eq!(statuses, [503, 201, 400, 500, 201]);
    assert_eq!(site.server.counts().exchanges_succeeded, 2);
}

#[tokio::test]
async fn a_lasting_fault_comes_after_the_script_and_ends_when_cleared() {
    let site = Site::start().await;
    let long_term = site.long_term().await;
    site.server
        .fault_always(Endpoint::ShortTerm, Fault::status(500));
    site.server
        .script(Endpoint::ShortTerm, [Fault::status(502)]);

    for expected in [502, 500, 500] {
        assert_eq!(site.exchange(&long_term.text).await.status, expected);
    }
    site.server
        .script(Endpoint::ShortTerm, [Fault::status(502)]);
    site.server.clear_faults();

    site.exchange(&long_term.text).await.token();
}

#[tokio::test]
async fn a_fault_meets_its_endpoint_only() {
    let site = Site::start().await;
    let token = site.short_term().await;
    for endpoint in [
        Endpoint::LongTerm,
        Endpoint::ShortTerm,
        Endpoint::Revoke,
        Endpoint::Jobs,
    ] {
        site.server.fault_always(endpoint, Fault::status(500));

        let statuses = [
            site.obtain(&site.by_secret()).await.status,
            site.exchange("junk").await.status,
            site.revoke("tok_any", "junk").await.status,
            site.get("/jobs", &token.text).await.status,
        ];

        let failed = statuses.iter().filter(|status| **status == 500).count();
        assert_eq!(failed, 1, "{endpoint:?} {statuses:?}");
        site.server.clear_faults();
    }
}

#[tokio::test]
async fn a_status_comes_with_or_without_an_error_body_and_retry_after() {
    let site = Site::start().await;
    let faults = [
        Fault::status(503),
        Fault::rate_limited("Wed, 21 Oct 2026 07:28:00 GMT"),
        Fault::error(401, "invalid_token"),
        Fault::status(401),
        Fault::status(101),
        Fault::status(7),
    ];
    site.server.script(Endpoint::Jobs, faults);
    let next = || site.get("/jobs", "junk");

    let bare = next().await;
    assert_eq!((bare.status, bare.text.as_str()), (503, ""));
    assert_eq!(bare.header("retry-after"), None);
    let limited = next().await;
    limited.assert_error(429, "rate_limited");
    assert_eq!(
        limited.header("retry-after"),
        Some("Wed, 21 Oct 2026 07:28:00 GMT")
    );
    let unauthorized = next().await;
    unauthorized.assert_error(401, "invalid_token");
    let challenge = r#"Bearer realm="jobs", error="invalid_token""#;
    assert_eq!(unauthorized.header("www-authenticate"), Some(challenge));
    let bare = next().await;
    assert_eq!(
        bare.header("www-authenticate"),
        Some(r#"Bearer realm="jobs""#)
    );
    assert_eq!(next().await.status, 500);
    assert_eq!(next().await.status, 500);
}

#[tokio::test]
async fn a_slow_answer_is_a_right_one() {
    let site = Site::start().await;
    let long_term = site.long_term().await;
    let latency = Fault::Latency(Duration::from_millis(5));
    site.server.script(Endpoint::ShortTerm, [latency]);

    site.exchange(&long_term.text).await.token();
}

#[tokio::test]
async fn a_hanging_request_ends_when_the_client_goes_away() {
    let site = Site::start().await;
    let long_term = site.long_term().await;
    site.server.script(Endpoint::ShortTerm, [Fault::Hang]);

    let hanging = site.spawn_exchange(&long_term.text);
    site.until_exchanges_in_progress_are(1).await;
    hanging.abort();
    site.until_exchanges_in_progress_are(0).await;

    assert_eq!(site.server.counts().short_term.unanswered(), 1);
    site.exchange(&long_term.text).await.token();
}

#[tokio::test]
async fn a_response_closed_early_breaks_off_in_its_middle() {
    let site = Site::start().await;
    let long_term = site.long_term().await;
    site.server
        .script(Endpoint::ShortTerm, [Fault::CloseEarly, Fault::CloseEarly]);

    let raw = exchange_raw(&site, &long_term).await;
    let (head, body) = raw.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 201 "), "{head}");
    let head = head.to_ascii_lowercase();
    let length = head.split("content-length: ").nth(1).unwrap();
    let length: usize = length.lines().next().unwrap().parse().unwrap();
    assert_eq!(body.len(), length / 2);
    assert!(body.starts_with('{') && body.len() > 100);

    let request = site.post_request("/auth/tokens/short", Some(&long_term.text), &json!({}));
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 201);
    response.text().await.unwrap_err();
    let counts = site.server.counts();
    assert_eq!(counts.exchanges_succeeded, 2);
    assert_eq!(counts.short_term.unanswered(), 2);
}

#[tokio::test]
async fn a_lost_response_was_carried_out_without_a_byte_of_answer() {
    let site = Site::start().await;
    let long_term = site.long_term().await;
    site.server.script(
        Endpoint::ShortTerm,
        [Fault::LoseResponse, Fault::LoseResponse],
    );

    assert_eq!(exchange_raw(&site, &long_term).await, "");

    let request = site.post_request("/auth/tokens/short", Some(&long_term.text), &json!({}));
    request.send().await.unwrap_err();
    assert_eq!(site.server.counts().exchanges_succeeded, 2);
    assert_eq!(site.server.counts().short_term.unanswered(), 2);
    site.exchange(&long_term.text).await.token();
}

#[tokio::test]
async fn a_revocation_whose_response_is_lost_or_closed_early_has_happened() {
    let site = Site::start().await;
    let long_term = site.long_term().await;
    for fault in [Fault::LoseResponse, Fault::CloseEarly] {
        let token = site.exchange(&long_term.text).await.token();
        site.server.script(Endpoint::Revoke, [fault]);
        let path = format!("/auth/tokens/{}/revoke", token.id);

        let request = site.post_request(&path, Some(&long_term.text), &json!({}));
        request.send().await.unwrap_err();

        assert!(!site.server.is_live(&token.id));
    }
}

#[tokio::test]
async fn garbage_and_html_and_any_body_arrive_as_they_are() {
    let site = Site::start().await;
    let page = Fault::Html(502);
    let made_up = Fault::body(200, r#"{"access_token":""}"#);
    let long = Fault::body(200, vec![b'x'; 2_000_000]);
    site.server
        .script(Endpoint::ShortTerm, [Fault::Garbage, page, made_up, long]);

    let garbage = site.exchange("any").await;
    assert_eq!(garbage.status, 200);
    assert_eq!(garbage.header("content-type"), Some("application/json"));
    serde_json::from_str::<serde_json::Value>(&garbage.text).unwrap_err();
    let page = site.exchange("any").await;
    assert_eq!(
        (page.status, page.header("content-type")),
        (502, Some("text/html"))
    );
    assert!(page.text.starts_with("<html>") && page.text.contains("502 Bad Gateway"));
    let made_up = site.exchange("any").await;
    assert_eq!(
        (made_up.status, made_up.text.as_str()),
        (200, r#"{"access_token":""}"#)
    );
    assert_eq!(site.exchange("any").await.text.len(), 2_000_000);
}

#[tokio::test]
async fn a_token_can_come_expired() {
    let site = Site::start().await;
    for endpoint in [Endpoint::LongTerm, Endpoint::ShortTerm, Endpoint::Jobs] {
        site.server.script(endpoint, [Fault::Expired]);
    }

    let expired_long = site.long_term().await;
    let long_term = site.long_term().await;
    let expired_short = site.exchange(&long_term.text).await.token();
    let short_term = site.exchange(&long_term.text).await.token();

    assert_eq!(expired_long.body["expires_in"], 0);
    assert_eq!(expired_short.body["expires_in"], 0);
    site.exchange(&expired_long.text)
        .await
        .assert_error(401, "token_expired");
    assert_eq!(site.get("/jobs", &short_term.text).await.status, 200);
    site.get("/jobs", &expired_short.text)
        .await
        .assert_error(401, "token_expired");
}

async fn exchange_raw(site: &Site, long_term: &Token) -> String {
    let mut stream = TcpStream::connect(site.server.addr()).await.unwrap();
    let request = format!(
        "POST /v1/auth/tokens/short HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n\
         Content-Length: 0\r\n\r\n",
        site.server.addr(),
        long_term.text
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut received = String::new();
    stream.read_to_string(&mut received).await.unwrap();
    received
}
