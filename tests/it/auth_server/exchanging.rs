//! `POST /auth/tokens/short`.

use std::time::Duration;

use everbearer::testkit::{AuthServer, TokenKind};
use reqwest::Method;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE};
use serde_json::json;

use super::support::{DAY, MINUTE, Reply, Site, assert_close, text_of, unix_now};

const SHORT: &str = "/auth/tokens/short";

#[tokio::test]
async fn an_exchange_mints_a_jwt_in_the_contract_s_shape() {
    let site = Site::start().await;
    let long_term = site.long_term().await;

    let token = site.exchange(&long_term.text).await.token();

    assert_eq!(token.body["token_type"], "Bearer");
    assert_eq!(token.body["expires_in"], 15 * MINUTE);
    assert!(token.id.starts_with("tok_st_"), "{}", token.id);
    let expires_at: jiff::Timestamp = text_of(&token.body["expires_at"]).parse().unwrap();
    assert_eq!(token.claims()["exp"], expires_at.as_second());
    assert_close(expires_at.as_second(), unix_now() + 15 * MINUTE);
    let record = site.server.token(&token.id).unwrap();
    assert_eq!(record.kind, TokenKind::ShortTerm);
    assert_eq!(record.parent.as_deref(), Some(long_term.id.as_str()));
}

#[tokio::test]
async fn the_jwt_says_who_may_do_what_where_and_until_when() {
    let site = Site::start().await;

    let token = site
        .short_term_for(&["jobs:submit", "templates:read"])
        .await;

    let (header, claims) = (token.header(), token.claims());
    assert_eq!(header["alg"], "EdDSA");
    assert_eq!(header["typ"], "JWT");
    assert!(header["kid"].is_string());
    assert_eq!(claims["iss"], site.server.base_url());
    assert_eq!(claims["aud"], site.server.base_url());
    assert_eq!(claims["sub"], site.server.client_id());
    assert_eq!(claims["jti"], token.id.as_str());
    assert_eq!(claims["scope"], "jobs:submit templates:read");
    assert_eq!(claims["nbf"], claims["iat"]);
    let life = claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap();
    assert_eq!(life, 15 * MINUTE);
}

#[tokio::test]
async fn no_body_an_empty_one_null_and_an_empty_object_are_the_same() {
    let site = Site::start().await;
    let long_term = site.long_term().await;
    let request = || {
        site.request(Method::POST, SHORT)
            .bearer_auth(&long_term.text)
    };
    let with_body = |body| {
        request()
            .header(CONTENT_TYPE, "application/json")
            .body(body)
    };

    for request in [
        request(),
        with_body(""),
        with_body("null"),
        with_body(" {} "),
    ] {
        let token = Reply::read(request).await.token();

        assert_eq!(token.body["scopes"], long_term.body["scopes"]);
    }
}

#[tokio::test]
async fn the_scheme_is_bearer_in_any_case() {
    let site = Site::start().await;
    let long_term = site.long_term().await;

    for scheme in ["bearer", "BEARER", "BeaRer"] {
        let request = site
            .request(Method::POST, SHORT)
            .header(AUTHORIZATION, format!("{scheme} {}", long_term.text));
        Reply::read(request).await.token();
    }
}

#[tokio::test]
async fn the_long_term_token_can_come_in_the_body_but_not_in_both_places() {
    let site = Site::start().await;
    let long_term = site.long_term().await;
    let body = json!({ "long_token": long_term.text, "scopes": ["jobs:read"] });

    let token = site.post(SHORT, None, &body).await.token();
    assert_eq!(token.body["scopes"], json!(["jobs:read"]));

    let both = site.post(SHORT, Some(&long_term.text), &body).await;
    both.assert_bad_request("`long_token`");
    assert!(!both.text.contains(&long_term.text));
}

#[tokio::test]
async fn scopes_are_narrowed_on_request_and_never_widened() {
    let site = Site::start().await;
    let long_term = site.long_term_for(&["jobs:*"]).await;
    let ask = |scope: &str| {
        let (site, body) = (&site, json!({ "scopes": [scope] }));
        let text = long_term.text.clone();
        async move { site.exchange_for(&text, &body).await }
    };

    assert_eq!(
        ask("jobs:submit").await.token().body["scopes"],
        json!(["jobs:submit"])
    );
    assert_eq!(
        ask("jobs:*").await.token().body["scopes"],
        json!(["jobs:*"])
    );
    for wider in ["templates:read", "tokens:write", "*", "jobs:x tokens:write"] {
        ask(wider).await.assert_error(400, "invalid_scope");
    }
}

#[tokio::test]
async fn a_body_outside_of_the_schema_is_refused_by_the_name_of_the_field() {
    let site = Site::start().await;
    let long_term = site.long_term().await;

    for (body, about) in [
        (json!({ "ttl_seconds": 5 }), "`ttl_seconds`"),
        (json!({ "scopes": "jobs:*" }), "`scopes`"),
        (json!({ "long_token": 7 }), "`long_token`"),
        (json!([]), "object"),
    ] {
        site.exchange_for(&long_term.text, &body)
            .await
            .assert_bad_request(about);
    }
    let request = site
        .request(Method::POST, SHORT)
        .bearer_auth(&long_term.text);
    let request = request
        .header(CONTENT_TYPE, "application/json")
        .body("{\"scopes\":");
    Reply::read(request).await.assert_bad_request("JSON");
}

#[tokio::test]
async fn a_token_that_is_no_good_long_term_token_is_invalid() {
    let site = Site::start().await;
    let short_term = site.short_term().await;
    let revoked = site.long_term().await;
    site.server.revoke(&revoked.id);

    for token in [
        short_term.text.as_str(),
        &revoked.text,
        "lt_unknown",
        "junk",
    ] {
        let reply = site.exchange(token).await;

        reply.assert_error(401, "invalid_token");
        assert!(
            reply
                .header("www-authenticate")
                .unwrap()
                .contains("invalid_token")
        );
        assert!(!reply.text.contains(token));
    }
}

#[tokio::test]
async fn an_exchange_without_a_token_is_refused() {
    let site = Site::start().await;

    let reply = site.post(SHORT, None, &json!({})).await;

    reply.assert_error(401, "invalid_token");
}

#[tokio::test]
async fn an_expired_long_term_token_is_refused_as_expired() {
    let site = Site::start().await;
    let long_term = site.long_term().await;
    site.server.set_clock_offset(31 * DAY);

    site.exchange(&long_term.text)
        .await
        .assert_error(401, "token_expired");
}

#[tokio::test]
async fn a_short_term_token_never_outlives_its_long_term_token() {
    let builder = AuthServer::builder().long_term_lifetime(Duration::from_secs(100));
    let site = Site::with(builder).await;
    let long_term = site.long_term().await;

    let token = site.exchange(&long_term.text).await.token();

    let lives = |id: &str| site.server.token(id).unwrap().expires_at;
    assert_eq!(lives(&token.id), lives(&long_term.id));
    assert!(token.body["expires_in"].as_i64().unwrap() <= 100);
}

#[tokio::test]
async fn the_lifetime_can_be_changed_while_the_server_runs() {
    let site = Site::start().await;
    let long_term = site.long_term().await;

    site.server.set_short_term_lifetime(Duration::from_secs(7));

    let token = site.exchange(&long_term.text).await.token();
    assert_eq!(token.body["expires_in"], 7);
}

#[tokio::test]
async fn a_server_that_repeats_returns_the_same_token_for_the_same_scopes() {
    let site = Site::with(AuthServer::builder().repeat_short_term_tokens(true)).await;
    let (long_term, other) = (site.long_term().await, site.long_term().await);
    let first = site.exchange(&long_term.text).await.token();
    site.server.set_clock_offset(MINUTE);

    let again = site.exchange(&long_term.text).await.token();

    assert_eq!((&again.text, &again.id), (&first.text, &first.id));
    assert_eq!(again.body["scopes"], first.body["scopes"]);
    assert_eq!(again.body["expires_at"], first.body["expires_at"]);
    let left = again.body["expires_in"].as_i64().unwrap();
    assert_close(left, 14 * MINUTE);
    let counts = site.server.counts();
    assert_eq!(
        (counts.exchanges_succeeded, counts.exchanges_repeated),
        (1, 1)
    );
    let narrow = json!({ "scopes": ["jobs:read"] });
    let narrow = site.exchange_for(&long_term.text, &narrow).await.token();
    assert_ne!(narrow.text, first.text);
    let of_other = site.exchange(&other.text).await.token();
    assert_ne!(of_other.text, first.text);
}

#[tokio::test]
async fn a_server_that_repeats_returns_another_token_once_the_first_is_gone() {
    let site = Site::with(AuthServer::builder().repeat_short_term_tokens(true)).await;
    let long_term = site.long_term().await;
    let first = site.exchange(&long_term.text).await.token();
    site.revoke(&first.id, &first.text).await;

    let second = site.exchange(&long_term.text).await.token();
    assert_ne!(second.text, first.text);

    site.server.set_clock_offset(15 * MINUTE);
    let third = site.exchange(&long_term.text).await.token();
    assert_ne!(third.text, second.text);
    assert_eq!(site.get("/jobs", &third.text).await.status, 200);
    assert_eq!(site.server.counts().exchanges_repeated, 0);
}
