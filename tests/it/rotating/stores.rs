//! What a store may do to the provider on it.

use std::time::Duration;

use everbearer::testkit::{AuthServer, ManualClock, OldLongTermToken, Reply, ScriptedIssuer};
use everbearer::{
    AuthApi, Credential, ErrorKind, Event, LongTermToken, Record, State, TokenProvider,
};

use super::at_the_server::{
    bootstrapped, comes_to_rest, live, on, quickly, secret, server, shared_store,
};
use super::stored;
use crate::shared_memory_store::SharedMemoryStore;
use crate::support::{millis, secs, settle};

#[tokio::test]
async fn l10_a_store_that_refuses_to_write_leaves_the_old_token_in_use() {
    for old in [OldLongTermToken::LivesOn, OldLongTermToken::DiesAtOnce] {
        let server = server(old).await;
        let store = shared_store(&server).await;
        let provider = on(&store, &server).build().unwrap();
        provider.ready().await.unwrap();
        let before = store.current().await;
        store.refuse_writes(true);
        let error = provider.rotate().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Store);
        let status = provider.status();
        assert_eq!(status.store_error.unwrap().kind(), ErrorKind::Store);
        assert_eq!(
            status.long_term.unwrap().last_error.unwrap().kind(),
            ErrorKind::Store
        );
        assert_eq!(store.current().await, before);
        // Nothing was asked for that could not be written down.
        assert_eq!(server.counts().long_term_issued, 1);
        assert!(provider.refresh().await.is_ok());
        store.refuse_writes(false);
        comes_to_change(&store, &before).await;
        comes_to_rest(&server, &store).await;
        assert!(provider.refresh().await.is_ok());
        assert!(provider.status().store_error.is_none());
    }
}

async fn comes_to_change(store: &SharedMemoryStore, before: &str) {
    for _ in 0..300 {
        if store.current().await != before {
            return;
        }
        tokio::time::sleep(millis(10)).await;
    }
    panic!("it was not tried again");
}

/// The store fails between any two writes of a rotation, and comes back.
#[tokio::test]
async fn l10_at_whatever_write_it_begins_to_refuse() {
    for old in [OldLongTermToken::LivesOn, OldLongTermToken::DiesAtOnce] {
        for writes in 0..4 {
            let server = server(old).await;
            let store = shared_store(&server).await;
            let provider = on(&store, &server).build().unwrap();
            provider.ready().await.unwrap();
            let before = store.current().await;
            store.refuse_writes_after(writes);
            let outcome = provider.rotate().await;
            assert!(provider.refresh().await.is_ok(), "after {writes} writes");
            tokio::time::sleep(millis(150)).await;
            assert!(provider.refresh().await.is_ok(), "after {writes} writes");
            store.refuse_writes(false);
            if outcome.is_err() {
                comes_to_change(&store, &before).await;
            }
            comes_to_rest(&server, &store).await;
            assert!(provider.refresh().await.is_ok());
        }
    }
}

#[tokio::test]
async fn l9_what_somebody_else_puts_there_is_used_for_the_next_exchange() {
    let server = AuthServer::start().await.unwrap();
    let store = shared_store(&server).await;
    let provider = on(&store, &server).build().unwrap();
    provider.ready().await.unwrap();
    let handed_in = bootstrapped(&server).await;
    let id = handed_in.token_id().unwrap().to_owned();
    store.put(&Record::from(handed_in)).await;
    for _ in 0..100 {
        tokio::time::sleep(millis(10)).await;
        let long_term = provider.status().long_term.unwrap();
        if long_term.token_id.as_ref() == Some(&id) {
            break;
        }
    }
    provider.refresh().await.unwrap();
    assert!(server.token(&id).unwrap().served > 0);
    // The one before is somebody else's to revoke.
    assert_eq!(live(&server).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn l9_a_store_that_cannot_be_read_keeps_what_was_read_from_it() {
    let issuer = ScriptedIssuer::new();
    let store = SharedMemoryStore::default();
    store.hand_in("lt-a").await;
    let provider = stored(&issuer, store.clone()).build().unwrap();
    provider.ready().await.unwrap();
    store.jam(true);
    store.hand_in("lt-b").await;
    tokio::time::sleep(secs(2)).await;
    provider.refresh().await.unwrap();
    assert_eq!(
        provider.status().store_error.unwrap().kind(),
        ErrorKind::Store
    );
    store.jam(false);
    store.hand_in("lt-c").await;
    tokio::time::sleep(secs(2)).await;
    provider.refresh().await.unwrap();
    assert_eq!(issuer.exchanged(), ["lt-a", "lt-a", "lt-c"]);
    assert!(provider.status().store_error.is_none());
}

#[tokio::test(start_paused = true)]
async fn at_the_start_a_store_that_cannot_be_read_is_a_failure_that_may_pass() {
    let issuer = ScriptedIssuer::new();
    let store = SharedMemoryStore::default();
    store.hand_in("lt-a").await;
    store.jam(true);
    let provider = stored(&issuer, store.clone()).build().unwrap();
    let error = provider.ready().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Store);
    assert!(error.is_retryable());
    assert_eq!(provider.status().state, State::Unavailable);
    store.jam(false);
    provider.token().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_empty_store_without_anything_to_begin_with_says_so() {
    let provider = TokenProvider::builder(ScriptedIssuer::new(), Credential::Stored)
        .clock(ManualClock::new())
        .store(SharedMemoryStore::default())
        .build()
        .unwrap();
    let error = provider.ready().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("neither"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_given_token_begins_an_empty_store_and_gives_way_to_a_stored_one() {
    let begin = |store: &SharedMemoryStore, issuer: &ScriptedIssuer| {
        TokenProvider::builder(issuer.clone(), LongTermToken::new("given").unwrap())
            .clock(ManualClock::new())
            .store(store.clone())
            .build()
            .unwrap()
    };
    let (store, issuer) = (SharedMemoryStore::default(), ScriptedIssuer::new());
    begin(&store, &issuer).ready().await.unwrap();
    assert_eq!(store.current().await, "given");
    store.hand_in("rotated").await;
    begin(&store, &issuer).ready().await.unwrap();
    assert_eq!(issuer.exchanged(), ["given", "rotated"]);
    // Unless the server refuses the stored one: then it is a person's help.
    issuer.script([Reply::error(everbearer::Error::terminal("no"))]);
    begin(&store, &issuer).ready().await.unwrap();
    assert_eq!(issuer.exchanged(), ["given", "rotated", "rotated", "given"]);
    assert_eq!(store.current().await, "given");
}

#[tokio::test(start_paused = true)]
async fn what_renew_brings_is_stored_and_is_not_given_up_for_what_was_there() {
    let (store, issuer) = (SharedMemoryStore::default(), ScriptedIssuer::new());
    store.hand_in("lt-a").await;
    let provider = stored(&issuer, store.clone()).build().unwrap();
    provider.ready().await.unwrap();
    store.refuse_writes(true);
    provider.set_long_term_token(LongTermToken::new("by-hand").unwrap());
    tokio::time::sleep(secs(2)).await;
    provider.refresh().await.unwrap();
    assert_eq!(store.current().await, "lt-a");
    store.refuse_writes(false);
    tokio::time::sleep(secs(300)).await;
    settle().await;
    assert_eq!(store.current().await, "by-hand");
    assert_eq!(issuer.exchanged(), ["lt-a", "by-hand"]);
    assert!(issuer.revoked().is_empty());
}

#[tokio::test(start_paused = true)]
async fn l10_a_write_that_fails_outside_of_a_rotation_is_told_as_that_and_no_more() {
    let (store, issuer) = (SharedMemoryStore::default(), ScriptedIssuer::new());
    store.hand_in("lt-a").await;
    let provider = stored(&issuer, store.clone()).build().unwrap();
    provider.ready().await.unwrap();
    let mut events = provider.subscribe();
    store.refuse_writes(true);
    provider.set_long_term_token(LongTermToken::new("by-hand").unwrap());
    let mut told = Vec::new();
    let listen = async {
        while let Some(event) = events.next().await {
            told.push(event);
        }
    };
    let _ = tokio::time::timeout(secs(60), listen).await;
    let is_failed_store = |it: &Event| matches!(it, Event::StoreFailed { .. });
    assert!(told.iter().any(is_failed_store), "{told:?}");
    let is_failed_rotation = |it: &Event| matches!(it, Event::RotationFailed { .. });
    assert!(!told.iter().any(is_failed_rotation), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn every_exchange_may_bring_another_long_term_token() {
    let (store, issuer) = (SharedMemoryStore::default(), ScriptedIssuer::new());
    issuer.replace_long_term();
    issuer.default_reply(Reply::token(secs(900)).after(millis(50)));
    store.hand_in("lt-0").await;
    let provider = stored(&issuer, store.clone()).build().unwrap();
    // Many sets at once would spend the same token twice.
    let sets: Vec<_> = ["a", "b", "c", "d"]
        .map(|scope| provider.scoped([scope]))
        .into();
    let waiting = futures_util::future::join_all(sets.iter().map(TokenProvider::token)).await;
    assert!(waiting.iter().all(Result::is_ok), "{waiting:?}");
    let exchanged = issuer.exchanged();
    assert_eq!(exchanged, ["lt-0", "lt-1", "lt-2", "lt-3", "lt-4"]);
    assert_eq!(issuer.most_at_once(), 1);
    assert_eq!(store.current().await, "lt-5");
}

#[tokio::test(start_paused = true)]
async fn a_replacement_is_durable_before_the_short_term_token_is_used() {
    let (store, issuer) = (SharedMemoryStore::default(), ScriptedIssuer::new());
    issuer.replace_long_term();
    store.hand_in("lt-0").await;
    let provider = stored(&issuer, store.clone()).build().unwrap();
    store.refuse_writes(true);
    let error = provider.token().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Store);
    assert!(provider.current().is_none());
    // And what could not be written is not spent in its turn.
    tokio::time::sleep(secs(100)).await;
    assert_eq!(issuer.exchanged(), ["lt-0"]);
    store.refuse_writes(false);
    tokio::time::sleep(secs(100)).await;
    provider.token().await.unwrap();
    assert_eq!(issuer.exchanged(), ["lt-0", "lt-1"]);
    assert_eq!(store.current().await, "lt-2");
    // The short-term token that nobody was given is revoked in the end.
    provider.shutdown().await;
    assert_eq!(issuer.revoked().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_spend_no_replacement_twice() {
    let (store, issuer) = (SharedMemoryStore::default(), ScriptedIssuer::new());
    issuer.replace_long_term();
    issuer.default_reply(Reply::token(secs(900)).after(millis(2)));
    store.hand_in("lt-0").await;
    let begin = || {
        TokenProvider::builder(issuer.clone(), Credential::Stored)
            .store(store.another_hand())
            .build()
            .unwrap()
    };
    let (one, other) = (begin(), begin());
    for _ in 0..10 {
        let (this, that) = tokio::join!(one.refresh(), other.refresh());
        this.unwrap();
        that.unwrap();
    }
    let exchanged = issuer.exchanged();
    let distinct: std::collections::BTreeSet<_> = exchanged.iter().collect();
    assert_eq!(distinct.len(), exchanged.len(), "{exchanged:?}");
}

#[tokio::test]
async fn a_token_obtained_by_the_grant_is_stored_for_the_next_start() {
    let server = AuthServer::start().await.unwrap();
    let store = SharedMemoryStore::default();
    for _ in 0..3 {
        let api = AuthApi::new(server.base_url()).unwrap();
        let provider = TokenProvider::builder(api, secret(&server))
            .store(store.clone())
            .rotation_policy(quickly())
            .build()
            .unwrap();
        provider.ready().await.unwrap();
        assert!(provider.shutdown().await.all_revoked());
    }
    assert_eq!(server.counts().long_term_issued, 1);
}

#[tokio::test(start_paused = true)]
async fn the_age_of_a_stored_token_survives_a_restart() {
    const LIFE: Duration = secs(30 * 24 * 60 * 60);
    let (store, issuer, clock) = (
        SharedMemoryStore::default(),
        ScriptedIssuer::new(),
        ManualClock::new(),
    );
    issuer.default_reply(Reply::token(secs(24 * 60 * 60)));
    issuer.script_long_term([Reply::token(LIFE)]);
    let begin = || {
        let grant = everbearer::Grant::client_secret("client", "secret");
        TokenProvider::builder(issuer.clone(), grant)
            .clock(clock.clone())
            .store(store.clone())
            .jitter_seed(5)
            .build()
            .unwrap()
    };
    let provider = begin();
    provider.ready().await.unwrap();
    let due = provider.status().long_term.unwrap().rotates_in.unwrap();
    drop(provider);
    clock.advance(secs(10 * 24 * 60 * 60)).await;
    let provider = begin();
    provider.ready().await.unwrap();
    let left = provider.status().long_term.unwrap().rotates_in.unwrap();
    let passed = due.abs_diff(left);
    assert!(
        passed.abs_diff(secs(10 * 24 * 60 * 60)) < secs(60),
        "{due:?} {left:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn l9_a_reload_takes_up_what_nobody_has_told_of() {
    let (store, issuer) = (SharedMemoryStore::default(), ScriptedIssuer::new());
    store.hand_in("lt-a").await;
    let provider = stored(&issuer, store.blind()).build().unwrap();
    provider.ready().await.unwrap();
    store.hand_in("lt-b").await;
    provider.refresh().await.unwrap();
    provider.reload().await.unwrap();
    provider.refresh().await.unwrap();
    assert_eq!(issuer.exchanged(), ["lt-a", "lt-a", "lt-b"]);
    store.jam(true);
    assert_eq!(
        provider.reload().await.unwrap_err().kind(),
        ErrorKind::Store
    );
    provider.refresh().await.unwrap();
    provider.shutdown().await;
    assert_eq!(
        provider.reload().await.unwrap_err().kind(),
        ErrorKind::ShutDown
    );
}

#[tokio::test]
async fn d2_a_token_that_could_not_be_stored_does_not_outlive_the_process() {
    let server = AuthServer::start().await.unwrap();
    let store = SharedMemoryStore::default();
    store.refuse_writes(true);
    let api = AuthApi::new(server.base_url()).unwrap();
    let provider = TokenProvider::builder(api, secret(&server))
        .store(store.clone())
        .build()
        .unwrap();
    provider.ready().await.unwrap();
    assert_eq!(live(&server).len(), 1);
    let report = provider.shutdown().await;
    assert!(report.all_revoked(), "{report:?}");
    assert_eq!(live(&server).len(), 0, "nobody knows of it any more");
}

#[tokio::test]
async fn d4_a_server_that_hangs_does_not_keep_the_shutdown_from_writing() {
    let server = AuthServer::start().await.unwrap();
    let store = SharedMemoryStore::default();
    store.refuse_writes(true);
    let api = AuthApi::new(server.base_url()).unwrap();
    let provider = TokenProvider::builder(api, secret(&server))
        .store(store.clone())
        .shutdown_policy(everbearer::ShutdownPolicy::default().deadline(millis(500)))
        .build()
        .unwrap();
    provider.ready().await.unwrap();
    store.refuse_writes(false);
    server.fault_always(
        everbearer::testkit::Endpoint::Revoke,
        everbearer::testkit::Fault::Hang,
    );
    let report = provider.shutdown().await;
    assert!(!report.all_revoked());
    assert_eq!(store.current().await, live_token(&server, &store).await);
}

async fn live_token(server: &AuthServer, store: &SharedMemoryStore) -> String {
    let id = live(server)[0].token_id.clone();
    let text = store.text().await;
    assert!(text.contains(&id), "{text}");
    store.current().await
}
