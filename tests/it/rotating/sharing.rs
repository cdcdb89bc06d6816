//! Two that share a store.

use everbearer::testkit::{
    AuthServer, Endpoint, Fault, ManualClock, OldLongTermToken, Reply, ScriptedIssuer,
};
use everbearer::{AuthApi, Credential, Grant, TokenProvider};

use super::at_the_server::{comes_to_rest, live, on, quickly, secret, server, shared_store};
use crate::shared_memory_store::SharedMemoryStore;
use crate::support::{millis, secs, settle, tasks};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l8_of_two_that_are_due_at_once_one_rotates_and_the_other_follows() {
    for old in [OldLongTermToken::LivesOn, OldLongTermToken::DiesAtOnce] {
        let server = server(old).await;
        let store = shared_store(&server).await;
        let one = on(&store, &server).build().unwrap();
        let other = on(&store, &server)
            .store(store.another_hand())
            .build()
            .unwrap();
        one.ready().await.unwrap();
        other.ready().await.unwrap();
        for round in 1..=10 {
            let (this, that) = tokio::join!(one.rotate(), other.rotate());
            this.unwrap();
            that.unwrap();
            // Both use the same token, which is the stored one.
            let current = store.current().await;
            assert_eq!(server.counts().long_term_issued, round + 1, "round {round}");
            one.refresh().await.unwrap();
            other.refresh().await.unwrap();
            assert_eq!(store.current().await, current);
        }
        comes_to_rest(&server, &store).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l8_an_empty_store_is_filled_once() {
    let server = AuthServer::start().await.unwrap();
    let store = SharedMemoryStore::default();
    let starting = tasks(8, || {
        let api = AuthApi::new(server.base_url()).unwrap();
        let provider = TokenProvider::builder(api, secret(&server)).store(store.another_hand());
        async move {
            let provider = provider.build().unwrap();
            provider.ready().await.unwrap();
            provider
        }
    });
    starting.join_all().await;
    assert_eq!(server.counts().long_term_issued, 1);
}

#[tokio::test]
async fn l8_a_holder_of_the_lease_that_goes_away_blocks_nobody() {
    let server = server(OldLongTermToken::DiesAtOnce).await;
    let store = shared_store(&server).await;
    let holder = on(&store, &server).build().unwrap();
    holder.ready().await.unwrap();
    server.script(Endpoint::LongTerm, [Fault::Hang]);
    let rotating = tokio::spawn(async move { holder.rotate().await });
    tokio::time::sleep(millis(200)).await;
    // The call hangs with the lease; the other one waits for it.
    let other = on(&store, &server)
        .store(store.another_hand())
        .build()
        .unwrap();
    other.ready().await.unwrap();
    let waiting = tokio::time::timeout(millis(400), other.rotate()).await;
    assert!(waiting.is_err(), "two at once: {waiting:?}");
    rotating.abort();
    let _ = rotating.await;
    other.rotate().await.unwrap();
    comes_to_rest(&server, &store).await;
}

#[tokio::test]
async fn a_replacement_from_elsewhere_is_followed_when_the_old_one_is_refused() {
    let server = server(OldLongTermToken::DiesAtOnce).await;
    let store = shared_store(&server).await;
    let blind = on(&store, &server).store(store.blind()).build().unwrap();
    blind.ready().await.unwrap();
    let other = on(&store, &server)
        .store(store.another_hand())
        .build()
        .unwrap();
    other.rotate().await.unwrap();
    // It was told of no change, and its token is dead.
    blind.refresh().await.unwrap();
    assert_eq!(live(&server).len(), 1);
}

#[tokio::test]
async fn rotating_with_a_grant_is_shared_as_well() {
    let server = server(OldLongTermToken::LivesOn).await;
    let store = shared_store(&server).await;
    let builder = || on(&store, &server).rotate_with(secret(&server));
    let one = builder().build().unwrap();
    let other = builder().store(store.another_hand()).build().unwrap();
    one.ready().await.unwrap();
    other.ready().await.unwrap();
    let (this, that) = tokio::join!(one.rotate(), other.rotate());
    this.unwrap();
    that.unwrap();
    assert_eq!(server.counts().long_term_issued, 2);
    comes_to_rest(&server, &store).await;
}

#[tokio::test]
async fn d2_superseded_tokens_in_a_shared_store_are_left_to_whoever_comes_next() {
    let server = server(OldLongTermToken::LivesOn).await;
    let store = shared_store(&server).await;
    let provider = on(&store, &server)
        .rotation_policy(quickly().grace(millis(300)))
        .build()
        .unwrap();
    provider.rotate().await.unwrap();
    assert!(provider.shutdown().await.all_revoked());
    assert_eq!(live(&server).len(), 2);
    let next = on(&store, &server).build().unwrap();
    next.ready().await.unwrap();
    comes_to_rest(&server, &store).await;
}

#[tokio::test]
async fn d2_without_a_shared_store_superseded_tokens_are_revoked_at_the_end() {
    let server = server(OldLongTermToken::LivesOn).await;
    let api = AuthApi::new(server.base_url()).unwrap();
    let provider = TokenProvider::builder(api, secret(&server))
        .rotate_with(Grant::self_rotation(server.client_id()))
        .rotation_policy(quickly().grace(secs(600)))
        .build()
        .unwrap();
    provider.rotate().await.unwrap();
    assert_eq!(live(&server).len(), 2);
    assert!(provider.shutdown().await.all_revoked());
    assert_eq!(live(&server).len(), 1, "the one in use is kept");
}

#[tokio::test(start_paused = true)]
async fn l15_a_token_that_arrives_after_the_rotation_is_refreshed_within_the_grace() {
    let (store, issuer) = (SharedMemoryStore::default(), ScriptedIssuer::new());
    let clock = ManualClock::new();
    store.hand_in("lt-a").await;
    issuer.default_reply(Reply::token(secs(3_600)));
    let provider = TokenProvider::builder(issuer.clone(), Credential::Stored)
        .clock(clock.clone())
        .store(store.clone())
        .build()
        .unwrap();
    provider.ready().await.unwrap();
    issuer.script([Reply::token(secs(3_600)).after(secs(5))]);
    let refreshing = provider.clone();
    let refresh = tokio::spawn(async move { refreshing.refresh().await.map(|_| ()) });
    settle().await;
    store.another_hand().hand_in("lt-b").await;
    provider.reload().await.unwrap();
    clock.advance(secs(6)).await;
    refresh.await.unwrap().unwrap();
    assert_eq!(issuer.exchanged(), ["lt-a", "lt-a"]);
    // The process that has rotated may revoke `lt-a`, and with it what was minted from it, after the grace.
    for _ in 0..30 {
        clock.advance(secs(5)).await;
        settle().await;
    }
    assert_eq!(issuer.exchanged(), ["lt-a", "lt-a", "lt-b"]);
}
