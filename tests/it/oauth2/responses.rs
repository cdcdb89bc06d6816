//! What the token endpoint may answer, and what is read from it.

use std::time::Duration;

use super::*;

fn with(members: Value) -> ResponseTemplate {
    let mut body = json!({"access_token": "opaque-token-1", "token_type": "Bearer"});
    let all = body.as_object_mut().unwrap();
    all.extend(members.as_object().unwrap().clone());
    json(200, &body)
}

/// What is known of `expires_in`, as `Debug` shows it.
fn expires_in_of(token: &ShortTermToken) -> String {
    let shown = format!("{token:?}");
    let (_, shown) = shown.split_once("expires_in: ").unwrap();
    let (shown, _) = shown.split_once(", expires_at").unwrap();
    shown.to_owned()
}

#[tokio::test]
async fn o9_expires_in_may_be_anything() {
    for (expires_in, life) in [
        (json!("3600"), Some(3_600)),
        (json!(3600.0), Some(3_600)),
        (json!(""), None),
        (json!(null), None),
        (json!(-1), None),
        (json!("-1"), None),
        (json!(0), Some(0)),
        (json!("NaN"), None),
        (json!("1e3"), Some(1_000)),
        (json!([]), None),
    ] {
        let token = exchange(with(json!({ "expires_in": expires_in })))
            .await
            .unwrap();
        let stated = life.map(Duration::from_secs);
        assert_eq!(expires_in_of(&token), format!("{stated:?}"), "{expires_in}");
    }
    let token = exchange(with(json!({"expires_in": 1e300}))).await.unwrap();
    assert_ne!(expires_in_of(&token), "None");
    for nan in ["NaN", "Infinity", "-Infinity"] {
        let body = format!(r#"{{"expires_in": {nan}, "access_token": "a-{nan}-b", "x": [{nan}]}}"#);
        let answer = ResponseTemplate::new(200).set_body_raw(body, "application/json");
        let token = exchange(answer).await.unwrap();
        assert_eq!(token.expose(), format!("a-{nan}-b"));
        assert_eq!(expires_in_of(&token), "None");
    }
}

#[tokio::test]
async fn o9_an_end_may_be_a_date_of_several_kinds() {
    let end = std::time::UNIX_EPOCH + Duration::from_secs(1_900_000_000);
    for (name, date) in [
        ("expires_at", json!("2030-03-17T17:46:40Z")),
        ("expires_at", json!(1_900_000_000)),
        ("expires_on", json!("1900000000")),
    ] {
        let token = exchange(with(json!({ name: date }))).await.unwrap();
        assert_eq!(token.expires_at(), Some(end), "{name} {date}");
    }
}

#[tokio::test]
async fn o10_a_bearer_token_may_be_called_so_in_any_way() {
    for token_type in [
        json!("bearer"),
        json!("BearerToken"),
        json!(""),
        json!(null),
        json!(1),
    ] {
        let outcome = exchange(with(json!({ "token_type": token_type }))).await;
        assert!(outcome.is_ok(), "{token_type}");
    }
}

#[tokio::test]
async fn o10_a_token_of_another_type_is_an_error_that_names_it() {
    for (token_type, named) in [
        ("DPoP", "DPoP"),
        ("MAC", "mac"),
        ("N_A", "N_A"),
        ("own", "another"),
    ] {
        let error = refusal(with(json!({ "token_type": token_type }))).await;
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(!error.is_retryable());
        assert!(error.to_string().contains(named), "{error}");
    }
    for code in ["use_dpop_nonce", "invalid_dpop_proof"] {
        let error = refusal(json(400, &json!({ "error": code }))).await;
        assert_eq!(
            (error.kind(), error.code()),
            (ErrorKind::Config, Some(code))
        );
        assert!(error.to_string().contains("DPoP"), "{error}");
    }
}

#[tokio::test]
async fn o11_what_counts_is_the_body() {
    let created = json(201, &json!({"access_token": "opaque-token-1"}));
    assert!(exchange(created).await.is_ok());
    let body = r#"{"access_token": "opaque-token-1"}"#;
    let as_text = ResponseTemplate::new(200).set_body_raw(body, "text/plain");
    assert!(exchange(as_text).await.is_ok());
    let error = refusal(json(200, &json!({"error": "invalid_client"}))).await;
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::Denied, Some("invalid_client"))
    );
    let both = json!({"error": "", "access_token": "opaque-token-1"});
    assert!(exchange(json(200, &both)).await.is_ok());
}

#[tokio::test]
async fn the_scopes_are_those_of_the_answer_or_else_those_that_were_requested() {
    let requested = ["a".to_owned(), "b".to_owned()];
    for (scope, scopes) in [
        (json!("a  c"), &["a", "c"][..]),
        (json!(["a", "c d"]), &["a", "c", "d"]),
        (json!(null), &["a", "b"]),
        (json!(""), &[]),
    ] {
        let server = Server::answering([with(json!({ "scope": scope }))]).await;
        let issuer = server.client().build().unwrap();
        let response = issuer.exchange(None, &requested).await.unwrap();
        assert_eq!(response.token().scopes(), scopes);
    }
}

#[tokio::test]
async fn o12_no_byte_of_a_success_is_in_an_error() {
    for body in [
        r#"{"access_token": "a secret token with spaces", "token_type": "Bearer"}"#,
        r#"{"access_token": {"a-secret-token": 1}}"#,
        r#"{"access_token": "opaque-token", "token_type": "opaque-token"}"#,
        r#"{"token": "a-secret-token"}"#,
        r#"{"access_token": "a-secret-token""#,
        r#"["a-secret-token"]"#,
    ] {
        let answer = ResponseTemplate::new(200).set_body_raw(body, "application/json");
        let error = refusal(answer).await;
        let shown = format!("{error} {error:?}");
        assert!(
            !shown.contains("secret") && !shown.contains("opaque"),
            "{shown}"
        );
    }
}
