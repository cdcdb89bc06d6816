//! What the errors of OAuth servers mean.

use std::time::Duration;

use super::*;

fn raw(status: u16, body: &str, media: &str) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_raw(body, media)
}

#[tokio::test]
async fn o12_a_refusal_is_typed_by_its_status_and_code_whatever_its_body_is() {
    for (answer, kind) in [
        (raw(400, "", "text/plain"), ErrorKind::Protocol),
        (
            raw(400, r#"{"error":{}}"#, "application/json"),
            ErrorKind::Protocol,
        ),
        (
            raw(400, r#"{"errors":[]}"#, "application/json"),
            ErrorKind::Protocol,
        ),
        (
            raw(400, r#"{"message":""}"#, "application/json"),
            ErrorKind::Protocol,
        ),
        (
            raw(403, "<html>denied</html>", "text/html"),
            ErrorKind::Protocol,
        ),
        (
            raw(429, "<html>slow</html>", "text/html"),
            ErrorKind::RateLimited,
        ),
        (raw(503, "", "text/html"), ErrorKind::Server),
        (
            raw(400, r#"{"error":"invalid_scope"}"#, "text/html"),
            ErrorKind::InvalidRequest,
        ),
    ] {
        let error = refusal(answer).await;
        assert_eq!(error.kind(), kind, "{error}");
        assert!(!error.to_string().contains('<'), "{error}");
    }
}

#[tokio::test]
async fn o13_a_code_decides_and_a_401_with_any_code_is_a_refusal() {
    for (status, body, kind) in [
        (400, json!({"error": "invalid_client"}), ErrorKind::Denied),
        (400, json!({"error": "invalid_grant"}), ErrorKind::Denied),
        (400, json!({"error": "unauthorized"}), ErrorKind::Denied),
        (401, json!({"error": "unauthorized"}), ErrorKind::Denied),
        (401, json!({"error": "access_denied"}), ErrorKind::Denied),
        (401, json!({"error": "server_error"}), ErrorKind::Denied),
        (
            401,
            json!({"message": "Bad credentials", "code": 401}),
            ErrorKind::Denied,
        ),
        (
            403,
            json!({"error": {"code": 403, "status": "PERMISSION_DENIED"}}),
            ErrorKind::Denied,
        ),
        (401, json!({}), ErrorKind::Protocol),
        (400, json!({"error": "slow_down"}), ErrorKind::RateLimited),
        (
            400,
            json!({"error": "rate_limit_exceeded"}),
            ErrorKind::RateLimited,
        ),
        (
            429,
            json!({"name": "RATE_LIMIT_REACHED"}),
            ErrorKind::RateLimited,
        ),
        (
            400,
            json!({"error": "temporarily_unavailable"}),
            ErrorKind::Server,
        ),
        (503, json!({"error": "invalid_client"}), ErrorKind::Server),
        (
            429,
            json!({"error": "access_denied"}),
            ErrorKind::RateLimited,
        ),
        (404, json!({"error": "Not Found"}), ErrorKind::Protocol),
        (
            401,
            json!({"error": "Request has expired"}),
            ErrorKind::Protocol,
        ),
        (
            400,
            json!({"error": "invalid_target"}),
            ErrorKind::InvalidRequest,
        ),
    ] {
        let error = refusal(json(status, &body)).await;
        assert_eq!(error.kind(), kind, "{status} {body}: {error}");
    }
}

#[tokio::test]
async fn o13_what_is_named_as_transient_is_retried() {
    for (status, body) in [
        (
            400,
            json!({"error": "invalid_request", "error_codes": [50196]}),
        ),
        (404, json!({})),
        (401, json!({"error": "eventually"})),
    ] {
        let server = Server::answering([json(status, &body)]).await;
        let builder = server.client().transient(["50196", "404", "eventually"]);
        let error = builder
            .build()
            .unwrap()
            .exchange(None, &[])
            .await
            .unwrap_err();
        assert!(error.is_retryable(), "{error}");
        let error = refusal(json(status, &body)).await;
        assert_eq!(error.is_retryable(), status == 404, "{error}");
    }
}

#[tokio::test]
async fn o14_a_pause_is_read_from_the_headers_that_servers_use() {
    for (name, value, pause) in [
        ("retry-after", "7", 7),
        ("ratelimit-reset", "8", 8),
        (
            "auth0-client-quota-limit",
            "b=per_hour;q=10;r=0;t=3000",
            3_000,
        ),
    ] {
        let answer = json(429, &json!({"error": "too_many_requests"}));
        let error = refusal(answer.insert_header(name, value)).await;
        assert_eq!(error.kind(), ErrorKind::RateLimited);
        assert_eq!(error.retry_after(), Some(Duration::from_secs(pause)));
    }
}

#[tokio::test]
async fn an_error_has_the_description_and_no_secret() {
    let body = json!({"error": "invalid_client", "error_description": "no such client"});
    let error = refusal(json(401, &body)).await;
    assert!(error.to_string().contains("no such client"), "{error}");
    let encoded = "correct%3Ahorse%2Bbattery%25staple+%C3%A9";
    for echoed in [SECRET, encoded] {
        let body = json!({"error": "invalid_client", "error_description": format!("not {echoed}")});
        let error = refusal(json(401, &body)).await;
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("horse"), "{shown}");
    }
}

/// A server that echoes the body of the request in its error.
#[tokio::test]
async fn a_secret_in_the_body_is_not_repeated_however_it_is_encoded() {
    let secret = "p/q/r/s/t/u/v/w/x";
    let encoded: String = form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    for echoed in [encoded.clone(), encoded.to_lowercase(), secret.to_owned()] {
        let description = format!("invalid body: grant_type=x&client_secret={echoed}&scope=y");
        let body = json!({"error": "invalid_client", "error_description": description});
        let server = Server::answering([json(401, &body)]).await;
        let client = ClientAuth::post("id", secret);
        let issuer = server.client().client_auth(client).build().unwrap();
        let error = issuer.exchange(None, &[]).await.unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains(&echoed), "{shown}");
    }
}
