//! Tokens that another process stores, or a caller sets, while a rotation is in flight.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use everbearer::testkit::{ManualClock, Reply, ScriptedIssuer};
use everbearer::{
    Credential, Error, ErrorKind, ExchangeResponse, Grant, Lease, LongTermToken, MemoryStore,
    Record, Revoked, RotationPolicy, ShortTermToken, ShutdownPolicy, Stored, TokenIssuer,
    TokenProvider, TokenProviderBuilder, TokenRef, TokenStore, Version,
};

use crate::shared_memory_store::SharedMemoryStore;
use crate::support::{millis, secs, settle};

pub(super) const GRACE: Duration = secs(600);

/// On a store that begins with `lt-a`; it is told of no change there. The exchange that the
/// rotation asks with is `st-2`, if it is the first thing after the start.
pub(super) fn on(store: &SharedMemoryStore, issuer: &ScriptedIssuer) -> TokenProviderBuilder {
    with(store.blind(), issuer.clone())
}

fn with(store: impl TokenStore, issuer: impl TokenIssuer) -> TokenProviderBuilder {
    TokenProvider::builder(issuer, Credential::Stored)
        .clock(ManualClock::new())
        .store(store)
        .rotate_with(Grant::self_rotation("client"))
        .rotation_policy(
            RotationPolicy::default()
                .backoff(secs(1), secs(4))
                .grace(GRACE),
        )
}

pub(super) async fn begin() -> (SharedMemoryStore, ScriptedIssuer) {
    let (store, issuer) = (SharedMemoryStore::default(), ScriptedIssuer::new());
    issuer.default_reply(Reply::token(GRACE));
    store.hand_in("lt-a").await;
    (store, issuer)
}

pub(super) fn token(name: &str) -> LongTermToken {
    LongTermToken::builder(name).token_id(name).build().unwrap()
}

pub(super) fn rotating(provider: &TokenProvider) -> tokio::task::JoinHandle<Result<(), Error>> {
    let provider = provider.clone();
    tokio::spawn(async move { provider.rotate().await })
}

fn slowly() -> Reply {
    Reply::token_without_end().after(millis(100))
}

fn in_use(provider: &TokenProvider) -> String {
    provider.status().long_term.unwrap().token_id.unwrap()
}

fn has(tokens: &[String], token: &str) -> bool {
    tokens.iter().any(|it| it == token)
}

/// Another token is stored while the next one is asked for: the next one is revoked, and the one before is for
/// the process that stored it to revoke.
#[tokio::test(start_paused = true)]
async fn l8_a_conflict_over_another_token_loses_none() {
    let (store, issuer) = begin().await;
    issuer.script_long_term([slowly()]);
    let provider = on(&store, &issuer).build().unwrap();
    provider.ready().await.unwrap();
    let outcome = rotating(&provider);
    tokio::time::sleep(millis(50)).await;
    store.hand_in("lt-b").await;
    outcome.await.unwrap().unwrap();
    assert_eq!(store.current().await, "lt-b");
    provider.refresh().await.unwrap();
    assert_eq!(issuer.exchanged().last().unwrap(), "lt-b");
    tokio::time::sleep(GRACE - secs(60)).await;
    let revoked = issuer.revoked();
    assert!(!has(&revoked, "lt-1"), "another process may still use it");
    tokio::time::sleep(secs(180)).await;
    let revoked = issuer.revoked();
    assert!(has(&revoked, "lt-1"), "{revoked:?}");
    assert!(
        !has(&revoked, "lt-a") && !has(&revoked, "lt-b"),
        "{revoked:?}"
    );
    assert!(!store.text().await.contains("retiring"));
}

/// The same token is stored again while the next one is asked for.
#[tokio::test(start_paused = true)]
async fn l8_a_conflict_over_the_same_token_keeps_what_was_asked_for() {
    let (store, issuer) = begin().await;
    issuer.script_long_term([slowly()]);
    let provider = on(&store, &issuer).build().unwrap();
    provider.ready().await.unwrap();
    let outcome = rotating(&provider);
    tokio::time::sleep(millis(50)).await;
    store.hand_in("lt-a").await;
    outcome.await.unwrap().unwrap();
    assert_eq!(store.current().await, "lt-1");
    assert_eq!(issuer.rotated(), 1);
}

/// It is stored again before the record says with what the next one is asked for.
#[tokio::test(start_paused = true)]
async fn l8_a_conflict_over_the_same_token_keeps_what_it_is_asked_for_with() {
    let (store, issuer) = begin().await;
    let provider = on(&store, &issuer).build().unwrap();
    provider.ready().await.unwrap();
    issuer.script([Reply::token(secs(900)).after(millis(100))]);
    issuer.script_long_term([slowly()]);
    let outcome = rotating(&provider);
    tokio::time::sleep(millis(50)).await;
    store.hand_in("lt-a").await;
    tokio::time::sleep(millis(100)).await;
    let text = store.text().await;
    assert!(
        text.contains("asking_with") && text.contains("st-2"),
        "{text}"
    );
    outcome.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn l8_a_superseded_token_that_is_put_back_does_not_come_back() {
    let (store, issuer) = begin().await;
    let provider = with(store.clone(), issuer.clone()).build().unwrap();
    provider.rotate().await.unwrap();
    store.hand_in("lt-a").await;
    tokio::time::sleep(secs(5)).await;
    assert_eq!(store.current().await, "lt-1");
    provider.refresh().await.unwrap();
    assert_eq!(issuer.exchanged().last().unwrap(), "lt-1");
}

#[tokio::test(start_paused = true)]
async fn what_is_handed_in_does_not_give_way_to_what_is_stored_meanwhile() {
    let (store, issuer) = begin().await;
    let provider = with(store.clone(), issuer.clone()).build().unwrap();
    provider.ready().await.unwrap();
    store.refuse_writes(true);
    provider.set_long_term_token(token("by-hand"));
    tokio::time::sleep(secs(1)).await;
    store.hand_in("lt-b").await;
    tokio::time::sleep(secs(2)).await;
    assert_eq!(in_use(&provider), "by-hand");
    store.refuse_writes(false);
    tokio::time::sleep(secs(60)).await;
    assert_eq!(store.current().await, "by-hand");
    // But then it is one like all others.
    store.hand_in("lt-c").await;
    tokio::time::sleep(secs(2)).await;
    assert_eq!(in_use(&provider), "lt-c");
}

#[tokio::test(start_paused = true)]
async fn what_is_handed_in_takes_nothing_from_what_is_to_be_revoked() {
    let (store, issuer) = begin().await;
    let provider = on(&store, &issuer).build().unwrap();
    provider.rotate().await.unwrap();
    provider.set_long_term_token(token("by-hand"));
    tokio::time::sleep(secs(1)).await;
    assert_eq!(store.current().await, "by-hand");
    tokio::time::sleep(2 * GRACE).await;
    let revoked = issuer.revoked();
    assert!(has(&revoked, "lt-a"), "{revoked:?}");
    assert!(
        !has(&revoked, "lt-1") && !has(&revoked, "by-hand"),
        "{revoked:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_handed_in_while_the_next_one_is_proven_wins() {
    let (store, issuer) = begin().await;
    let provider = on(&store, &issuer).build().unwrap();
    provider.ready().await.unwrap();
    let proof = Reply::token(secs(900)).after(millis(100));
    issuer.script([Reply::token(secs(900)), proof]);
    let outcome = rotating(&provider);
    tokio::time::sleep(millis(50)).await;
    provider.set_long_term_token(token("by-hand"));
    outcome.await.unwrap().unwrap();
    tokio::time::sleep(2 * GRACE).await;
    assert_eq!(store.current().await, "by-hand");
    assert_eq!(in_use(&provider), "by-hand");
    let revoked = issuer.revoked();
    assert!(has(&revoked, "lt-1"), "{revoked:?}");
    assert!(!has(&revoked, "by-hand"), "{revoked:?}");
}

/// At any moment of a rotation: it wins, and what the rotation brings is revoked, or not requested at all.
#[tokio::test(start_paused = true)]
async fn what_is_handed_in_while_the_next_one_is_asked_for_wins() {
    // During the exchange that asks, and during the question itself.
    for at in [50, 150] {
        let (store, issuer) = begin().await;
        let provider = on(&store, &issuer).build().unwrap();
        provider.ready().await.unwrap();
        issuer.script([Reply::token(secs(900)).after(millis(100))]);
        issuer.script_long_term([slowly()]);
        let outcome = rotating(&provider);
        tokio::time::sleep(millis(at)).await;
        provider.set_long_term_token(token("by-hand"));
        outcome.await.unwrap().unwrap();
        tokio::time::sleep(2 * GRACE).await;
        assert_eq!(store.current().await, "by-hand", "at {at} ms");
        assert_eq!(in_use(&provider), "by-hand", "at {at} ms");
        let revoked = issuer.revoked();
        let is_requested = issuer.rotated() > 0;
        assert_eq!(is_requested, at == 150);
        assert_eq!(
            has(&revoked, "lt-1"),
            is_requested,
            "at {at} ms: {revoked:?}"
        );
        assert!(has(&revoked, "st-2"), "at {at} ms: {revoked:?}");
        assert!(!has(&revoked, "by-hand"), "at {at} ms: {revoked:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_handed_in_during_a_write_is_used_from_then_on() {
    let (store, issuer) = begin().await;
    let provider = on(&store, &issuer).build().unwrap();
    provider.ready().await.unwrap();
    store.slow_down(millis(100));
    let outcome = rotating(&provider);
    tokio::time::sleep(millis(50)).await;
    provider.set_long_term_token(token("by-hand"));
    for _ in 0..100 {
        tokio::time::sleep(millis(10)).await;
        assert_eq!(in_use(&provider), "by-hand");
    }
    outcome.await.unwrap().unwrap();
    assert_eq!(store.current().await, "by-hand");
}

/// Hands a token in the moment that the exchange with `lt-1` comes back, and has the store fail.
#[derive(Clone, Debug)]
struct HandingIn {
    issuer: ScriptedIssuer,
    store: SharedMemoryStore,
    provider: Arc<Mutex<Option<TokenProvider>>>,
}

#[async_trait::async_trait]
impl TokenIssuer for HandingIn {
    async fn exchange(
        &self,
        held: Option<&LongTermToken>,
        scopes: &[String],
    ) -> Result<ExchangeResponse, Error> {
        let exchanged = self.issuer.exchange(held, scopes).await;
        if held.is_some_and(|held| held.expose() == "lt-1")
            && let Some(provider) = self.provider.lock().unwrap().take()
        {
            self.store.refuse_writes(true);
            provider.set_long_term_token(token("by-hand"));
        }
        exchanged
    }

    async fn obtain(
        &self,
        grant: &Grant,
        authority: Option<&ShortTermToken>,
    ) -> Result<LongTermToken, Error> {
        self.issuer.obtain(grant, authority).await
    }

    async fn revoke(
        &self,
        token: TokenRef<'_>,
        authority: Option<TokenRef<'_>>,
    ) -> Result<Revoked, Error> {
        self.issuer.revoke(token, authority).await
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_handed_in_is_not_lost_with_a_write_that_fails() {
    let (store, issuer) = begin().await;
    let handing_in = HandingIn {
        issuer: issuer.clone(),
        store: store.clone(),
        provider: Arc::default(),
    };
    let provider = with(store.blind(), handing_in.clone()).build().unwrap();
    provider.ready().await.unwrap();
    *handing_in.provider.lock().unwrap() = Some(provider.clone());
    let _ = provider.rotate().await;
    tokio::time::sleep(secs(1)).await;
    assert_eq!(in_use(&provider), "by-hand");
    store.refuse_writes(false);
    tokio::time::sleep(secs(60)).await;
    assert_eq!(store.current().await, "by-hand");
    assert_eq!(in_use(&provider), "by-hand");
    tokio::time::sleep(2 * GRACE).await;
    assert!(!has(&issuer.revoked(), "by-hand"));
}

#[tokio::test(start_paused = true)]
async fn l1_what_is_handed_in_is_due_by_its_own_dates() {
    const DAY: Duration = secs(24 * 60 * 60);
    let (store, issuer) = begin().await;
    let provider = on(&store, &issuer).build().unwrap();
    provider.ready().await.unwrap();
    assert_eq!(provider.status().long_term.unwrap().rotates_in, None);
    let handed_in = LongTermToken::builder("by-hand").expires_in(30 * DAY);
    provider.set_long_term_token(handed_in.build().unwrap());
    let due = provider.status().long_term.unwrap().rotates_in.unwrap();
    assert!(due > 15 * DAY && due < 25 * DAY, "{due:?}");
    // And it is not rotated again for what was asked of the one before.
    tokio::time::sleep(DAY).await;
    assert_eq!(issuer.rotated(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_was_obtained_in_vain_is_revoked() {
    let (store, issuer) = begin().await;
    issuer.script([Reply::error(Error::terminal("revoked"))]);
    issuer.script_long_term([slowly()]);
    let provider = on(&store, &issuer)
        .recover_with(Grant::client_secret("id", "secret"))
        .build()
        .unwrap();
    tokio::time::sleep(millis(50)).await;
    provider.set_long_term_token(token("by-hand"));
    provider.token().await.unwrap();
    tokio::time::sleep(secs(1)).await;
    assert_eq!(store.current().await, "by-hand");
    assert_eq!(issuer.exchanged(), ["lt-a", "by-hand"]);
    let revoked = issuer.revoked();
    assert!(has(&revoked, "lt-1"), "{revoked:?}");
    assert!(!has(&revoked, "by-hand"), "{revoked:?}");
}

/// A store that can be emptied.
#[derive(Clone, Debug, Default)]
struct Drawer(Arc<Mutex<MemoryStore>>);

impl Drawer {
    fn store(&self) -> MemoryStore {
        self.0.lock().unwrap().clone()
    }

    fn empty(&self) {
        *self.0.lock().unwrap() = MemoryStore::new();
    }
}

#[async_trait::async_trait]
impl TokenStore for Drawer {
    async fn load(&self) -> Result<Option<Stored>, Error> {
        self.store().load().await
    }

    async fn store(&self, record: &Record, expected: Option<&Version>) -> Result<Version, Error> {
        self.store().store(record, expected).await
    }

    async fn lease(&self, at_most: Duration) -> Result<Option<Lease>, Error> {
        self.store().lease(at_most).await
    }
}

#[tokio::test(start_paused = true)]
async fn l9_a_store_that_is_emptied_is_filled_again() {
    let (drawer, issuer) = (Drawer::default(), ScriptedIssuer::new());
    let record = Record::from(token("lt-a"));
    drawer.store().store(&record, None).await.unwrap();
    let provider = with(drawer.clone(), issuer.clone()).build().unwrap();
    provider.ready().await.unwrap();
    // Seen by the look under the lease.
    drawer.empty();
    provider.rotate().await.unwrap();
    let stored = drawer.store().load().await.unwrap().unwrap();
    assert_eq!(stored.record.current().expose(), "lt-1");
    // Seen by the write.
    drawer.empty();
    provider.set_long_term_token(token("by-hand"));
    tokio::time::sleep(secs(60)).await;
    let stored = drawer.store().load().await.unwrap().unwrap();
    assert_eq!(stored.record.current().expose(), "by-hand");
}

/// A next token that somebody else has put there is not proven by what has proven another one.
#[tokio::test(start_paused = true)]
async fn l7_a_proof_is_for_one_token_only() {
    let (store, issuer) = begin().await;
    let provider = on(&store, &issuer).build().unwrap();
    provider.ready().await.unwrap();
    store.refuse_writes_after(2);
    let error = provider.rotate().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Store);
    store
        .put_text(
            r#"{"format":1,"current":{"token":"lt-a"},"next":{"token":"lt-9","token_id":"lt-9"}}"#,
        )
        .await;
    issuer.script([Reply::error(Error::terminal("no")), Reply::token(secs(900))]);
    store.refuse_writes(false);
    // Another process may use it for as long as a short-term token lives.
    tokio::time::sleep(secs(1_000)).await;
    assert_ne!(store.current().await, "lt-9");
    assert!(has(&issuer.revoked(), "lt-9"));
}

/// Whoever waits for a rotation is told of the end, however far it has got.
#[tokio::test(start_paused = true)]
async fn d1_whoever_waits_for_a_rotation_is_told_of_the_shutdown() {
    for at in [0, 50, 150, 250] {
        let (store, issuer) = begin().await;
        let provider = on(&store, &issuer)
            .shutdown_policy(ShutdownPolicy::default().deadline(secs(5)))
            .build()
            .unwrap();
        provider.ready().await.unwrap();
        issuer.script([0, 1].map(|_| Reply::token(secs(900)).after(millis(100))));
        issuer.script_long_term([slowly()]);
        let outcome = rotating(&provider);
        settle().await;
        tokio::time::sleep(millis(at)).await;
        let began = tokio::time::Instant::now();
        let report = provider.shutdown().await;
        let outcome = outcome.await.unwrap();
        assert!(began.elapsed() < secs(1), "at {at} ms: {outcome:?}");
        assert!(report.all_revoked(), "at {at} ms: {report:?}");
    }
}

#[test]
fn f11_whoever_waits_for_a_rotation_goes_on_when_the_drivers_runtime_ends() {
    let runtime = || {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap()
    };
    let (theirs, ours) = (runtime(), runtime());
    let (issuer, provider) = theirs.block_on(async {
        let (store, issuer) = begin().await;
        let provider = on(&store, &issuer).build().unwrap();
        provider.ready().await.unwrap();
        (issuer, provider)
    });
    issuer.script_long_term([Reply::hang()]);
    let began = std::time::Instant::now();
    let outcome = ours.spawn({
        let provider = provider.clone();
        async move { provider.rotate().await }
    });
    while !issuer_was_asked(&provider, &issuer) {
        std::thread::sleep(millis(5));
    }
    std::thread::sleep(millis(100)); // and the question itself hangs by now
    theirs.shutdown_background();
    ours.block_on(outcome).unwrap().unwrap();
    assert!(began.elapsed() < secs(5), "{:?}", began.elapsed());
    assert_eq!(in_use(&provider), "lt-1");
}

/// What asks has been exchanged, and nothing has come of it.
fn issuer_was_asked(provider: &TokenProvider, issuer: &ScriptedIssuer) -> bool {
    issuer.exchanges() == 2 && in_use(provider) == "lt-a"
}

#[tokio::test(start_paused = true)]
async fn a_rotation_that_is_asked_for_right_after_is_not_forgotten() {
    let (store, issuer) = begin().await;
    let provider = on(&store, &issuer).build().unwrap();
    provider.ready().await.unwrap();
    provider.set_long_term_token(token("by-hand"));
    provider.rotate().await.unwrap();
    assert_eq!(issuer.rotated(), 1);
    assert_eq!(in_use(&provider), "lt-1");
}
