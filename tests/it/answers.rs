//! What a proper auth server never sends, over real sockets: wiremock for odd answers, a bare
//! listener for what is no HTTP.

use std::error::Error as _;
use std::time::Duration;

use everbearer::models::{GrantType, LongTokenRequest, ShortTokenRequest};
use everbearer::{AuthApi, Error, ErrorKind, LongTermToken, Secret, ShortTermToken};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use wiremock::matchers::{any, body_json, header, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::{millis, secs};

const SECRET: &str = "lt_0d51e9bd2f6449cf";

fn long_term() -> LongTermToken {
    LongTermToken::new(SECRET).unwrap()
}

async fn server_that_answers(answer: ResponseTemplate) -> (MockServer, AuthApi) {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(answer).mount(&server).await;
    let api = AuthApi::new(server.uri()).unwrap();
    (server, api)
}

async fn exchange_answered(answer: ResponseTemplate) -> Result<ShortTermToken, Error> {
    let (_server, api) = server_that_answers(answer).await;
    exchange(&api).await
}

async fn exchange(api: &AuthApi) -> Result<ShortTermToken, Error> {
    api.issue_short_term_token(&long_term(), None)
        .await?
        .into_token()
}

fn token_body(change: impl FnOnce(&mut Value)) -> Value {
    let mut body = json!({
        "token_type": "Bearer",
        "access_token": "aaa.bbb.ccc",
        "expires_in": 900,
        "expires_at": "2026-11-24T22:45:00Z",
        "scopes": ["jobs:submit"],
        "token_id": "tok_st_1",
    });
    change(&mut body);
    body
}

fn ok(body: Value) -> ResponseTemplate {
    ResponseTemplate::new(201).set_body_json(body)
}

/// All that an error says, its causes included.
fn whole_text(error: &Error) -> String {
    let mut text = format!("{error} {error:?} {error:#?}");
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(" {error} {error:?}");
        cause = error.source();
    }
    text
}

#[tokio::test]
async fn two_hundred_and_two_hundred_and_one_are_accepted() {
    for status in [200, 201] {
        let answer = ResponseTemplate::new(status).set_body_json(token_body(|_| {}));
        let token = exchange_answered(answer).await.unwrap();
        assert_eq!(token.token_id(), Some("tok_st_1"));
        assert_eq!(token.scopes(), ["jobs:submit"]);
    }
}

#[tokio::test]
async fn the_long_term_token_goes_into_the_authorization_header_and_scopes_into_the_body() {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path("/v1/auth/tokens/short"))
        .and(header("authorization", format!("Bearer {SECRET}").as_str()))
        .and(header("accept", "application/json"))
        .and(header("content-type", "application/json"))
        .and(header("x-client-id", "client_abc123"))
        .and(body_json(json!({"scopes": ["a", "b"]})))
        .respond_with(ok(token_body(|_| {})))
        .expect(1)
        .mount(&server)
        .await;
    let api = AuthApi::builder(format!("{}/v1/", server.uri()))
        .client_id("client_abc123")
        .build()
        .unwrap();
    let request = ShortTokenRequest::scopes(["a", "b"]);
    api.issue_short_term_token(&long_term(), Some(&request))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_request_for_a_long_term_token_says_whose_it_is_in_the_header_too() {
    let (server, api) = server_that_answers(ok(token_body(|_| {}))).await;
    let request = LongTokenRequest::new(GrantType::ClientCredentials, "client_abc123");
    api.issue_long_term_token(&request, None).await.unwrap();
    let configured = AuthApi::builder(server.uri()).client_id("configured");
    let configured = configured.build().unwrap();
    configured
        .issue_long_term_token(&request, None)
        .await
        .unwrap();
    let requests = server.received_requests().await.unwrap();
    let sent = requests
        .iter()
        .map(|request| &request.headers["x-client-id"]);
    assert_eq!(sent.collect::<Vec<_>>(), ["client_abc123", "configured"]);
}

#[tokio::test]
async fn without_a_body_there_is_no_content_type_and_without_a_client_id_no_such_header() {
    let (server, api) = server_that_answers(ok(token_body(|_| {}))).await;
    exchange(&api).await.unwrap();
    let requests = server.received_requests().await.unwrap();
    assert!(requests[0].body.is_empty());
    assert!(!requests[0].headers.contains_key("content-type"));
    assert!(!requests[0].headers.contains_key("x-client-id"));
}

#[tokio::test]
async fn the_long_term_token_may_go_into_the_body_instead() {
    let (server, api) = server_that_answers(ok(token_body(|_| {}))).await;
    let mut request = ShortTokenRequest::default();
    request.long_token = Some(Secret::from(SECRET));
    api.issue_short_term_token(&long_term(), Some(&request))
        .await
        .unwrap();
    let requests = server.received_requests().await.unwrap();
    let body: Value = requests[0].body_json().unwrap();
    assert_eq!(body, json!({"long_token": SECRET}));
    assert!(!requests[0].headers.contains_key("authorization"));
}

#[tokio::test]
async fn a_request_for_a_long_term_token_holds_what_was_set_and_nothing_else() {
    let (server, api) = server_that_answers(ok(token_body(|_| {}))).await;
    let mut request = LongTokenRequest::new(GrantType::Assertion, "client");
    request.assertion_type = Some("urn:x".to_owned());
    request.assertion = Some(Secret::from("aaa.bbb.ccc"));
    request.ttl_seconds = Some(3_600);
    api.issue_long_term_token(&request, None).await.unwrap();
    let short = ShortTermToken::builder("short").build().unwrap();
    let request = LongTokenRequest::new(GrantType::ClientCredentials, "client");
    api.issue_long_term_token(&request, Some(&short))
        .await
        .unwrap();
    let requests = server.received_requests().await.unwrap();
    let body: Value = requests[0].body_json().unwrap();
    let expected = json!({
        "grant_type": "assertion",
        "client_id": "client",
        "assertion_type": "urn:x",
        "assertion": "aaa.bbb.ccc",
        "ttl_seconds": 3_600,
    });
    assert_eq!(body, expected);
    assert_eq!(requests[1].headers["authorization"], "Bearer short");
}

#[tokio::test]
async fn token_ids_are_percent_encoded_in_the_path() {
    for (id, encoded) in [
        ("tok_1", "tok_1"),
        ("a/b?c#d e%", "a%2Fb%3Fc%23d%20e%25"),
        ("../../admin", "..%2F..%2Fadmin"),
        ("tök", "t%C3%B6k"),
    ] {
        let (server, api) = server_that_answers(ResponseTemplate::new(204)).await;
        api.revoke_token(id, &long_term()).await.unwrap();
        let requests = server.received_requests().await.unwrap();
        let expected = format!("/auth/tokens/{encoded}/revoke");
        assert_eq!(requests[0].url.path(), expected);
    }
    let (server, api) = server_that_answers(ResponseTemplate::new(204)).await;
    for id in ["", ".", "..", "..\n", "\t", ".\t.", "a\nb"] {
        let error = api.revoke_token(id, &long_term()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidToken);
    }
    assert!(server.received_requests().await.unwrap().is_empty());
}

#[tokio::test]
async fn where_the_body_has_no_token_id_the_header_and_then_the_jti_stand_in() {
    let without_id = || token_body(|body| body["token_id"] = json!(null));
    let answer = ok(without_id()).insert_header("x-token-id", "tok_header");
    let token = exchange_answered(answer).await.unwrap();
    assert_eq!(token.token_id(), Some("tok_header"));

    // {"jti":"tok_jti"}
    let jwt = "eyJhbGciOiJFZERTQSJ9.eyJqdGkiOiJ0b2tfanRpIn0.c2ln";
    let with_jti = || {
        let mut body = without_id();
        body["access_token"] = json!(jwt);
        body
    };
    let token = exchange_answered(ok(with_jti())).await.unwrap();
    assert_eq!(token.token_id(), Some("tok_jti"));
    let answer = ok(with_jti()).insert_header("x-token-id", "tok_header");
    let token = exchange_answered(answer).await.unwrap();
    assert_eq!(token.token_id(), Some("tok_header"));
}

#[tokio::test]
async fn e10_each_status_becomes_a_typed_error_with_the_servers_code_kept() {
    use ErrorKind::*;
    for (status, code, kind) in [
        (400, "invalid_request", InvalidRequest),
        (400, "invalid_grant", Denied),
        (400, "a_code_of_their_own", InvalidRequest),
        (401, "invalid_token", Denied),
        (401, "invalid_client", Denied),
        (401, "token_expired", Denied),
        (403, "insufficient_scope", Denied),
        (403, "access_denied", Denied),
        (404, "not_found", InvalidRequest),
        (409, "conflict", InvalidRequest),
        (429, "rate_limited", RateLimited),
        (500, "server_error", Server),
        (503, "temporarily_unavailable", Server),
        (400, "temporarily_unavailable", Server),
    ] {
        let body = json!({"code": code, "message": "Because.", "details": {"a": 1}});
        let answer = ResponseTemplate::new(status).set_body_json(body);
        let error = exchange_answered(answer).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{status} {code}");
        assert_eq!(error.code(), Some(code));
        assert_eq!(error.status(), Some(status));
        assert_eq!(
            error.to_string(),
            format!("issue_short_term_token: the auth server answers {code}: Because.")
        );
        assert_eq!(error.is_retryable(), matches!(kind, RateLimited | Server));
    }
}

#[tokio::test]
async fn e10_an_error_body_that_is_not_the_contracts_is_still_a_clear_error() {
    use ErrorKind::*;
    for (status, body, kind) in [
        (502, "<html><h1>Bad Gateway</h1></html>", Server),
        (503, "", Server),
        (401, "", Protocol),
        (403, "<html>blocked by policy</html>", Protocol),
        (404, "Not Found", Protocol),
        (418, "{\"teapot\": true}", Protocol),
        (429, "slow down", RateLimited),
    ] {
        let answer = ResponseTemplate::new(status).set_body_string(body);
        let error = exchange_answered(answer).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{status}");
        assert_eq!((error.status(), error.code()), (Some(status), None));
        assert!(error.to_string().contains(&status.to_string()), "{error}");
        assert!(!error.to_string().contains('<'), "{error}");
        assert!(
            error.is_retryable(),
            "it is not the auth server's own: {error}"
        );
    }
}

#[tokio::test]
async fn e9_retry_after_comes_as_seconds_or_as_a_date() {
    let now = std::time::SystemTime::UNIX_EPOCH + secs(1_800_000_000);
    let date = httpdate::fmt_http_date;
    for (value, expected) in [
        ("17".to_owned(), Some(secs(17))),
        ("0".to_owned(), Some(secs(0))),
        (date(now + secs(90)), Some(secs(90))),
        (date(now - secs(90)), Some(secs(0))),
        ("9".repeat(40), Some(Duration::from_secs(u64::MAX))),
        ("-5".to_owned(), None),
        ("soon".to_owned(), None),
    ] {
        let answer = ResponseTemplate::new(429)
            .insert_header("retry-after", value.as_str())
            .insert_header("date", date(now).as_str());
        let error = exchange_answered(answer).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::RateLimited);
        assert_eq!(error.retry_after(), expected, "{value}");
    }
}

#[tokio::test]
async fn e11_a_success_that_brings_no_token_is_an_error() {
    let bodies = [
        String::new(),
        "<html>".to_owned(),
        "null".to_owned(),
        "[]".to_owned(),
        "{}".to_owned(),
        json!({"code": "invalid_grant", "message": "in a 200"}).to_string(),
        token_body(|body| body["access_token"] = json!("")).to_string(),
        token_body(|body| body["access_token"] = json!(null)).to_string(),
        token_body(|body| body["access_token"] = json!("a b")).to_string(),
        token_body(|body| body["access_token"] = json!("a\r\nX-Evil: 1")).to_string(),
        token_body(|body| body["access_token"] = json!(17)).to_string(),
        token_body(|body| body["token_type"] = json!("mac")).to_string(),
        token_body(|body| body["token_type"] = json!(null)).to_string(),
        token_body(|_| {}).to_string()[..40].to_owned(),
    ];
    for body in bodies {
        let answer = ResponseTemplate::new(200).set_body_string(body.clone());
        let error = exchange_answered(answer).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol, "{body}");
        assert!(error.is_retryable());
    }
}

#[tokio::test]
async fn e11_an_answer_is_read_up_to_one_mebibyte() {
    let padded = |length: usize| {
        let body = token_body(|_| {}).to_string();
        let padding = " ".repeat(length - body.len());
        ResponseTemplate::new(200).set_body_string(body + &padding)
    };
    exchange_answered(padded(1024 * 1024)).await.unwrap();
    let error = exchange_answered(padded(1024 * 1024 + 1))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol);
    assert!(error.to_string().contains("1 MiB"), "{error}");
}

#[tokio::test]
async fn e12_the_token_type_is_read_in_any_case() {
    let answer = ok(token_body(|body| body["token_type"] = json!("beARer")));
    assert!(exchange_answered(answer).await.is_ok());
}

#[tokio::test]
async fn w12_an_answer_is_read_leniently_where_that_loses_nothing() {
    for change in [
        json!({"expires_in": "900"}),
        json!({"expires_in": null, "expires_at": null}),
        json!({"expires_in": "soon", "expires_at": "tomorrow"}),
        json!({"expires_at": 17}),
        json!({"scopes": null}),
        json!({"something": {"else": true}}),
    ] {
        let answer = ok(token_body(|body| {
            for (key, value) in change.as_object().unwrap() {
                body[key] = value.clone();
            }
        }));
        assert!(exchange_answered(answer).await.is_ok(), "{change}");
    }
}

#[tokio::test]
async fn e13_an_error_that_echoes_a_secret_does_not_bring_it_into_our_text() {
    for echo in [
        SECRET.to_owned(),
        format!("The token {SECRET} is not valid."),
        format!("prefix {} suffix", &SECRET[3..13]),
    ] {
        for body in [
            json!({"code": "invalid_token", "message": echo}),
            json!({"code": echo, "message": "Because."}),
            json!({"code": "invalid_token", "message": "Because.", "details": {"got": echo}}),
            json!({"error": echo}),
            json!(echo),
        ] {
            let answer = ResponseTemplate::new(401).set_body_json(&body);
            let error = exchange_answered(answer).await.unwrap_err();
            let text = whole_text(&error);
            assert!(!text.contains(&SECRET[3..13]), "{text}");
            assert!(!error.code().unwrap_or_default().contains(&SECRET[3..13]));
            // In an answer that claims to be a success, too.
            let answer = ResponseTemplate::new(200).set_body_json(&body);
            let text = whole_text(&exchange_answered(answer).await.unwrap_err());
            assert!(!text.contains(&SECRET[3..13]), "{text}");
        }
    }

    let (_server, api) =
        server_that_answers(ResponseTemplate::new(400).set_body_json(
            json!({"code": "invalid_client", "message": "bad secret correct-horse"}),
        ))
        .await;
    let mut request = LongTokenRequest::new(GrantType::ClientCredentials, "client");
    request.client_secret = Some(Secret::from("correct-horse"));
    let error = api.issue_long_term_token(&request, None).await.unwrap_err();
    assert!(!whole_text(&error).contains("correct-horse"));
    assert!(!format!("{request:?}").contains("correct-horse"));
    assert_eq!(error.code(), Some("invalid_client"));
}

#[tokio::test]
async fn a_message_is_cut_to_length_and_to_one_line() {
    let message = format!("first\nsecond\u{1b}[31m {}", "x".repeat(10_000));
    let body = json!({"code": "invalid_request", "message": message});
    let answer = ResponseTemplate::new(400).set_body_json(body);
    let error = exchange_answered(answer).await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.len() < 400 && !text.contains(['\n', '\u{1b}']),
        "{text}"
    );
}

#[tokio::test]
async fn a_404_on_revoke_is_a_success_and_other_refusals_are_not() {
    let unknown = json!({"code": "not_found", "message": "x"});
    let unknown = ResponseTemplate::new(404).set_body_json(unknown);
    let (_server, api) = server_that_answers(unknown).await;
    api.revoke_token("tok", &long_term()).await.unwrap();
    for (status, kind) in [
        (401, ErrorKind::Protocol),
        (403, ErrorKind::Protocol),
        (404, ErrorKind::InvalidRequest), // perhaps a wrong base URL
        (405, ErrorKind::Protocol),
        (500, ErrorKind::Server),
    ] {
        let (_server, api) = server_that_answers(ResponseTemplate::new(status)).await;
        let error = api.revoke_token("tok", &long_term()).await.unwrap_err();
        assert_eq!(error.kind(), kind);
    }
}

#[tokio::test]
async fn no_redirect_is_followed_by_its_own_client_nor_by_one_that_would() {
    for status in [301, 302, 303, 307, 308] {
        let elsewhere = MockServer::start().await;
        Mock::given(any())
            .respond_with(ok(token_body(|_| {})))
            .mount(&elsewhere)
            .await;
        let location = format!("{}/stolen", elsewhere.uri());
        let answer = ResponseTemplate::new(status).insert_header("location", location.as_str());
        let (server, own) = server_that_answers(answer).await;
        let eager = AuthApi::builder(server.uri())
            .http_client(reqwest::Client::new())
            .build()
            .unwrap();
        let mut request = LongTokenRequest::new(GrantType::ClientCredentials, "client");
        request.client_secret = Some(Secret::from("correct-horse"));
        for api in [own, eager] {
            let error = exchange(&api).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Protocol, "{error}");
            let error = api.issue_long_term_token(&request, None).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Protocol, "{error}");
            let text = error.to_string();
            assert!(text.contains("redirects"), "{text}");
        }
        for stray in elsewhere.received_requests().await.unwrap() {
            assert!(!stray.headers.contains_key("authorization"), "{status}");
            assert!(!String::from_utf8_lossy(&stray.body).contains("correct-horse"));
        }
    }
}

#[tokio::test]
async fn a_redirect_on_the_same_origin_is_refused_too() {
    let server = MockServer::start().await;
    Mock::given(path("/auth/tokens/short"))
        .respond_with(ResponseTemplate::new(303).insert_header("location", "/moved"))
        .mount(&server)
        .await;
    Mock::given(path("/moved"))
        .respond_with(ok(token_body(|_| {})))
        .mount(&server)
        .await;
    let api = AuthApi::builder(server.uri())
        .http_client(reqwest::Client::new())
        .build()
        .unwrap();
    let error = exchange(&api).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol);
}

#[tokio::test]
async fn a_server_that_does_not_answer_in_time_is_given_up() {
    let answer = ok(token_body(|_| {})).set_delay(secs(60));
    let (server, _) = server_that_answers(answer).await;
    let api = AuthApi::builder(server.uri())
        .timeout(millis(100))
        .build()
        .unwrap();
    let error = exchange(&api).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(!whole_text(&error).contains(SECRET));
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unreachable() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let api = AuthApi::new(format!("http://{address}")).unwrap();
    let error = exchange(&api).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    assert!(error.is_retryable());
}

/// A resolver that knows no host.
struct NoSuchHost;

impl reqwest::dns::Resolve for NoSuchHost {
    fn resolve(&self, _: reqwest::dns::Name) -> reqwest::dns::Resolving {
        Box::pin(async { Err("no such host".into()) })
    }
}

#[tokio::test]
async fn e10_a_host_that_is_not_found_is_unreachable() {
    let client = reqwest::Client::builder()
        .no_proxy()
        .dns_resolver(std::sync::Arc::new(NoSuchHost))
        .build()
        .unwrap();
    let api = AuthApi::builder("http://localhost:1").http_client(client);
    let error = exchange(&api.build().unwrap()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{error:?}");
    assert!(error.is_retryable());
}

#[tokio::test]
async fn a_torn_or_garbled_answer_is_a_transient_failure() {
    for bytes in [
        &b""[..],
        b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{\"token_type\":",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 999999 ?\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    ] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut request = [0; 4_096];
            let _ = socket.read(&mut request).await.unwrap();
            socket.write_all(bytes).await.unwrap();
        });
        let api = AuthApi::new(format!("http://{address}")).unwrap();
        let error = exchange(&api).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unreachable, "{error:?}");
        server.await.unwrap();
    }
}

#[tokio::test]
async fn https_without_a_tls_backend_names_the_feature_to_turn_on() {
    // This build of reqwest has no TLS backend: the crate turns none on.
    let api = AuthApi::new("https://127.0.0.1:9").unwrap();
    let error = exchange(&api).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error:?}");
    assert!(error.to_string().contains("`rustls`"), "{error}");
}

#[tokio::test]
async fn nonsense_in_the_configuration_is_refused_with_what_to_do() {
    for (url, hint) in [
        ("api.example.com", "https://api.example.com/v1"),
        ("", "https://api.example.com/v1"),
        ("http://api.example.com/v1", "use https"),
        ("ftp://api.example.com", "use an https URL"),
        ("https://user:pw@api.example.com", "leave them out"),
        ("https://api.example.com/v1?key=1", "leave them out"),
    ] {
        let error = AuthApi::new(url).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains(hint), "{url}: {error}");
    }
    let api = AuthApi::builder("https://a.example").client_id("a\nb");
    assert!(api.build().unwrap_err().to_string().contains("client ID"));
    let api = AuthApi::builder("https://a.example").timeout(Duration::ZERO);
    assert!(api.build().unwrap_err().to_string().contains("timeout"));
}
