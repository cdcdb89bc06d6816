//! What could go wrong where several things come together.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use std::time::Duration;

use everbearer::testkit::{Endpoint, Fault, ManualClock, OldLongTermToken, Reply, ScriptedIssuer};
use everbearer::{
    Credential, Error, ErrorKind, ExchangeResponse, Grant, Lease, LongTermToken, Record, Revoked,
    ShortTermToken, Stored, TokenIssuer, TokenProvider, TokenRef, TokenStore, Version,
};

use super::at_the_server::{comes_to_rest, on, quickly, server, shared_store};
use super::stored;
use crate::shared_memory_store::SharedMemoryStore;
use crate::support::{millis, secs};

#[derive(Clone, Debug, Default)]
struct Same {
    revoked: Arc<std::sync::Mutex<Vec<String>>>,
}

#[async_trait::async_trait]
impl TokenIssuer for Same {
    async fn exchange(
        &self,
        _: Option<&LongTermToken>,
        _: &[String],
    ) -> Result<ExchangeResponse, Error> {
        let t = ShortTermToken::builder("st")
            .expires_in(secs(900))
            .token_id("st")
            .build()?;
        Ok(ExchangeResponse::from(t))
    }
    async fn revoke(&self, token: TokenRef<'_>, _: Option<TokenRef<'_>>) -> Result<Revoked, Error> {
        self.revoked
            .lock()
            .unwrap()
            .push(token.token_id().unwrap().to_owned());
        Ok(Revoked::Gone)
    }
    async fn obtain(&self, _: &Grant, _: Option<&ShortTermToken>) -> Result<LongTermToken, Error> {
        LongTermToken::builder("lt-same")
            .token_id("lt-same")
            .expires_in(secs(86400 * 30))
            .build()
    }
}

#[tokio::test]
async fn l5_a_server_that_hands_out_the_same_token_again_does_not_lose_it() {
    let issuer = Same::default();
    let provider = TokenProvider::builder(issuer.clone(), Grant::client_secret("a", "b"))
        .rotation_policy(quickly())
        .build()
        .unwrap();
    provider.ready().await.unwrap();
    // With a later end it will do for a rotation, and with the same end it does not.
    tokio::time::timeout(secs(2), provider.rotate())
        .await
        .unwrap()
        .unwrap();
    tokio::time::sleep(millis(300)).await;
    assert!(issuer.revoked.lock().unwrap().is_empty());
    let in_use = provider.status().long_term.unwrap().token_id;
    assert_eq!(in_use.as_deref(), Some("lt-same"));
}

#[tokio::test]
async fn an_issuer_that_replaces_the_token_anyway_is_not_rotated() {
    let issuer = ScriptedIssuer::new();
    issuer.replace_long_term();
    let builder = || TokenProvider::builder(issuer.clone(), Grant::client_secret("a", "b"));
    let rotating = builder()
        .rotate_with(Grant::client_secret("a", "b"))
        .build();
    assert_eq!(rotating.unwrap_err().kind(), ErrorKind::Config);
    let provider = builder().build().unwrap();
    provider.ready().await.unwrap();
    assert_eq!(
        provider.rotate().await.unwrap_err().kind(),
        ErrorKind::Config
    );
    assert_eq!(issuer.exchanges(), 1);
}

/// Hangs at one write, once.
#[derive(Clone, Debug)]
struct HangsOnce {
    shared_store: SharedMemoryStore,
    writes_left: Arc<AtomicI32>,
    panics: bool,
}

#[async_trait::async_trait]
impl TokenStore for HangsOnce {
    async fn load(&self) -> Result<Option<Stored>, Error> {
        self.shared_store.load().await
    }
    async fn store(&self, record: &Record, expected: Option<&Version>) -> Result<Version, Error> {
        if self.writes_left.fetch_sub(1, Ordering::SeqCst) == 0 {
            if self.panics {
                panic!("store");
            }
            std::future::pending::<()>().await;
        }
        self.shared_store.store(record, expected).await
    }
    async fn changed(&self) {
        self.shared_store.changed().await;
    }
    async fn lease(&self, at_most: Duration) -> Result<Option<Lease>, Error> {
        self.shared_store.lease(at_most).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_or_panics_while_the_next_token_is_made_current() {
    for panics in [false, true] {
        let issuer = ScriptedIssuer::new();
        issuer.default_reply(Reply::token(secs(900)).after(millis(50)));
        let shared_store = SharedMemoryStore::default();
        shared_store.hand_in("lt-a").await;
        // With a grant there are two writes: next, and current.
        let store = HangsOnce {
            shared_store: shared_store.clone(),
            writes_left: Arc::new(AtomicI32::new(1)),
            panics,
        };
        let provider = stored(&issuer, store)
            .rotate_with(Grant::client_secret("a", "b"))
            .rotation_policy(quickly())
            .build()
            .unwrap();
        provider.ready().await.unwrap();
        let _ = tokio::time::timeout(secs(2), provider.rotate()).await;
        tokio::time::sleep(secs(60)).await;
        assert_eq!(shared_store.current().await, "lt-1", "panics: {panics}");
        assert_eq!(issuer.exchanges(), 2, "the first, and the one that proves");
    }
}

#[tokio::test]
async fn l4_a_next_token_that_is_refused_once_is_not_given_up_where_it_is_the_last_one() {
    for fault in [
        Fault::error(401, "invalid_token"),
        Fault::error(400, "invalid_scope"),
    ] {
        let server = server(OldLongTermToken::DiesAtOnce).await;
        let store = shared_store(&server).await;
        let provider = on(&store, &server).build().unwrap();
        provider.ready().await.unwrap();
        server.script(Endpoint::ShortTerm, [Fault::Pass, fault]);
        provider.rotate().await.unwrap();
        provider.refresh().await.unwrap();
        comes_to_rest(&server, &store).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_given_token_takes_the_place_of_a_stored_one_only_when_it_is_proven() {
    let (store, issuer) = (SharedMemoryStore::default(), ScriptedIssuer::new());
    store.hand_in("rotated").await;
    issuer.script([
        Reply::error(Error::terminal("a blip")),
        Reply::error(Error::terminal("revoked long ago")),
    ]);
    let provider = TokenProvider::builder(issuer.clone(), LongTermToken::new("given").unwrap())
        .clock(ManualClock::new())
        .store(store.clone())
        .build()
        .unwrap();
    provider.ready().await.unwrap_err();
    assert_eq!(issuer.exchanged(), ["rotated", "given"]);
    assert_eq!(store.current().await, "rotated");
    // It was a blip.
    tokio::time::sleep(secs(60)).await;
    provider.token().await.unwrap();
    assert_eq!(store.current().await, "rotated");
}

#[tokio::test(start_paused = true)]
async fn l9_an_empty_store_that_is_filled_later_is_taken_up() {
    let (store, issuer) = (SharedMemoryStore::default(), ScriptedIssuer::new());
    let provider = stored(&issuer, store.clone()).build().unwrap();
    let _ = provider.ready().await;
    store.hand_in("lt-a").await;
    tokio::time::sleep(secs(5)).await;
    assert!(issuer.exchanges() > 0, "without anybody asking");
    provider.token().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_renew_brings_does_not_wait_for_a_rotation_that_has_failed() {
    let (store, issuer, clock) = (
        SharedMemoryStore::default(),
        ScriptedIssuer::new(),
        ManualClock::new(),
    );
    store.hand_in("lt-a").await;
    issuer.script_long_term([Reply::error(Error::terminal("no"))]);
    let provider = TokenProvider::builder(issuer.clone(), Credential::Stored)
        .clock(clock.clone())
        .store(store.clone())
        .rotate_with(Grant::client_secret("a", "b"))
        .build()
        .unwrap();
    provider.ready().await.unwrap();
    let _ = provider.rotate().await;
    provider.set_long_term_token(LongTermToken::new("by-hand").unwrap());
    tokio::time::sleep(secs(1)).await;
    assert_eq!(store.text().await.matches("by-hand").count(), 1);
}

#[tokio::test(start_paused = true)]
async fn l6_an_exchange_that_is_overtaken_again_and_again_succeeds() {
    let issuer = ScriptedIssuer::new();
    let superseded = || Reply::error(Error::terminal("superseded")).after(millis(100));
    issuer.script([superseded(), superseded(), superseded(), superseded()]);
    let (provider, _clock) = crate::support::provider(&issuer);
    let caller = provider.clone();
    let caller = tokio::spawn(async move { caller.token().await });
    for next in ["a", "b", "c", "d"] {
        tokio::time::sleep(millis(50)).await;
        provider.set_long_term_token(LongTermToken::new(next).unwrap());
        tokio::time::sleep(millis(50)).await;
    }
    caller.await.unwrap().unwrap();
    assert_eq!(issuer.exchanged(), ["long-term", "a", "b", "c", "d"]);
}

#[tokio::test(start_paused = true)]
async fn e7_a_server_that_refuses_what_it_has_just_handed_out_is_not_asked_for_more() {
    let (issuer, clock) = (ScriptedIssuer::new(), ManualClock::new());
    issuer.default_reply(Reply::error(Error::terminal("never")));
    let provider = TokenProvider::builder(issuer.clone(), Grant::client_secret("a", "b"))
        .clock(clock.clone())
        .build()
        .unwrap();
    let error = provider.ready().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    for _ in 0..1_500 {
        clock.advance(secs(1)).await;
        tokio::time::sleep(millis(1)).await;
    }
    assert_eq!(issuer.obtained(), 1);
    // With each demand after the pause there is one more try, and nothing is left over.
    provider.token().await.unwrap_err();
    tokio::time::sleep(secs(1)).await;
    assert_eq!(issuer.obtained(), 2);
    assert_eq!(issuer.revoked(), ["lt-1"]);
}

#[tokio::test]
async fn l4_that_asking_again_fails_for_now_is_no_refusal() {
    let server = server(OldLongTermToken::DiesAtOnce).await;
    let store = shared_store(&server).await;
    let provider = on(&store, &server)
        .rotation_policy(quickly().backoff(secs(60), secs(60)))
        .build()
        .unwrap();
    provider.ready().await.unwrap();
    server.script(Endpoint::LongTerm, [Fault::LoseResponse]);
    let _ = provider.rotate().await;
    drop(provider);
    server.fault_always(Endpoint::LongTerm, Fault::status(503));
    let provider = on(&store, &server).build().unwrap();
    let error = provider.ready().await.unwrap_err();
    assert!(error.is_retryable(), "{error:?}");
    assert_eq!(error.kind(), ErrorKind::Server);
}

#[tokio::test(start_paused = true)]
async fn a_superseded_token_that_is_handed_in_again_is_not_revoked() {
    let issuer = ScriptedIssuer::new();
    let clock = ManualClock::new();
    let lt = LongTermToken::builder("lt-a")
        .token_id("lt-a")
        .build()
        .unwrap();
    let provider = TokenProvider::builder(issuer.clone(), lt.clone())
        .clock(clock.clone())
        .rotate_with(Grant::client_secret("a", "b"))
        .build()
        .unwrap();
    provider.ready().await.unwrap();
    provider.rotate().await.unwrap();
    provider.set_long_term_token(lt);
    for _ in 0..20 {
        clock.advance(secs(60)).await;
        tokio::time::sleep(millis(10)).await;
    }
    let in_use = provider.status().long_term.unwrap().token_id;
    assert_eq!(in_use.as_deref(), Some("lt-a"));
    assert!(issuer.revoked().is_empty(), "{:?}", issuer.revoked());
}

#[tokio::test(start_paused = true)]
async fn an_error_that_has_passed_is_not_shown_any_more() {
    let (store, issuer, clock) = (
        SharedMemoryStore::default(),
        ScriptedIssuer::new(),
        ManualClock::new(),
    );
    store.hand_in("lt-a").await;
    let provider = TokenProvider::builder(issuer.clone(), Credential::Stored)
        .clock(clock.clone())
        .store(store.clone())
        .build()
        .unwrap();
    provider.ready().await.unwrap();
    store.refuse_writes(true);
    provider.set_long_term_token(LongTermToken::new("by-hand").unwrap());
    tokio::time::sleep(secs(2)).await;
    store.refuse_writes(false);
    for _ in 0..100 {
        clock.advance(secs(60)).await;
        tokio::time::sleep(millis(10)).await;
    }
    let status = provider.status();
    assert_eq!(store.current().await, "by-hand");
    assert!(status.store_error.is_none());
    assert!(status.long_term.unwrap().last_error.is_none());
}

#[tokio::test(start_paused = true)]
async fn what_renew_brings_during_a_proof_goes_first_where_the_store_refuses() {
    let (store, issuer) = (SharedMemoryStore::default(), ScriptedIssuer::new());
    store.hand_in("lt-a").await;
    let provider = stored(&issuer, store.clone())
        .rotate_with(Grant::client_secret("a", "b"))
        .build()
        .unwrap();
    provider.ready().await.unwrap();
    issuer.default_reply(Reply::token(secs(900)).after(millis(100)));
    let p = provider.clone();
    let h = tokio::spawn(async move { p.rotate().await });
    tokio::time::sleep(millis(50)).await; // the next one is stored, the exchange that proves it is in flight
    store.refuse_writes(true);
    provider.set_long_term_token(
        LongTermToken::builder("by-hand")
            .token_id("by-hand")
            .build()
            .unwrap(),
    );
    tokio::time::sleep(secs(10)).await;
    // Perhaps once more within the grace, since the provider is to revoke the token from which the last one was minted.
    assert!((2..=3).contains(&issuer.exchanges()), "a hot loop");
    store.refuse_writes(false);
    tokio::time::sleep(secs(1)).await;
    provider.refresh().await.unwrap();
    assert_eq!(issuer.exchanged().last().unwrap(), "by-hand");
    tokio::time::sleep(secs(7_200)).await;
    assert_eq!(store.current().await, "by-hand");
    h.abort();
}

#[tokio::test(start_paused = true)]
async fn the_shutdown_writes_what_could_not_be_written_before() {
    let (store, issuer) = (SharedMemoryStore::default(), ScriptedIssuer::new());
    issuer.replace_long_term();
    store.hand_in("lt-0").await;
    let provider = stored(&issuer, store.clone()).build().unwrap();
    store.refuse_writes(true);
    let _ = provider.token().await;
    store.refuse_writes(false);
    provider.shutdown().await;
    assert_eq!(issuer.exchanged(), ["lt-0"]);
    assert_eq!(store.current().await, "lt-1");
}

#[derive(Clone, Debug)]
struct Counting(SharedMemoryStore, Arc<AtomicUsize>);
#[async_trait::async_trait]
impl TokenStore for Counting {
    async fn load(&self) -> Result<Option<Stored>, Error> {
        self.0.load().await
    }
    async fn store(&self, record: &Record, expected: Option<&Version>) -> Result<Version, Error> {
        self.1.fetch_add(1, Ordering::SeqCst);
        self.0.store(record, expected).await
    }
    async fn changed(&self) {
        self.0.changed().await;
    }
    async fn lease(&self, at_most: Duration) -> Result<Option<Lease>, Error> {
        self.0.lease(at_most).await
    }
}

#[tokio::test(start_paused = true)]
async fn l8_two_that_disagree_about_the_next_token_do_not_fight() {
    let store = SharedMemoryStore::default();
    store.hand_in("lt-a").await;
    let (one, other) = (ScriptedIssuer::new(), ScriptedIssuer::new());
    one.default_reply(Reply::token(secs(900)).after(millis(50)));
    other.script([
        Reply::token(secs(900)),
        Reply::error(Error::terminal("lag")).after(millis(60)),
    ]);
    let writes = Arc::new(AtomicUsize::new(0));
    let clock = ManualClock::new();
    let build = |issuer: &ScriptedIssuer, store: SharedMemoryStore| {
        TokenProvider::builder(issuer.clone(), Credential::Stored)
            .clock(clock.clone())
            .store(Counting(store, writes.clone()))
            .rotate_with(Grant::client_secret("a", "b"))
            .build()
            .unwrap()
    };
    let a = build(&one, store.clone());
    let b = build(&other, store.another_hand());
    a.ready().await.unwrap();
    b.ready().await.unwrap();
    tokio::time::sleep(secs(1)).await;
    let r = tokio::time::timeout(secs(3), a.rotate()).await;
    for _ in 0..1_500 {
        clock.advance(secs(1)).await;
        tokio::time::sleep(millis(100)).await;
    }
    r.unwrap().unwrap();
    assert_eq!(store.current().await, "lt-1");
    // The process that takes the lease first revokes it.
    assert_eq!([one.revoked(), other.revoked()].concat(), ["lt-a"]);
    assert!(writes.load(Ordering::SeqCst) < 10);
}

#[tokio::test(start_paused = true)]
async fn what_renew_brings_while_the_next_token_is_made_current_is_not_lost() {
    let (shared_store, issuer) = (SharedMemoryStore::default(), ScriptedIssuer::new());
    shared_store.hand_in("lt-a").await;
    // The write that settles takes a while and fails; renew comes just before.
    #[derive(Clone, Debug)]
    struct Slow(SharedMemoryStore);
    #[async_trait::async_trait]
    impl TokenStore for Slow {
        async fn load(&self) -> Result<Option<Stored>, Error> {
            tokio::time::sleep(millis(100)).await;
            self.0.load().await
        }
        async fn store(
            &self,
            record: &Record,
            expected: Option<&Version>,
        ) -> Result<Version, Error> {
            tokio::time::sleep(millis(100)).await;
            self.0.store(record, expected).await
        }
        async fn lease(&self, at_most: Duration) -> Result<Option<Lease>, Error> {
            self.0.lease(at_most).await
        }
    }
    let provider = stored(&issuer, Slow(shared_store.clone()))
        .rotate_with(Grant::client_secret("a", "b"))
        .build()
        .unwrap();
    provider.ready().await.unwrap();
    // Somebody else's write, that this one is not told of: the next write conflicts.
    let p = provider.clone();
    let h = tokio::spawn(async move { p.rotate().await });
    // ask: reload 100 ms, write of next 100 ms; then the proof, at once; settle writes from 200 on.
    tokio::time::sleep(millis(150)).await;
    let by_hand = LongTermToken::builder("by-hand")
        .token_id("by-hand")
        .build()
        .unwrap();
    provider.set_long_term_token(by_hand);
    shared_store.refuse_writes_after(1);
    tokio::time::sleep(secs(1)).await;
    let in_use = || provider.status().long_term.unwrap().token_id;
    assert_eq!(in_use().as_deref(), Some("by-hand"));
    shared_store.refuse_writes(false);
    tokio::time::sleep(secs(600)).await;
    assert!(h.is_finished());
    provider.refresh().await.unwrap();
    assert_eq!(in_use().as_deref(), Some("by-hand"));
    assert_eq!(shared_store.current().await, "by-hand");
}

#[tokio::test(start_paused = true)]
async fn l1_what_renew_brings_is_rotated_in_its_turn() {
    let issuer = ScriptedIssuer::new();
    issuer.default_reply(Reply::token(secs(86_400)));
    let provider = TokenProvider::builder(issuer.clone(), LongTermToken::new("a").unwrap())
        .clock(ManualClock::new())
        .rotate_with(Grant::client_secret("a", "b"))
        .build()
        .unwrap();
    provider.ready().await.unwrap();
    tokio::time::sleep(secs(1)).await;
    let h = LongTermToken::builder("h")
        .token_id("h")
        .expires_in(secs(86400 * 30))
        .build()
        .unwrap();
    provider.set_long_term_token(h);
    tokio::time::sleep(secs(5)).await;
    let _ = provider.refresh().await;
    let due = provider.status().long_term.unwrap().rotates_in.unwrap();
    assert!(
        due > secs(86_400 * 18) && due < secs(86_400 * 22),
        "{due:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn l11_the_grant_of_rotations_recovers_as_well() {
    let (store, issuer) = (SharedMemoryStore::default(), ScriptedIssuer::new());
    store.hand_in("lt-a").await;
    let provider = stored(&issuer, store.clone())
        .rotate_with(Grant::client_secret("a", "b"))
        .build()
        .unwrap();
    provider.ready().await.unwrap();
    issuer.script([Reply::error(Error::terminal("revoked"))]);
    provider.refresh().await.unwrap();
    assert_eq!(issuer.obtained(), 1);
}

#[tokio::test(start_paused = true)]
async fn e8_what_renew_brings_does_not_wait_for_a_store_that_cannot_be_read() {
    let (store, issuer) = (SharedMemoryStore::default(), ScriptedIssuer::new());
    store.jam(true);
    let provider = stored(&issuer, store.clone()).build().unwrap();
    let _ = provider.ready().await;
    provider.set_long_term_token(LongTermToken::new("h").unwrap());
    tokio::time::sleep(secs(60)).await;
    provider.token().await.unwrap();
    assert_eq!(issuer.exchanged(), ["h"]);
}
