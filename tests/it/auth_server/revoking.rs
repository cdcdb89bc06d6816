//! `POST /auth/tokens/{tokenId}/revoke`.

use everbearer::testkit::AuthServer;
use reqwest::Method;
use serde_json::json;

use super::support::{DAY, Reply, Site};

#[tokio::test]
async fn a_revoked_short_term_token_is_refused_at_once() {
    let site = Site::start().await;
    let token = site.short_term().await;
    assert_eq!(site.get("/jobs", &token.text).await.status, 200);

    let reply = site.revoke(&token.id, &token.text).await;

    assert_eq!((reply.status, reply.text.as_str()), (204, ""));
    site.get("/jobs", &token.text)
        .await
        .assert_error(401, "invalid_token");
    assert!(site.server.token(&token.id).unwrap().revoked);
}

#[tokio::test]
async fn a_revoked_long_term_token_is_exchanged_no_more_but_its_offspring_lives_on() {
    let site = Site::start().await;
    let long_term = site.long_term().await;
    let short_term = site.exchange(&long_term.text).await.token();

    assert_eq!(
        site.revoke(&long_term.id, &long_term.text).await.status,
        204
    );

    site.exchange(&long_term.text)
        .await
        .assert_error(401, "invalid_token");
    assert_eq!(site.get("/jobs", &short_term.text).await.status, 200);
}

#[tokio::test]
async fn revoking_twice_succeeds_even_with_the_revoked_token_itself() {
    let site = Site::start().await;
    let (long_term, other) = (site.long_term().await, site.long_term().await);

    for bearer in [&long_term, &long_term, &other, &other] {
        assert_eq!(site.revoke(&long_term.id, &bearer.text).await.status, 204);
    }

    assert_eq!(site.server.counts().revocations, 1);
}

#[tokio::test]
async fn a_revoked_token_revokes_nothing_but_itself() {
    let site = Site::start().await;
    let (revoked, other) = (site.long_term().await, site.long_term().await);
    site.server.revoke(&revoked.id);

    let reply = site.revoke(&other.id, &revoked.text).await;

    reply.assert_error(401, "invalid_token");
    assert!(site.server.is_live(&other.id));
}

#[tokio::test]
async fn the_scope_tokens_revoke_reaches_every_token_of_the_client() {
    let site = Site::start().await;
    let long_term = site.long_term().await;
    let body = json!({ "scopes": ["tokens:revoke"] });
    let revoker = site.exchange_for(&long_term.text, &body).await.token();

    assert_eq!(site.revoke(&long_term.id, &revoker.text).await.status, 204);
}

#[tokio::test]
async fn without_the_scope_a_token_can_revoke_itself_only() {
    let site = Site::start().await;
    let other = site.long_term().await;
    let token = site.long_term_for(&["jobs:*"]).await;

    for target in [other.id.as_str(), "tok_st_unknown"] {
        let reply = site.revoke(target, &token.text).await;
        reply.assert_error(401, "insufficient_scope");
        let challenge = reply.header("www-authenticate").unwrap();
        assert!(
            challenge.contains(r#"scope="tokens:revoke""#),
            "{challenge}"
        );
    }
    assert_eq!(site.revoke(&token.id, &token.text).await.status, 204);
}

#[tokio::test]
async fn an_unknown_id_and_another_client_s_token_are_not_found() {
    let builder = AuthServer::builder()
        .client("first", "1")
        .client("second", "2");
    let site = Site::with(builder).await;
    let mine = site.long_term().await;
    let body = json!({
        "grant_type": "client_credentials", "client_id": "second", "client_secret": "2",
    });
    let theirs = site.obtain(&body).await.token();

    for target in ["tok_st_unknown", "%FF", theirs.id.as_str()] {
        site.revoke(target, &mine.text)
            .await
            .assert_error(404, "not_found");
    }
    assert!(site.server.is_live(&theirs.id));
}

#[tokio::test]
async fn a_bad_bearer_is_refused() {
    let site = Site::start().await;
    let token = site.short_term().await;
    let path = format!("/auth/tokens/{}/revoke", token.id);

    site.revoke(&token.id, "junk")
        .await
        .assert_error(401, "invalid_token");
    let bare = Reply::read(site.request(Method::POST, &path)).await;
    bare.assert_error(401, "invalid_token");
    site.server.set_clock_offset(DAY);
    let expired = site.revoke(&token.id, &token.text).await;
    expired.assert_error(401, "token_expired");
    assert!(!site.server.token(&token.id).unwrap().revoked);
}

#[tokio::test]
async fn a_percent_encoded_id_is_decoded() {
    let site = Site::start().await;
    let token = site.short_term().await;
    let encoded = token.id.replace('_', "%5F").replace('t', "%74");

    assert_eq!(site.revoke(&encoded, &token.text).await.status, 204);

    assert!(site.server.token(&token.id).unwrap().revoked);
    site.revoke("tok%2F..%2Fjobs", &site.long_term().await.text)
        .await
        .assert_error(404, "not_found");
}

#[tokio::test]
async fn the_test_itself_can_revoke() {
    let site = Site::start().await;
    let long_term = site.long_term().await;
    let first = site.exchange(&long_term.text).await.token();
    let second = site.exchange(&long_term.text).await.token();

    assert!(site.server.revoke(&first.id));
    assert!(!site.server.is_live(&first.id));
    assert!(site.server.is_live(&second.id));

    site.server.revoke_all_short_term();
    assert!(!site.server.is_live(&second.id));
    assert!(site.server.is_live(&long_term.id));

    assert!(!site.server.revoke("tok_st_unknown"));
    assert_eq!(site.server.counts().revocations, 0);
}
