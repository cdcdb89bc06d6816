//! `POST /auth/tokens/long` by secret, one-time code and short-term token.

use std::time::Duration;

use everbearer::testkit::{AuthServer, OldLongTermToken, TokenIds, TokenKind};
use serde_json::{Value, json};

use super::support::{DAY, Reply, Site, assert_close, days, text_of, unix_now, with};

const LONG: &str = "/auth/tokens/long";

#[tokio::test]
async fn a_secret_obtains_a_token_in_the_contract_s_shape() {
    let site = Site::start().await;

    let reply = site.obtain(&site.by_secret()).await;

    let token = reply.token();
    assert_eq!(token.body["token_type"], "Bearer");
    assert!(token.text.starts_with("lt_"), "{}", token.text);
    assert_eq!(token.body["expires_in"], 30 * DAY);
    let expires_at: jiff::Timestamp = text_of(&token.body["expires_at"]).parse().unwrap();
    assert_close(expires_at.as_second(), unix_now() + 30 * DAY);
    let all = json!(["jobs:*", "templates:read", "tokens:write", "tokens:revoke"]);
    assert_eq!(token.body["scopes"], all);
    assert!(token.id.starts_with("tok_lt_"), "{}", token.id);
    assert_eq!(reply.header("x-token-id"), Some(token.id.as_str()));
}

#[tokio::test]
async fn a_wrong_secret_or_an_unknown_client_is_an_invalid_client() {
    let site = Site::start().await;
    let wrong_secret = with(site.by_secret(), "client_secret", json!("hunter2-hunter2"));
    let unknown = with(site.by_secret(), "client_id", json!("client_nobody"));

    for body in [wrong_secret, unknown] {
        let reply = site.obtain(&body).await;

        reply.assert_error(401, "invalid_client");
        assert_eq!(
            reply.header("www-authenticate"),
            Some(r#"Bearer realm="auth""#)
        );
        assert!(!reply.text.contains("hunter2"));
        assert!(!reply.text.contains(site.server.client_secret()));
    }
}

#[tokio::test]
async fn a_one_time_code_is_good_for_one_token() {
    let site = Site::start().await;
    let code = site.server.new_otp();
    assert!(code.len() == 6 && code.bytes().all(|byte| byte.is_ascii_digit()));

    site.obtain(&site.by_otp(&code)).await.token();

    site.obtain(&site.by_otp(&code))
        .await
        .assert_error(400, "invalid_grant");
}

#[tokio::test]
async fn a_code_that_was_never_given_out_is_an_invalid_grant() {
    let site = Site::start().await;

    site.obtain(&site.by_otp("no-code"))
        .await
        .assert_error(400, "invalid_grant");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_concurrent_uses_of_one_code_one_succeeds() {
    let site = Site::start().await;
    let body = site.by_otp(&site.server.new_otp());
    let uses: Vec<_> = (0..16)
        .map(|_| tokio::spawn(Reply::read(site.post_request(LONG, None, &body))))
        .collect();

    let mut statuses = Vec::new();
    for one in uses {
        statuses.push(one.await.unwrap().status);
    }

    statuses.sort_unstable();
    assert_eq!(statuses[0], 201);
    assert!(statuses[1..].iter().all(|status| *status == 400));
    assert_eq!(site.server.counts().long_term_issued, 1);
}

#[tokio::test]
async fn a_refused_request_does_not_use_up_its_code() {
    let site = Site::start().await;
    let body = site.by_otp(&site.server.new_otp());
    let too_much = with(body.clone(), "scopes", json!(["admin"]));
    site.obtain(&too_much)
        .await
        .assert_error(400, "invalid_scope");

    site.obtain(&body).await.token();
}

#[tokio::test]
async fn a_code_is_for_the_first_client_only() {
    let builder = AuthServer::builder()
        .client("first", "1")
        .client("second", "2");
    let site = Site::with(builder).await;
    let body = site.by_otp(&site.server.new_otp());
    let other = with(body.clone(), "client_id", json!("second"));

    site.obtain(&other).await.assert_error(400, "invalid_grant");

    site.obtain(&body).await.token();
}

#[tokio::test]
async fn a_short_term_token_obtains_the_next_long_term_token() {
    let site = Site::start().await;
    let long_term = site.long_term().await;
    let short_term = site.exchange(&long_term.text).await.token();

    let reply = site
        .post(LONG, Some(&short_term.text), &site.by_short_term_token())
        .await;

    let next = site.server.token(&reply.token().id).unwrap();
    assert_eq!(next.kind, TokenKind::LongTerm);
    assert_eq!(next.parent.as_deref(), Some(long_term.id.as_str()));
    assert!(site.server.is_live(&long_term.id));
}

#[tokio::test]
async fn a_short_term_token_without_tokens_write_is_refused_with_403() {
    let site = Site::start().await;
    let short_term = site.short_term_for(&["jobs:submit"]).await;

    let reply = site
        .post(LONG, Some(&short_term.text), &site.by_short_term_token())
        .await;

    reply.assert_error(403, "insufficient_scope");
}

#[tokio::test]
async fn a_token_that_is_no_good_short_term_token_obtains_nothing() {
    let site = Site::start().await;
    let long_term = site.long_term().await;
    let revoked = site.short_term().await;
    site.server.revoke(&revoked.id);

    for token in [long_term.text.as_str(), &revoked.text, "junk"] {
        let reply = site
            .post(LONG, Some(token), &site.by_short_term_token())
            .await;

        reply.assert_error(401, "invalid_token");
    }
}

#[tokio::test]
async fn an_expired_short_term_token_obtains_nothing() {
    let site = Site::start().await;
    let short_term = site.short_term().await;
    site.server.set_clock_offset(DAY);

    let reply = site
        .post(LONG, Some(&short_term.text), &site.by_short_term_token())
        .await;

    reply.assert_error(401, "token_expired");
}

#[tokio::test]
async fn a_short_term_token_speaks_for_its_own_client_only() {
    let builder = AuthServer::builder()
        .client("first", "1")
        .client("second", "2");
    let site = Site::with(builder).await;
    let short_term = site.short_term().await;
    let body = with(site.by_short_term_token(), "client_id", json!("second"));

    let reply = site.post(LONG, Some(&short_term.text), &body).await;

    reply.assert_error(400, "invalid_grant");
}

#[tokio::test]
async fn an_old_long_term_token_can_die_with_its_rotation() {
    let builder = AuthServer::builder().rotation(OldLongTermToken::DiesAtOnce);
    let site = Site::with(builder).await;
    let bystander = site.long_term().await;
    let old = site.long_term().await;
    let short_term = site.exchange(&old.text).await.token();
    let body = site.by_short_term_token();

    let first = site.post(LONG, Some(&short_term.text), &body).await.token();
    assert!(!site.server.is_live(&old.id));
    assert!(site.server.is_live(&first.id));

    let second = site.post(LONG, Some(&short_term.text), &body).await.token();
    assert!(!site.server.is_live(&first.id));
    assert!(site.server.is_live(&second.id));
    assert!(site.server.is_live(&short_term.id));
    assert!(site.server.is_live(&bystander.id));
}

#[tokio::test]
async fn two_mechanisms_at_once_or_none_are_refused() {
    let site = Site::start().await;
    let short_term = site.short_term().await;
    let secret_and_code = with(site.by_secret(), "otp_code", json!(site.server.new_otp()));
    let none = site.by_short_term_token();
    let assertion_type = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    let secret_and_assertion = with(site.by_secret(), "assertion", json!("a.b.c"));
    let secret_and_assertion = with(
        secret_and_assertion,
        "assertion_type",
        json!(assertion_type),
    );

    for body in [&secret_and_code, &none, &secret_and_assertion] {
        site.obtain(body).await.assert_error(400, "invalid_request");
    }
    let reply = site
        .post(LONG, Some(&short_term.text), &site.by_secret())
        .await;
    reply.assert_error(400, "invalid_request");
}

#[tokio::test]
async fn the_grant_type_has_to_fit_the_mechanism() {
    let site = Site::start().await;
    let short_term = site.short_term().await;
    let misnamed = with(site.by_secret(), "grant_type", json!("assertion"));
    let unknown = with(site.by_secret(), "grant_type", json!("password"));

    site.obtain(&misnamed)
        .await
        .assert_bad_request("grant_type");
    site.obtain(&unknown).await.assert_bad_request("grant_type");
    let misnamed = with(site.by_short_term_token(), "grant_type", json!("assertion"));
    let reply = site.post(LONG, Some(&short_term.text), &misnamed).await;
    reply.assert_bad_request("grant_type");
}

#[tokio::test]
async fn a_body_outside_of_the_schema_is_refused_by_the_name_of_the_field() {
    let site = Site::start().await;
    let wrong = [
        ("client_secret", json!(["top-secret"])),
        ("scopes", json!("jobs:*")),
        ("scopes", json!([1])),
        ("scopes", Value::Null),
        ("ttl_seconds", json!("3600")),
        ("ttl_seconds", json!(3600.5)),
        ("audience", json!("top-secret")),
    ];
    for (name, value) in wrong {
        let reply = site.obtain(&with(site.by_secret(), name, value)).await;

        reply.assert_bad_request(&format!("`{name}`"));
        assert!(!reply.text.contains("top-secret"));
    }
    for name in ["grant_type", "client_id"] {
        let mut body = site.by_secret();
        body.as_object_mut().unwrap().remove(name);

        site.obtain(&body)
            .await
            .assert_bad_request(&format!("`{name}`"));
    }
    site.obtain(&json!([])).await.assert_bad_request("object");
    site.obtain(&Value::Null).await.assert_bad_request("object");
}

#[tokio::test]
async fn a_client_id_header_has_to_agree_with_the_body() {
    let site = Site::start().await;
    let with_header = |id: &str| {
        let request = site.post_request(LONG, None, &site.by_secret());
        Reply::read(request.header("X-Client-Id", id))
    };

    with_header(site.server.client_id()).await.token();
    with_header("client_other")
        .await
        .assert_bad_request("X-Client-Id");
}

#[tokio::test]
async fn scopes_are_narrowed_on_request_and_never_widened() {
    let site = Site::with(AuthServer::builder().scopes(["jobs:*", "templates:read"])).await;
    let ask = |scopes: Value| {
        let body = with(site.by_secret(), "scopes", scopes);
        let site = &site;
        async move { site.obtain(&body).await }
    };

    for granted in [
        json!(["jobs:submit"]),
        json!(["jobs:*"]),
        json!(["templates:read", "jobs:a:b"]),
        json!([]),
    ] {
        assert_eq!(ask(granted.clone()).await.token().body["scopes"], granted);
    }
    let twice = ask(json!(["jobs:read", "jobs:read"])).await.token();
    assert_eq!(twice.body["scopes"], json!(["jobs:read"]));
    for refused in [
        "templates:*",
        "templates",
        "jobs",
        "jobs:",
        "*",
        "",
        "jobs:x tokens:write",
    ] {
        ask(json!([refused]))
            .await
            .assert_error(400, "invalid_scope");
    }
}

#[tokio::test]
async fn a_ttl_is_honoured_within_the_contract_s_range_and_clamped_to_the_server_s() {
    let site = Site::with(AuthServer::builder().max_long_term_lifetime(days(10))).await;
    let ask = |seconds: i64| {
        let body = with(site.by_secret(), "ttl_seconds", json!(seconds));
        let site = &site;
        async move { site.obtain(&body).await }
    };

    assert_eq!(ask(3_600).await.token().body["expires_in"], 3_600);
    assert_eq!(ask(7_776_000).await.token().body["expires_in"], 10 * DAY);
    assert_eq!(site.long_term().await.body["expires_in"], 10 * DAY);
    for outside in [3_599, 7_776_001, 0, -1, i64::MIN, i64::MAX] {
        ask(outside).await.assert_bad_request("`ttl_seconds`");
    }
}

#[tokio::test]
async fn a_test_can_have_long_term_tokens_of_seconds() {
    let builder = AuthServer::builder().long_term_lifetime(Duration::from_secs(10));
    let site = Site::with(builder).await;

    assert_eq!(site.long_term().await.body["expires_in"], 10);
}

#[tokio::test]
async fn a_long_term_token_can_be_a_jwt() {
    let site = Site::with(AuthServer::builder().long_term_jwt(true)).await;

    let token = site.long_term().await;

    assert_eq!(token.claims()["jti"], token.id.as_str());
    site.exchange(&token.text).await.token();
    site.get("/jobs", &token.text)
        .await
        .assert_error(401, "invalid_token");
}

#[tokio::test]
async fn the_token_id_stands_where_the_server_puts_it() {
    for (place, in_body, in_header) in [
        (TokenIds::Body, true, true),
        (TokenIds::HeaderOnly, false, true),
        (TokenIds::JtiOnly, false, false),
    ] {
        let builder = AuthServer::builder().token_ids(place).long_term_jwt(true);
        let site = Site::with(builder).await;

        let long = site.obtain(&site.by_secret()).await;
        let short = site.exchange(&long.token().text).await;

        for reply in [&long, &short] {
            assert_eq!(
                reply.token().body.get("token_id").is_some(),
                in_body,
                "{place:?}"
            );
            let id = text_of(&reply.token().claims()["jti"]);
            assert!(site.server.is_live(&id), "{place:?}");
        }
        assert_eq!(long.header("x-token-id").is_some(), in_header, "{place:?}");
    }
}
