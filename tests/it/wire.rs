//! Requests to the auth server, and what its answers mean.

use std::sync::{Arc, Mutex};

use everbearer::models::{GrantType, LongTokenRequest, ShortTokenRequest};
use everbearer::{
    AuthApi, Error, ErrorKind, Fate, Grant, LongTermToken, RetryPolicy, Secret, ShutdownReport,
    TokenProvider,
};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use wiremock::matchers::{any, path, path_regex};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::{millis, secs};

fn long_term() -> LongTermToken {
    LongTermToken::new("lt_0d51e9bd2f6449cf").unwrap()
}

fn answer(status: u16, body: &Value) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_json(body)
}

fn page(status: u16) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_raw("<html>sign in</html>", "text/html")
}

fn token() -> ResponseTemplate {
    answer(
        201,
        &json!({"token_type": "Bearer", "access_token": "aaa.bbb.ccc", "expires_in": 900, "token_id": "tok_1"}),
    )
}

async fn server_that_answers(template: ResponseTemplate) -> (MockServer, AuthApi) {
    let server = MockServer::start().await;
    Mock::given(any())
        .respond_with(template)
        .mount(&server)
        .await;
    let api = AuthApi::new(server.uri()).unwrap();
    (server, api)
}

async fn exchange_answered(template: ResponseTemplate) -> Result<(), Error> {
    let (_server, api) = server_that_answers(template).await;
    let answer = api.issue_short_term_token(&long_term(), None).await?;
    answer.into_token().map(drop)
}

async fn revocation_answered(template: ResponseTemplate) -> (Result<(), Error>, usize) {
    let (server, api) = server_that_answers(template).await;
    let outcome = api.revoke_token("tok_1", &long_term()).await;
    (outcome, server.received_requests().await.unwrap().len())
}

/// Starts a server that answers each request with the next of these and keeps connections alive. At
/// `None` it closes the connection without an answer. Returns its URL and the requests.
async fn raw_server(answers: Vec<Option<&'static str>>) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let received = Arc::<Mutex<Vec<String>>>::default();
    let answers = Arc::new(Mutex::new(answers.into_iter()));
    let log = Arc::clone(&received);
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(serve(socket, Arc::clone(&answers), Arc::clone(&log)));
        }
    });
    (address, received)
}

async fn serve(
    mut socket: TcpStream,
    answers: Arc<Mutex<std::vec::IntoIter<Option<&'static str>>>>,
    log: Arc<Mutex<Vec<String>>>,
) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(length @ 1..) = socket.read(&mut buffer).await {
        let request = String::from_utf8_lossy(&buffer[..length]).into_owned();
        log.lock().unwrap().push(request);
        let Some(Some(answer)) = answers.lock().unwrap().next() else {
            return;
        };
        socket.write_all(answer.as_bytes()).await.unwrap();
    }
}

const NO_CONTENT: &str = "HTTP/1.1 204 No Content\r\n\r\n";
const TOKEN: &str = "HTTP/1.1 201 Created\r\ncontent-length: 64\r\n\r\n\
                     {\"token_type\":\"Bearer\",\"access_token\":\"a.b.c\",\"expires_in\":900 }";

#[tokio::test]
async fn a1_each_post_states_the_length_of_its_body() {
    let answers = vec![Some(TOKEN), Some(TOKEN), Some(NO_CONTENT), Some(TOKEN)];
    let (url, received) = raw_server(answers).await;
    let api = AuthApi::new(url).unwrap();
    let scopes = ShortTokenRequest::scopes(["jobs:read"]);
    let mut grant = LongTokenRequest::new(GrantType::ClientCredentials, "id");
    grant.client_secret = Some(Secret::from("correct-horse"));
    api.issue_short_term_token(&long_term(), None)
        .await
        .unwrap();
    api.issue_short_term_token(&long_term(), Some(&scopes))
        .await
        .unwrap();
    api.revoke_token("tok_1", &long_term()).await.unwrap();
    api.issue_long_term_token(&grant, None).await.unwrap();
    for request in received.lock().unwrap().iter() {
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        let head = head.to_lowercase();
        let lengths: Vec<_> = head
            .lines()
            .filter_map(|line| line.strip_prefix("content-length: "))
            .collect();
        assert_eq!(lengths, [body.len().to_string()], "{head}");
        assert!(!head.contains("transfer-encoding"), "{head}");
    }
    assert_eq!(received.lock().unwrap().len(), 4);
}

#[tokio::test]
async fn a2_the_code_of_an_error_counts_whatever_stands_beside_it() {
    for odd in [
        json!({"message": null}),
        json!({"message": 17}),
        json!({"message": {"text": "no"}}),
        json!({}),
        json!({"message": "no", "details": "expired"}),
        json!({"message": "no", "details": ["expired"]}),
        json!({"message": "no", "details": null}),
        json!({"message": "no", "timestamp": 1.5, "error": {"code": "other"}}),
    ] {
        let mut body = odd.clone();
        body["code"] = json!("invalid_token");
        let error = exchange_answered(answer(401, &body)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied, "{odd}: {error}");
        assert_eq!(error.code(), Some("invalid_token"), "{odd}");
    }
    // Twice the same member: the last one counts, as most parsers have it.
    let body = r#"{"code":"a","message":"x","message":"y","code":"invalid_grant"}"#;
    let template = ResponseTemplate::new(400).set_body_raw(body, "application/json");
    let error = exchange_answered(template).await.unwrap_err();
    assert_eq!(error.code(), Some("invalid_grant"));
}

#[tokio::test]
async fn a2_no_other_member_is_taken_for_the_code() {
    for body in [
        json!({"code": null, "error": "invalid_grant"}),
        json!({"code": 401, "message": "invalid_token"}),
        json!({"error": "invalid_token", "error_description": "invalid_token"}),
        json!({"details": {"code": "invalid_token"}}),
        json!(["invalid_token"]),
        json!("invalid_token"),
    ] {
        let error = exchange_answered(answer(401, &body)).await.unwrap_err();
        assert_eq!((error.code(), error.kind()), (None, ErrorKind::Protocol));
        assert!(error.is_retryable(), "{body}");
    }
}

/// Answers the first exchange of a provider with `first`, and later ones with a token. Returns how often
/// the grant was used until there is a short-term token.
async fn obtained_after(first: ResponseTemplate) -> usize {
    let server = MockServer::start().await;
    Mock::given(path("/auth/tokens/short"))
        .respond_with(first)
        .up_to_n_times(1)
        .with_priority(1)
        .mount(&server)
        .await;
    Mock::given(any())
        .respond_with(token())
        .mount(&server)
        .await;
    let api = AuthApi::new(server.uri()).unwrap();
    let policy = RetryPolicy::default().delays(millis(10), millis(10));
    let provider = TokenProvider::builder(api, long_term())
        .recover_with(Grant::client_secret("id", "secret"))
        .retry_policy(policy.start_timeout(secs(5)))
        .build()
        .unwrap();
    provider.ready().await.unwrap();
    let requests = server.received_requests().await.unwrap();
    let of_grant = requests
        .iter()
        .filter(|request| request.url.path() == "/auth/tokens/long");
    of_grant.count()
}

#[tokio::test]
async fn a2_a_refusal_with_an_odd_body_uses_the_grant() {
    for body in [
        json!({"code": "invalid_token", "message": null}),
        json!({"code": "invalid_token", "message": "no", "details": "expired"}),
        json!({"code": "token_expired", "message": ["no"], "details": 7}),
    ] {
        assert_eq!(obtained_after(answer(401, &body)).await, 1, "{body}");
    }
}

#[tokio::test]
async fn e10_a_server_error_is_transient_and_no_reason_to_ask_the_grant_whatever_its_code() {
    for code in ["invalid_token", "invalid_grant", "token_expired", "my_own"] {
        let body = json!({"code": code, "message": "x"});
        for status in [500, 502, 503] {
            let error = exchange_answered(answer(status, &body)).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Server, "{status} {code}");
            assert_eq!(error.code(), Some(code));
        }
        assert_eq!(obtained_after(answer(503, &body)).await, 0, "{code}");
    }
}

#[tokio::test]
async fn e10_a_401_with_a_code_is_a_refusal_whatever_the_code() {
    for code in [
        "rate_limited",
        "server_error",
        "my_own",
        "temporarily_unavailable",
    ] {
        let body = json!({"code": code, "message": "x"});
        let error = exchange_answered(answer(401, &body)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied, "{code}");
    }
    // With other statuses, a known code decides before the status.
    use ErrorKind::*;
    for (status, code, kind) in [
        (400, "rate_limited", RateLimited),
        (403, "slow_down", RateLimited),
        (403, "temporarily_unavailable", Server),
        (404, "invalid_client", Denied),
        (429, "invalid_grant", Denied),
        (403, "my_own", Denied),
        (429, "my_own", RateLimited),
        (404, "my_own", InvalidRequest),
    ] {
        let body = json!({"code": code, "message": "x"});
        let error = exchange_answered(answer(status, &body)).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{status} {code}");
    }
}

#[tokio::test]
async fn a3_cosmetic_fields_of_another_type_do_not_cost_the_token() {
    for odd in [
        json!({"scopes": "jobs:read jobs:submit"}),
        json!({"scopes": ["jobs:read", 7, null]}),
        json!({"scopes": {"jobs": ["read"]}}),
        json!({"scopes": true}),
        json!({"token_id": 4711}),
        json!({"token_id": {"id": "x"}}),
        json!({"token_id": ["x"]}),
        json!({"expires_in": {"seconds": 900}, "expires_at": [2026]}),
        json!({"expires_in": true}),
    ] {
        let mut body = json!({"token_type": "Bearer", "access_token": "a.b.c", "expires_in": 900});
        for (name, value) in odd.as_object().unwrap() {
            body[name] = value.clone();
        }
        let (_server, api) = server_that_answers(answer(200, &body)).await;
        let token = api.issue_short_term_token(&long_term(), None).await;
        let token = token.and_then(|answer| answer.into_token());
        let token = token.unwrap_or_else(|error| panic!("{odd}: {error}"));
        if odd["scopes"].is_string() {
            assert_eq!(token.scopes(), ["jobs:read", "jobs:submit"]);
        }
        if odd["scopes"].is_array() {
            assert_eq!(token.scopes(), ["jobs:read"]);
        }
        if odd["token_id"].is_number() {
            assert_eq!(token.token_id(), Some("4711"));
        }
    }
}

#[tokio::test]
async fn d3_any_2xx_without_a_body_or_with_json_without_a_code_is_a_revocation() {
    for template in [
        ResponseTemplate::new(204),
        ResponseTemplate::new(200),
        ResponseTemplate::new(202),
        answer(200, &json!({})),
        answer(200, &json!({"revoked": true, "code": null})),
        answer(200, &json!(null)),
        answer(201, &json!([])),
        ResponseTemplate::new(200).set_body_string(" \n"),
    ] {
        let text = format!("{template:?}");
        let (outcome, requests) = revocation_answered(template).await;
        outcome.unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(requests, 1);
    }
}

#[tokio::test]
async fn a4_a_page_or_an_error_in_a_200_is_no_revocation() {
    for template in [
        page(200),
        page(404),
        answer(200, &json!({"code": "invalid_token", "message": "x"})),
        answer(200, &json!({"code": 401})),
        answer(
            404,
            &json!({"message": "no Route matched with those values"}),
        ),
        ResponseTemplate::new(200).set_body_string("welcome"),
    ] {
        let text = format!("{template:?}");
        let (outcome, _) = revocation_answered(template).await;
        let error = outcome.expect_err(&text);
        assert_eq!(error.kind(), ErrorKind::Protocol, "{text}: {error}");
    }
    let not_found = answer(404, &json!({"code": "not_found", "message": "x"}));
    revocation_answered(not_found).await.0.unwrap();
}

/// Returns the shutdown report of a provider whose revocations get this answer, and their number.
async fn shutdown_answered(template: ResponseTemplate) -> (ShutdownReport, usize) {
    let server = MockServer::start().await;
    Mock::given(path_regex("/revoke$"))
        .respond_with(template)
        .with_priority(1)
        .mount(&server)
        .await;
    Mock::given(any())
        .respond_with(token())
        .mount(&server)
        .await;
    let api = AuthApi::new(server.uri()).unwrap();
    let policy = RetryPolicy::default().delays(millis(100), millis(100));
    let provider = TokenProvider::builder(api, long_term())
        .retry_policy(policy)
        .shutdown_policy(everbearer::ShutdownPolicy::default().deadline(secs(1)))
        .build()
        .unwrap();
    provider.token().await.unwrap();
    let report = provider.shutdown().await;
    let requests = server.received_requests().await.unwrap();
    let revocations = requests
        .iter()
        .filter(|request| request.url.path().ends_with("/revoke"));
    (report, revocations.count())
}

#[tokio::test]
async fn d3_an_empty_404_is_reported_as_unknown_and_not_tried_again() {
    let (report, revocations) = shutdown_answered(ResponseTemplate::new(404)).await;
    assert!(!report.is_clean());
    assert_eq!(revocations, 1);
    let Fate::NotRevoked(error) = &report.tokens[0].fate else {
        panic!("{report:?}");
    };
    assert!(error.to_string().contains("unknown"), "{error}");

    let (report, revocations) = shutdown_answered(answer(200, &json!({}))).await;
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(revocations, 1);

    for transient in [page(404), page(200), ResponseTemplate::new(503)] {
        let (report, revocations) = shutdown_answered(transient).await;
        assert!(!report.is_clean());
        assert!(revocations > 1, "{revocations}");
    }
}

#[tokio::test]
async fn a5_everything_but_unreserved_characters_of_a_token_id_is_percent_encoded() {
    let unreserved = "ABCXYZabcxyz0189-._~";
    for (id, encoded) in [
        (unreserved, unreserved),
        ("a|b^c[d]e", "a%7Cb%5Ec%5Bd%5De"),
        ("!$&'()*+,;=:@", "%21%24%26%27%28%29%2A%2B%2C%3B%3D%3A%40"),
        ("a\\b`c{d}\"<>", "a%5Cb%60c%7Bd%7D%22%3C%3E"),
        ("%2F", "%252F"),
        ("%2e%2E", "%252e%252E"),
        ("...", "..."),
    ] {
        let (server, api) = server_that_answers(ResponseTemplate::new(204)).await;
        api.revoke_token(id, &long_term()).await.unwrap();
        let requests = server.received_requests().await.unwrap();
        let expected = format!("/auth/tokens/{encoded}/revoke");
        assert_eq!(requests[0].url.path(), expected);
    }
}

#[tokio::test]
async fn slashes_at_the_end_of_the_base_url_are_left_out() {
    for (suffix, prefix) in [
        ("", ""),
        ("/", ""),
        ("//", ""),
        ("/v1", "/v1"),
        ("/v1/", "/v1"),
        ("/v1//", "/v1"),
        ("/a//b///", "/a//b"),
        ("/a%20b/", "/a%20b"),
    ] {
        let (server, _) = server_that_answers(token()).await;
        let api = AuthApi::new(format!("{}{suffix}", server.uri())).unwrap();
        assert_eq!(api.base_url(), format!("{}{prefix}", server.uri()));
        api.issue_short_term_token(&long_term(), None)
            .await
            .unwrap();
        let requests = server.received_requests().await.unwrap();
        let expected = format!("{prefix}/auth/tokens/short");
        assert_eq!(requests[0].url.path(), expected, "{suffix}");
    }
}

#[tokio::test]
async fn e9_a_date_in_retry_after_counts_without_a_date_of_the_server() {
    let in_a_minute = httpdate::fmt_http_date(std::time::SystemTime::now() + secs(60));
    let head = format!(
        "HTTP/1.1 429 Too Many Requests\r\ncontent-length: 0\r\nretry-after: {in_a_minute}\r\n\r\n"
    );
    let (url, _) = raw_server(vec![Some(Box::leak(head.into_boxed_str()))]).await;
    let api = AuthApi::new(url).unwrap();
    let error = api
        .issue_short_term_token(&long_term(), None)
        .await
        .unwrap_err();
    let pause = error.retry_after().expect("the date counts");
    assert!(pause <= secs(60) && pause > secs(30), "{pause:?}");
}

#[tokio::test]
async fn e20_a_connection_that_died_while_it_was_idle_costs_no_call() {
    let answers = vec![
        Some(TOKEN),
        None, // closes the connection that was kept, without an answer
        Some(TOKEN),
        None,
        Some(NO_CONTENT),
    ];
    let (url, received) = raw_server(answers).await;
    let api = AuthApi::new(url).unwrap();
    for _ in 0..2 {
        let answer = api.issue_short_term_token(&long_term(), None).await;
        answer.unwrap().into_token().unwrap();
    }
    api.revoke_token("tok_1", &long_term()).await.unwrap();
    assert_eq!(received.lock().unwrap().len(), 5);
}

#[tokio::test]
async fn e20_a_call_is_repeated_once_and_what_is_valid_once_is_not() {
    let (url, received) = raw_server(vec![None; 9]).await;
    let api = AuthApi::new(url).unwrap();
    let error = api
        .issue_short_term_token(&long_term(), None)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    assert_eq!(received.lock().unwrap().len(), 2);
    let error = api.revoke_token("tok_1", &long_term()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    assert_eq!(received.lock().unwrap().len(), 4);

    let mut grant = LongTokenRequest::new(GrantType::ClientCredentials, "id");
    grant.otp_code = Some(Secret::from("123456"));
    api.issue_long_term_token(&grant, None).await.unwrap_err();
    assert_eq!(
        received.lock().unwrap().len(),
        5,
        "a one-time code went out twice"
    );
}

#[tokio::test]
async fn e20_a_server_that_does_not_answer_is_asked_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let accepted = tokio::spawn(async move {
        let mut sockets = Vec::new();
        while let Ok(Ok((socket, _))) = tokio::time::timeout(secs(2), listener.accept()).await {
            sockets.push(socket);
        }
        sockets.len()
    });
    let api = AuthApi::builder(url).timeout(millis(200)).build().unwrap();
    let error = api
        .issue_short_term_token(&long_term(), None)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(accepted.await.unwrap(), 1);
}

#[tokio::test]
async fn e20_a_connection_that_no_call_uses_is_closed_soon() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut buffer = vec![0; 16 * 1024];
        assert!(socket.read(&mut buffer).await.unwrap() > 0);
        socket.write_all(TOKEN.as_bytes()).await.unwrap();
        // reqwest's own default is 90 s.
        let closed = tokio::time::timeout(secs(30), socket.read(&mut buffer)).await;
        assert_eq!(closed.expect("the connection is kept").unwrap(), 0);
    });
    let api = AuthApi::new(url).unwrap();
    api.issue_short_term_token(&long_term(), None)
        .await
        .unwrap();
    server.await.unwrap();
}
