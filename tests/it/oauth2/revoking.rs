//! Revocation by RFC 7009.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use everbearer::{
    LongTermToken, RevocationOutcome, Revoked, ShutdownPolicy, TokenProvider, TokenRef,
};

use super::*;

async fn revoke(answer: ResponseTemplate) -> Result<Revoked, Error> {
    let server = Server::answering([answer]).await;
    let url = server.url("/revoke");
    let issuer = server.client().revocation_url(url).build().unwrap();
    let token = ShortTermToken::builder("opaque-token-1").build()?;
    issuer.revoke(TokenRef::from(&token), None).await
}

#[tokio::test]
async fn o19_a_revocation_is_authenticated_and_names_the_kind_of_token() {
    let server = Server::answering([ResponseTemplate::new(200)]).await;
    let url = server.url("/revoke");
    let issuer = server.client().revocation_url(url).build().unwrap();
    let short_term = ShortTermToken::builder("access-1").build().unwrap();
    let long_term = LongTermToken::new("refresh-1").unwrap();
    for (token, text, hint) in [
        (TokenRef::from(&short_term), "access-1", "access_token"),
        (TokenRef::from(&long_term), "refresh-1", "refresh_token"),
    ] {
        assert_eq!(issuer.revoke(token, None).await.unwrap(), Revoked::Gone);
        let received = server.last().await;
        assert_eq!(received.path, "/revoke");
        assert!(received.authorization.unwrap().starts_with("Basic "));
        let form: Vec<_> = received.form.iter().map(|(a, b)| (&**a, &**b)).collect();
        assert_eq!(form, [("token", text), ("token_type_hint", hint)]);
    }
}

#[tokio::test]
async fn o20_what_cannot_be_revoked_is_reported_as_such() {
    let server = Server::answering([token()]).await;
    let issuer = server.client().build().unwrap();
    let token = ShortTermToken::builder("opaque-token-1").build().unwrap();
    let outcome = issuer.revoke(TokenRef::from(&token), None).await.unwrap();
    assert_eq!(outcome, Revoked::Unsupported);
    assert!(server.received().await.is_empty());
    let unsupported = json(400, &json!({"error": "unsupported_token_type"}));
    for answer in [
        ResponseTemplate::new(404),
        ResponseTemplate::new(405),
        unsupported,
    ] {
        assert_eq!(revoke(answer).await.unwrap(), Revoked::Unsupported);
    }
}

#[tokio::test]
async fn o20_what_is_gone_counts_as_revoked_and_a_page_does_not() {
    let invalid = json(400, &json!({"error": "invalid_token"}));
    for answer in [ResponseTemplate::new(200), json(200, &json!({})), invalid] {
        assert_eq!(revoke(answer).await.unwrap(), Revoked::Gone);
    }
    let page = ResponseTemplate::new(200).set_body_raw("<html>sign in", "text/html");
    for (answer, kind) in [
        (page, ErrorKind::Protocol),
        (
            json(200, &json!({"error": "invalid_client"})),
            ErrorKind::Denied,
        ),
        (ResponseTemplate::new(503), ErrorKind::Server),
        (
            json(503, &json!({"error": "invalid_token"})),
            ErrorKind::Server,
        ),
    ] {
        assert_eq!(revoke(answer).await.unwrap_err().kind(), kind);
    }
}

#[tokio::test]
async fn o20_a_token_that_cannot_be_revoked_is_reported_with_its_end() {
    let server = Server::answering([token()]).await;
    let provider = server.client().provider().unwrap().build().unwrap();
    provider.token().await.unwrap();
    let report = provider.shutdown().await;
    assert!(matches!(
        report.tokens[0].outcome,
        RevocationOutcome::Unsupported
    ));
    assert!(report.tokens[0].ends_at.is_some());
    assert_eq!(server.received().await.len(), 1);
}

#[tokio::test]
async fn o18_a_token_that_is_shared_is_not_revoked() {
    let server = Server::answering([token()]).await;
    let builder = server.client().shares_tokens(true);
    let builder = builder.revocation_url(server.url("/revoke"));
    let provider = builder.provider().unwrap().build().unwrap();
    provider.token().await.unwrap();
    let report = provider.shutdown().await;
    assert!(matches!(report.tokens[0].outcome, RevocationOutcome::Kept));
    assert_eq!(server.received().await.len(), 1);
}

/// A server may revoke the refresh token together with an access token.
#[tokio::test]
async fn o19_by_default_neither_the_refresh_token_nor_its_access_tokens_are_revoked() {
    let body = json!({"access_token": "at-1", "refresh_token": "rt-2", "expires_in": 900});
    let server = Server::answering([json(200, &body), ResponseTemplate::new(200)]).await;
    let builder = OAuth2::refresh_token(server.url("/token"), ClientAuth::public("id"));
    let issuer = builder
        .revocation_url(server.url("/revoke"))
        .build()
        .unwrap();
    let first = LongTermToken::new("rt-1").unwrap();
    let provider = TokenProvider::builder(issuer, first)
        .store(everbearer::MemoryStore::new())
        .build()
        .unwrap();
    provider.token().await.unwrap();
    let report = provider.shutdown().await;
    assert!(matches!(report.tokens[0].outcome, RevocationOutcome::Kept));
    assert_eq!(server.received().await.len(), 1);
}

#[tokio::test]
async fn o17_a_token_that_two_scope_sets_hold_is_revoked_once() {
    let revoked = ResponseTemplate::new(200);
    let server = Server::answering([token(), token(), revoked]).await;
    let builder = server.client().revocation_url(server.url("/revoke"));
    let provider = builder.provider().unwrap().build().unwrap();
    provider.token().await.unwrap();
    provider.scoped(["jobs:read"]).token().await.unwrap();
    let report = provider.shutdown().await;
    assert!(report.all_revoked(), "{report}");
    let received = server.received().await;
    let revocations = received.iter().filter(|it| it.path == "/revoke");
    assert_eq!(revocations.count(), 1);
}

/// The access token is revoked after the answer to the refresh token's revocation, which the server delays.
#[tokio::test]
#[allow(
    clippy::disallowed_methods,
    reason = "the test measures when requests arrive"
)]
async fn o19_the_refresh_token_is_revoked_first() {
    let delay = Duration::from_millis(300);
    let body = json!({"access_token": "at-1", "refresh_token": "rt-2", "expires_in": 900});
    let server = Server::answering([json(200, &body)]).await;
    let revoked = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&revoked);
    let answer = move |request: &Request| {
        let token = Received::of(request).get("token").unwrap().to_owned();
        let now = Instant::now();
        noted.lock().unwrap().push((token, now));
        ResponseTemplate::new(200).set_delay(delay)
    };
    let revocation = Mock::given(wiremock::matchers::path("/revoke")).respond_with(answer);
    let revocation = revocation.with_priority(1);
    revocation.mount(&server.0).await;
    let client = ClientAuth::post("id", "secret");
    let builder = OAuth2::refresh_token(server.url("/token"), client);
    let issuer = builder
        .revocation_url(server.url("/revoke"))
        .build()
        .unwrap();
    let first = LongTermToken::new("rt-1").unwrap();
    let policy = ShutdownPolicy::default().revoke_long_term(true);
    let provider = TokenProvider::builder(issuer, first).shutdown_policy(policy);
    let provider = provider.build().unwrap();
    provider.token().await.unwrap();
    let report = provider.shutdown().await;
    assert!(report.all_revoked(), "{report}");
    let revoked = revoked.lock().unwrap();
    let [(first, at), (second, later)] = revoked.as_slice() else {
        panic!("{revoked:?}");
    };
    assert_eq!((first.as_str(), second.as_str()), ("rt-2", "at-1"));
    assert!(*later >= *at + delay);
}
