//! What a provider makes of an OAuth server.

use everbearer::testkit::{Reply, ScriptedIssuer};
use everbearer::{Credential, Grant, SecretSource, TokenProvider};

use super::*;
use crate::support::{provider, secs};

#[tokio::test]
async fn o4_a_grant_without_a_long_term_token_needs_none() {
    let server = Server::answering([token()]).await;
    let builder = || server.client().provider().unwrap();
    let provider = builder().build().unwrap();
    assert_eq!(
        provider.authorization().await.unwrap(),
        "Bearer opaque-token-1"
    );
    assert!(provider.status().long_term.is_none());
    let report = provider.shutdown().await;
    assert_eq!(report.tokens.len(), 1);
    let refused = builder()
        .rotate_with(Grant::client_secret("id", "secret"))
        .build();
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Config);
}

/// The provider reads the file again every 30 seconds.
#[tokio::test]
async fn o5_a_secret_that_is_replaced_is_used_without_a_caller() {
    let refused = json(401, &json!({"error": "invalid_client"}));
    let server = Server::answering([refused, token()]).await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("secret");
    std::fs::write(&path, "old").unwrap();
    let secret = SecretSource::file(&path).skip_permission_checks();
    let issuer =
        OAuth2::client_credentials_with(server.url("/token"), ClientAuth::post("id", secret));
    let clock = everbearer::testkit::ManualClock::new();
    let builder = issuer.provider().unwrap().clock(clock.clone());
    let provider = builder.build().unwrap();
    let error = provider.token().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    std::fs::write(&path, "new").unwrap();
    clock.advance(std::time::Duration::from_secs(31)).await;
    let has_tried = async {
        while server.received().await.len() < 2 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), has_tried)
        .await
        .unwrap();
    assert_eq!(server.last().await.get("client_secret"), Some("new"));
    provider.token().await.unwrap();
}

#[tokio::test]
async fn a_refresh_token_is_replaced_in_the_store() {
    let answer = |at: u32| {
        let access = format!("at-{at}");
        let refresh = format!("rt-{}", at + 1);
        json(
            200,
            &json!({"access_token": access, "refresh_token": refresh, "expires_in": 900}),
        )
    };
    let server = Server::answering([answer(1), answer(2)]).await;
    let store = everbearer::MemoryStore::new();
    let builder = || {
        let client = ClientAuth::public("id");
        let issuer = OAuth2::refresh_token(server.url("/token"), client);
        issuer.build().unwrap()
    };
    let first = everbearer::LongTermToken::new("rt-1").unwrap();
    let provider = TokenProvider::builder(builder(), first)
        .store(store.clone())
        .build()
        .unwrap();
    provider.token().await.unwrap();
    provider.refresh().await.unwrap();
    let sent: Vec<_> = server
        .received()
        .await
        .iter()
        .map(|it| it.get("refresh_token").unwrap().to_owned())
        .collect();
    assert_eq!(sent, ["rt-1", "rt-2"]);
    let stored = everbearer::TokenStore::load(&store).await.unwrap().unwrap();
    assert_eq!(stored.record.current().expose(), "rt-3");
    provider.shutdown().await;
    let again = TokenProvider::builder(builder(), Credential::Stored)
        .store(store)
        .build()
        .unwrap();
    again.token().await.unwrap();
    assert_eq!(server.last().await.get("refresh_token"), Some("rt-3"));
}

/// A server that refuses a token for its first moments, as one does that learns of new tokens with a delay.
#[tokio::test]
async fn o23_a_new_token_that_is_refused_is_sent_once_more_when_it_has_settled() {
    for (settling, status, sent) in [(2, 200, 2), (0, 401, 2)] {
        let server = Server::answering([token(), token()]).await;
        let api = Server::answering([ResponseTemplate::new(401), ResponseTemplate::new(200)]).await;
        if settling == 0 {
            api.0.reset().await;
            let refuses = Mock::given(any()).respond_with(ResponseTemplate::new(401));
            refuses.mount(&api.0).await;
        }
        let policy = everbearer::RefreshPolicy::default();
        let policy = policy.settling_time(std::time::Duration::from_secs(settling));
        let builder = server.client().provider().unwrap();
        let builder = builder.refresh_policy(policy).origins([api.url("")]);
        let provider = builder.build().unwrap();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let client = reqwest_middleware::ClientBuilder::new(client)
            .with(provider.middleware())
            .build();
        let response = client.get(api.url("/jobs")).send().await.unwrap();
        assert_eq!(response.status(), status);
        // Without a settling time, an exchange follows, which returns the token in use again (O15).
        let exchanges = if settling == 0 { 2 } else { 1 };
        assert_eq!(server.received().await.len(), exchanges);
        let sent_to_api = api.received().await.len();
        assert_eq!(sent_to_api, if settling == 0 { 1 } else { sent });
    }
}

#[tokio::test]
async fn o24_a_403_without_invalid_token_is_no_refusal_of_the_token() {
    let invalid = r#"Bearer error="invalid_token""#;
    for (answer, exchanges) in [
        (ResponseTemplate::new(403), 1),
        (
            ResponseTemplate::new(403).insert_header("www-authenticate", invalid),
            2,
        ),
    ] {
        let server = Server::answering([token(), token()]).await;
        let api = Server::answering([answer]).await;
        let builder = server.client().provider().unwrap().origins([api.url("")]);
        let provider = builder.build().unwrap();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let client = reqwest_middleware::ClientBuilder::new(client)
            .with(provider.middleware())
            .build();
        let response = client.get(api.url("/jobs")).send().await.unwrap();
        assert_eq!(response.status(), 403);
        assert_eq!(server.received().await.len(), exchanges);
    }
}

#[tokio::test]
async fn o14_during_a_long_quota_the_good_token_is_served_and_the_pause_is_shown() {
    let quota = "b=per_hour;q=10;r=0;t=3000";
    let limited = json(429, &json!({"error": "too_many_requests"}));
    let limited = limited.insert_header("auth0-client-quota-limit", quota);
    let server = Server::answering([token(), limited]).await;
    let clock = everbearer::testkit::ManualClock::new();
    let builder = server.client().provider().unwrap();
    let provider = builder.clock(clock.clone()).build().unwrap();
    provider.token().await.unwrap();
    let error = provider.refresh().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RateLimited);
    assert_eq!(
        error.retry_after(),
        Some(std::time::Duration::from_secs(3_000))
    );
    let status = provider.status();
    let pause = status.next_exchange_in.unwrap();
    assert!(pause >= std::time::Duration::from_secs(200), "{pause:?}");
    for _ in 0..100 {
        assert_eq!(provider.token().await.unwrap().expose(), "opaque-token-1");
    }
    assert_eq!(server.received().await.len(), 2);
}

/// `RetryPolicy::max_retry_after` bounds the pause to 5 minutes.
#[tokio::test(start_paused = true)]
async fn o14_a_quota_that_resets_in_hours_causes_few_attempts() {
    let issuer = ScriptedIssuer::new();
    issuer.script([Reply::token(secs(7_200))]);
    let limited = Error::new(ErrorKind::RateLimited, "quota").with_retry_after(secs(3_000));
    issuer.default_reply(Reply::error(limited));
    let (provider, clock) = provider(&issuer);
    provider.token().await.unwrap();
    provider.refresh().await.unwrap_err();
    for _ in 0..300 {
        clock.advance(secs(10)).await;
        assert!(provider.token().await.is_ok());
    }
    assert!(issuer.exchanges() <= 13, "{}", issuer.exchanges());
}

#[tokio::test]
async fn o9_a_token_whose_life_is_not_stated_is_served_for_the_default_life() {
    for expires_in in [json!(-1), json!(null), json!("soon")] {
        let body = json!({"access_token": "opaque-token-1", "expires_in": expires_in});
        let server = Server::answering([json(200, &body)]).await;
        let (log, _guard) = crate::support::Log::capture(tracing::Level::WARN);
        let provider = server.client().provider().unwrap().build().unwrap();
        provider.token().await.unwrap();
        let usable = provider.status().usable_for;
        assert!(usable > std::time::Duration::from_secs(200), "{usable:?}");
        assert_eq!(log.text().matches("assuming a default lifetime").count(), 1);
    }
}

#[tokio::test]
async fn o21_an_empty_refresh_token_replaces_none() {
    let body = json!({"access_token": "at-1", "refresh_token": "", "expires_in": 900});
    let server = Server::answering([json(200, &body)]).await;
    let builder = OAuth2::refresh_token(server.url("/token"), ClientAuth::public("id"));
    let first = everbearer::LongTermToken::new("rt-1").unwrap();
    let provider = TokenProvider::builder(builder.build().unwrap(), first);
    let provider = provider.build().unwrap();
    provider.token().await.unwrap();
    provider.refresh().await.unwrap();
    assert_eq!(server.last().await.get("refresh_token"), Some("rt-1"));
}
