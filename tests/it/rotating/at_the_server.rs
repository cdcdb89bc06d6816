//! What a rotation comes to at a server, over real sockets.

use everbearer::testkit::{
    AuthServer, AuthServerBuilder, Endpoint, Fault, OldLongTermToken, TokenKind, TokenRecord,
};
use everbearer::{
    AuthApi, Credential, ErrorKind, Event, Grant, LongTermToken, RotationPolicy, ShutdownPolicy,
    TokenProvider, TokenProviderBuilder,
};

use crate::shared_memory_store::SharedMemoryStore;
use crate::support::{millis, secs, tasks};

pub(super) async fn server(old: OldLongTermToken) -> AuthServer {
    start(AuthServer::builder().rotation(old)).await
}

/// Its short-term tokens live for three seconds, of which rounding takes one: with a shared store, superseded long-term
/// tokens are revoked only after that (L15).
async fn start(builder: AuthServerBuilder) -> AuthServer {
    let builder = builder.short_term_lifetime(secs(3));
    builder.start().await.unwrap()
}

pub(super) fn secret(server: &AuthServer) -> Grant {
    Grant::client_secret(server.client_id(), server.client_secret())
}

/// A long-term token as a person would obtain it.
pub(super) async fn bootstrapped(server: &AuthServer) -> LongTermToken {
    use everbearer::TokenIssuer;
    let api = AuthApi::new(server.base_url()).unwrap();
    api.obtain(&secret(server), None).await.unwrap()
}

/// Starts from what this store holds, and rotates by a short-term token of its own: it has no
/// other secret.
pub(super) fn on(store: &SharedMemoryStore, server: &AuthServer) -> TokenProviderBuilder {
    let api = AuthApi::new(server.base_url()).unwrap();
    TokenProvider::builder(api, Credential::Stored)
        .store(store.clone())
        .rotate_with(Grant::self_rotation(server.client_id()))
        .rotation_policy(quickly())
}

pub(super) fn quickly() -> RotationPolicy {
    RotationPolicy::default()
        .backoff(millis(10), millis(50))
        .grace(millis(0))
}

pub(super) async fn shared_store(server: &AuthServer) -> SharedMemoryStore {
    let store = SharedMemoryStore::default();
    let token = bootstrapped(server).await;
    store.put(&everbearer::Record::from(token)).await;
    store
}

pub(super) fn long_term(server: &AuthServer) -> Vec<TokenRecord> {
    let mut tokens = server.tokens();
    tokens.retain(|token| token.kind == TokenKind::LongTerm);
    tokens
}

pub(super) fn live(server: &AuthServer) -> Vec<TokenRecord> {
    let mut tokens = long_term(server);
    tokens.retain(|token| server.is_live(&token.token_id));
    tokens
}

/// Waits until exactly one long-term token lives, and it is the stored one.
pub(super) async fn comes_to_rest(server: &AuthServer, store: &SharedMemoryStore) {
    for _ in 0..1_500 {
        let live = live(server);
        let text = store.text().await;
        if live.len() == 1 && text.contains(&live[0].token_id) && !text.contains("retiring") {
            return;
        }
        tokio::time::sleep(millis(10)).await;
    }
    panic!("{:?}\n{}", live(server), store.text().await);
}

#[tokio::test]
async fn l7_the_new_token_is_proven_before_the_old_one_is_revoked() {
    for old in [OldLongTermToken::LivesOn, OldLongTermToken::DiesAtOnce] {
        let server = server(old).await;
        let store = shared_store(&server).await;
        let provider = on(&store, &server).build().unwrap();
        let mut events = provider.subscribe();
        provider.ready().await.unwrap();
        provider.rotate().await.unwrap();
        assert_eq!(server.counts().long_term_issued, 2);
        // When rotate() returns, the new one has been exchanged already.
        assert!(long_term(&server)[1].served > 0);
        comes_to_rest(&server, &store).await;
        let mut order = Vec::new();
        while order.last() != Some(&"revoked") {
            match events.next().await.unwrap() {
                Event::RotationBegan => order.push("began"),
                Event::Rotated { .. } => order.push("rotated"),
                Event::Revocation {
                    token_id, error, ..
                } if token_id.as_deref() == Some(&long_term(&server)[0].token_id) => {
                    assert!(error.is_none(), "{error:?}");
                    order.push("revoked");
                }
                _ => {}
            }
        }
        assert_eq!(order, ["began", "rotated", "revoked"]);
        assert!(provider.shutdown().await.all_revoked());
    }
}

#[tokio::test]
async fn the_old_token_lives_on_for_the_grace_and_no_longer() {
    let server = server(OldLongTermToken::LivesOn).await;
    let store = shared_store(&server).await;
    let provider = on(&store, &server)
        .rotation_policy(quickly().grace(millis(400)))
        .build()
        .unwrap();
    provider.rotate().await.unwrap();
    tokio::time::sleep(millis(100)).await;
    assert_eq!(live(&server).len(), 2, "others could not follow");
    comes_to_rest(&server, &store).await;
}

#[tokio::test]
async fn what_asked_for_the_next_token_is_revoked_too() {
    let server = server(OldLongTermToken::LivesOn).await;
    let store = shared_store(&server).await;
    let provider = on(&store, &server).build().unwrap();
    provider.rotate().await.unwrap();
    comes_to_rest(&server, &store).await;
    let asked_with = server
        .tokens()
        .into_iter()
        .find(|token| token.scopes == ["tokens:write"]);
    let asked_with = asked_with.unwrap().token_id;
    for _ in 0..100 {
        if !server.is_live(&asked_with) {
            return;
        }
        tokio::time::sleep(millis(10)).await;
    }
    panic!("it lives on");
}

#[tokio::test]
async fn every_grant_rotates() {
    let server = server(OldLongTermToken::LivesOn).await;
    let store = shared_store(&server).await;
    let provider = on(&store, &server)
        .rotate_with(secret(&server))
        .build()
        .unwrap();
    provider.rotate().await.unwrap();
    comes_to_rest(&server, &store).await;
}

#[tokio::test]
async fn l4_the_response_to_a_rotation_is_lost_and_it_works_all_the_same() {
    for old in [OldLongTermToken::LivesOn, OldLongTermToken::DiesAtOnce] {
        for fault in [
            Fault::LoseResponse,
            Fault::CloseEarly,
            Fault::status(503),
            Fault::Garbage,
        ] {
            let server = server(old).await;
            let store = shared_store(&server).await;
            let provider = on(&store, &server).build().unwrap();
            provider.ready().await.unwrap();
            server.script(Endpoint::LongTerm, [fault]);
            provider.rotate().await.unwrap_err();
            // It goes on by itself.
            comes_to_rest(&server, &store).await;
            assert!(provider.refresh().await.is_ok());
        }
    }
}

#[tokio::test]
async fn l4_with_a_grant_a_lost_response_costs_nothing_either() {
    let server = server(OldLongTermToken::LivesOn).await;
    let store = SharedMemoryStore::default();
    let api = AuthApi::new(server.base_url()).unwrap();
    let provider = TokenProvider::builder(api, secret(&server))
        .store(store.clone())
        .rotation_policy(quickly())
        .build()
        .unwrap();
    provider.ready().await.unwrap();
    server.script(Endpoint::LongTerm, [Fault::LoseResponse]);
    provider.rotate().await.unwrap_err();
    provider.rotate().await.unwrap();
    assert!(provider.refresh().await.is_ok());
}

#[tokio::test]
async fn l5_a_response_without_a_new_token_keeps_the_old_one() {
    let server = server(OldLongTermToken::LivesOn).await;
    let store = shared_store(&server).await;
    let provider = on(&store, &server)
        .rotation_policy(quickly().backoff(secs(60), secs(60)))
        .build()
        .unwrap();
    let before = store.current().await;
    for body in ["{}", r#"{"token_type":"Bearer","access_token":""}"#, "null"] {
        server.script(Endpoint::LongTerm, [Fault::body(201, body)]);
        let error = provider.rotate().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol, "{body}");
        assert_eq!(store.current().await, before);
        assert!(provider.refresh().await.is_ok());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l6_exchanges_in_flight_during_a_rotation_succeed() {
    for old in [OldLongTermToken::LivesOn, OldLongTermToken::DiesAtOnce] {
        let server = server(old).await;
        let store = shared_store(&server).await;
        let provider = on(&store, &server).build().unwrap();
        provider.ready().await.unwrap();
        server.fault_always(Endpoint::ShortTerm, Fault::Latency(millis(5)));
        let refreshing = tasks(4, || {
            let provider = provider.clone();
            async move {
                let set = provider.scoped(["jobs:*"]);
                for _ in 0..40 {
                    provider.refresh().await.unwrap();
                    set.refresh().await.unwrap();
                }
            }
        });
        for _ in 0..6 {
            provider.rotate().await.unwrap();
        }
        refreshing.join_all().await;
        assert_eq!(server.counts().long_term_issued, 7);
        comes_to_rest(&server, &store).await;
    }
}

#[tokio::test]
async fn l11_a_token_that_someone_revoked_is_replaced_by_the_grant() {
    let server = server(OldLongTermToken::LivesOn).await;
    let store = shared_store(&server).await;
    let provider = on(&store, &server)
        .recover_with(secret(&server))
        .build()
        .unwrap();
    provider.ready().await.unwrap();
    server.revoke(&live(&server)[0].token_id);
    provider.refresh().await.unwrap();
    comes_to_rest(&server, &store).await;
    assert_eq!(server.counts().long_term_issued, 2);
}

#[tokio::test]
async fn l11_without_a_grant_a_person_is_told() {
    let server = server(OldLongTermToken::LivesOn).await;
    let store = shared_store(&server).await;
    let provider = on(&store, &server).build().unwrap();
    provider.ready().await.unwrap();
    server.revoke(&live(&server)[0].token_id);
    let error = provider.refresh().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert_eq!(error.code(), Some("invalid_token"));
    // And what the person puts into the store is taken up.
    store
        .put(&everbearer::Record::from(bootstrapped(&server).await))
        .await;
    for _ in 0..100 {
        tokio::time::sleep(millis(20)).await;
        if provider.refresh().await.is_ok() {
            return;
        }
    }
    panic!("{:?}", provider.status());
}

#[tokio::test]
async fn a_token_that_is_refused_as_the_next_one_is_given_up_and_the_old_one_stays() {
    let server = server(OldLongTermToken::LivesOn).await;
    let store = shared_store(&server).await;
    let provider = on(&store, &server)
        .rotation_policy(quickly().backoff(secs(60), secs(60)))
        .build()
        .unwrap();
    provider.ready().await.unwrap();
    let before = store.current().await;
    // The exchange that asks, and then the one that would prove.
    server.script(
        Endpoint::ShortTerm,
        [Fault::Pass, Fault::error(401, "invalid_token")],
    );
    let error = provider.rotate().await.unwrap_err();
    assert_eq!(error.code(), Some("invalid_token"));
    assert_eq!(store.current().await, before);
    assert!(provider.refresh().await.is_ok());
}

#[tokio::test]
async fn d2_at_the_end_the_long_term_tokens_are_revoked_if_asked() {
    let server = server(OldLongTermToken::LivesOn).await;
    let store = shared_store(&server).await;
    let provider = on(&store, &server)
        .rotation_policy(quickly().grace(secs(600)))
        .shutdown_policy(ShutdownPolicy::default().revoke_long_term(true))
        .build()
        .unwrap();
    provider.rotate().await.unwrap();
    assert_eq!(live(&server).len(), 2);
    let report = provider.shutdown().await;
    assert!(report.all_revoked(), "{report:?}");
    assert_eq!(live(&server).len(), 0);
}
