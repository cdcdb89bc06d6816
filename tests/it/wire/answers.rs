//! What the answers to an exchange mean.

use everbearer::{AuthApi, ErrorKind, Grant, RetryPolicy, TokenProvider};
use serde_json::json;
use wiremock::matchers::{any, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::{answer, exchange_answered, long_term, raw_server, server_that_answers, token};
use crate::support::{millis, secs};

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
    let policy = RetryPolicy::default().backoff(millis(10), millis(10));
    let provider = TokenProvider::builder(api, long_term())
        .recover_with(Grant::client_secret("id", "secret"))
        .retry_policy(policy.ready_timeout(secs(5)))
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
async fn a2_the_code_counts_beside_members_that_cannot_be_read() {
    let deep = format!(
        r#"{{"details":{}1{},"code":"invalid_token"}}"#,
        "[".repeat(200),
        "]".repeat(200)
    );
    for body in [
        b"{\"code\":\"invalid_token\",\"message\":\"ung\xfcltig\"}".as_slice(),
        br#"{"code":"invalid_token","message":"\ud83d"}"#,
        br#"{"code":"invalid_token","details":{"n":1e999}}"#,
        b"\xef\xbb\xbf{\"code\":\"invalid_token\"}",
        b"{\"code\":\"invalid_token\",\"message\":\"two\nlines\"}",
        deep.as_bytes(),
    ] {
        let template = ResponseTemplate::new(401).set_body_raw(body, "application/json");
        let error = exchange_answered(template).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
        assert_eq!(error.code(), Some("invalid_token"));
    }
}

#[tokio::test]
async fn a3_cosmetic_fields_that_cannot_be_read_do_not_cost_the_token() {
    for odd in [
        b",\"scopes\":\"\xfc\"}".as_slice(),
        br#","scopes":["\ud83d"]}"#,
        br#","expires_in":1e999}"#,
        br#","expires_in":60,"expires_in":900}"#,
        br#","scopes":"a","scopes":["a"]}"#,
        b",\"note\":\"two\nlines\"}",
    ] {
        let begin = b"\xef\xbb\xbf{\"token_type\":\"Bearer\",\"access_token\":\"a.b.c\"";
        let body = [begin, odd].concat();
        let template = ResponseTemplate::new(200).set_body_raw(body, "application/json");
        exchange_answered(template).await.unwrap();
    }
}

#[tokio::test]
async fn e16_a_retry_after_beside_a_refused_exchange_pauses_the_grant() {
    let server = MockServer::start().await;
    let refusal = answer(
        401,
        &json!({"code": "invalid_client", "message": "locked out"}),
    );
    Mock::given(path("/auth/tokens/short"))
        .respond_with(refusal.insert_header("retry-after", "120"))
        .mount(&server)
        .await;
    let api = AuthApi::new(server.uri()).unwrap();
    let provider = TokenProvider::builder(api, long_term())
        .recover_with(Grant::client_secret("id", "secret"))
        .build()
        .unwrap();
    for _ in 0..3 {
        let error = provider.token().await.unwrap_err();
        assert_eq!(error.code(), Some("invalid_client"));
        assert!(error.retry_after().is_some_and(|pause| pause > secs(60)));
    }
    assert_eq!(server.received_requests().await.unwrap().len(), 1);
}
