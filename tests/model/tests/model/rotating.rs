//! The rotation of the long-term token, amid everything else. That there is one at a time, and that
//! none is made from a superseded token, is minded by the [`Issuer`].

use std::collections::BTreeSet;

use everbearer::{
    Error, ErrorKind, RevocationOutcome, Grant, LongTermToken, MemoryStore, RotationPolicy, ShutdownReport,
    TokenProvider, TokenStore,
};
use tokio::task::yield_now;
use tokio::time::Duration;

use crate::check::{check, check_all};
use crate::issuer::Issuer;
use crate::support::{
    JoinHandle, Newest, abandon, all, builder, let_retries_come, linger, number, pause, spawn,
};

type Rotating = JoinHandle<Result<(), Error>>;

/// Superseded tokens have no grace: there is no time in which they could be of use.
fn on(store: &MemoryStore, issuer: &Issuer) -> TokenProvider {
    let soon = Duration::from_millis(10);
    builder(issuer)
        .store(store.clone())
        .rotate_with(Grant::self_rotation("client"))
        .rotation_policy(
            RotationPolicy::default()
                .grace(Duration::ZERO)
                .backoff(soon, soon),
        )
        .build()
        .expect("its policies make sense")
}

fn issuers() -> [Issuer; 2] {
    let deadly = Issuer::default();
    deadly.book().old_die_at_once = true;
    [Issuer::default(), deadly]
}

fn rotate(provider: &TokenProvider) -> Rotating {
    let provider = provider.clone();
    spawn(async move { provider.rotate().await })
}

fn refresh(provider: &TokenProvider, newest: &Newest) -> JoinHandle<()> {
    let (provider, newest) = (provider.clone(), newest.clone());
    spawn(async move {
        let bound = newest.so_far();
        let token = provider
            .refresh()
            .await
            .expect("there is always a good one");
        newest.saw(number(&token), bound);
    })
}

fn read(provider: &TokenProvider, newest: &Newest) -> JoinHandle<()> {
    let (provider, newest) = (provider.clone(), newest.clone());
    spawn(async move {
        for _ in 0..3 {
            let bound = newest.so_far();
            let token = provider.token().await.expect("there is always a good one");
            newest.saw(number(&token), bound);
            pause().await;
        }
    })
}

async fn all_rotated(rotating: impl IntoIterator<Item = Rotating>) {
    for outcome in all(rotating).await {
        outcome.expect("the issuer and the store are well");
    }
}

/// What the store holds, as text.
async fn text(store: &MemoryStore) -> String {
    let stored = store.load().await.expect("it is in memory");
    stored.map_or(String::new(), |stored| {
        stored.record.encode().expose().to_owned()
    })
}

async fn current(store: &MemoryStore) -> String {
    let stored = store.load().await.expect("it is in memory");
    let record = stored.expect("something was stored").record;
    record.current().expose().to_owned()
}

/// Waits until nothing is left of a rotation but its outcome, and superseded tokens that are revoked when what was minted
/// from them has ended: no time passes here.
async fn comes_to_rest(store: &MemoryStore, issuer: &Issuer) {
    loop {
        let text = text(store).await;
        let is_rotating = text.contains("asking_with") || text.contains("next");
        let is_accounted_for = |token: &String| text.contains(&format!("\"{token}\""));
        let is_at_rest = {
            let book = issuer.book();
            let mut alive = book.handed_out.difference(&book.dead);
            !is_rotating && alive.all(is_accounted_for)
        };
        if is_at_rest {
            return;
        }
        yield_now().await;
    }
}

/// No long-term token that anybody was told of is lost.
async fn assert_none_lost(store: &MemoryStore, issuer: &Issuer, report: &ShutdownReport) {
    let text = text(store).await;
    let book = issuer.book();
    for token in book.handed_out.difference(&book.dead) {
        let is_stored = text.contains(&format!("\"{token}\""));
        let id = Some(token.clone());
        let is_reported = report.tokens.iter().any(|it| it.token_id == id);
        assert!(
            is_stored || is_reported,
            "{token} is lost: {text} {report:?}"
        );
    }
}

async fn rotations_beside_all_else(issuer: Issuer) {
    let (store, newest) = (MemoryStore::new(), Newest::default());
    let provider = on(&store, &issuer);
    let rotating = [0, 1].map(|_| rotate(&provider));
    let others = [
        refresh(&provider, &newest),
        read(&provider, &newest),
        read(&provider, &newest),
    ];
    // While the next token is on its way, another one is in use, if the server still accepts it.
    issuer.was_asked().await;
    let amid = refresh(&provider, &newest);
    all_rotated(rotating).await;
    all(others).await;
    all([amid]).await;
    let asked = issuer.book().long_term_minted;
    assert!((1..=2).contains(&asked), "{asked}");
    comes_to_rest(&store, &issuer).await;
    assert_eq!(current(&store).await, format!("lt-{asked}"));
}

#[test]
fn l6_rotations_beside_refreshes_and_readers() {
    check(async || rotations_beside_all_else(issuers().into_iter().next().expect("two")).await);
}

#[test]
fn l6_rotations_that_kill_the_old_token_beside_refreshes_and_readers() {
    check(async || rotations_beside_all_else(issuers().into_iter().last().expect("two")).await);
}

async fn two_on_one_store(issuer: Issuer) {
    let store = MemoryStore::new();
    let providers = [on(&store, &issuer), on(&store, &issuer.another_window())];
    let_retries_come();
    let rotating = [0, 1].map(|nth| rotate(&providers[nth]));
    all_rotated(rotating).await;
    for provider in &providers {
        provider.refresh().await.expect("it has followed");
    }
    comes_to_rest(&store, &issuer).await;
    let asked = issuer.book().long_term_minted;
    // One of them may have come when the other one's was over.
    assert!((1..=2).contains(&asked), "{asked}");
}

#[test]
fn l8_two_on_one_store_rotate_one_after_the_other() {
    check(async || two_on_one_store(issuers().into_iter().next().expect("two")).await);
}

#[test]
fn l8_two_on_one_store_follow_each_other_also_when_the_old_token_dies_at_once() {
    check(async || two_on_one_store(issuers().into_iter().last().expect("two")).await);
}

/// The lease of a driver that ends with its runtime is free for the other provider.
#[test]
fn l8_two_on_one_store_rotate_although_the_runtime_ends_while_one_holds_the_lease() {
    check(async || {
        let issuer = issuers().into_iter().last().expect("two");
        let store = MemoryStore::new();
        let providers = [on(&store, &issuer), on(&store, &issuer.another_window())];
        let_retries_come();
        let rotating = [0, 1].map(|nth| rotate(&providers[nth]));
        linger();
        tokio::runtime::end();
        all_rotated(rotating).await;
        for provider in &providers {
            provider.refresh().await.expect("it has followed");
        }
        comes_to_rest(&store, &issuer).await;
    });
}

async fn the_runtime_ends_amid_a_rotation(issuer: Issuer) {
    let store = MemoryStore::new();
    let provider = on(&store, &issuer);
    provider.token().await.expect("the issuer is well");
    let rotating = [0, 1].map(|_| rotate(&provider));
    for _ in 0..2 {
        linger();
        tokio::runtime::end();
    }
    all_rotated(rotating).await;
    provider
        .refresh()
        .await
        .expect("there is always a good one");
    comes_to_rest(&store, &issuer).await;
}

#[test]
fn f11_when_the_runtime_ends_amid_a_rotation_the_next_caller_goes_on() {
    check(async || {
        the_runtime_ends_amid_a_rotation(issuers().into_iter().next().expect("two")).await
    });
}

#[test]
fn f11_so_it_does_when_the_old_token_dies_at_once() {
    check(async || {
        the_runtime_ends_amid_a_rotation(issuers().into_iter().last().expect("two")).await
    });
}

#[test]
fn f3_a_rotation_goes_on_when_whoever_asked_for_it_is_gone() {
    check(async || {
        let (issuer, store) = (Issuer::default(), MemoryStore::new());
        let provider = on(&store, &issuer);
        provider.token().await.expect("the issuer is well");
        let gone = [0, 1].map(|_| {
            let provider = provider.clone();
            spawn(async move { abandon(provider.rotate()).await })
        });
        all(gone).await;
        all_rotated([rotate(&provider)]).await;
        comes_to_rest(&store, &issuer).await;
    });
}

#[test]
fn a_next_token_that_is_no_good_costs_one_attempt() {
    check(async || {
        let (issuer, store) = (Issuer::default(), MemoryStore::new());
        issuer.book().duds = 1;
        let (provider, newest) = (on(&store, &issuer), Newest::default());
        let_retries_come();
        let rotating = rotate(&provider);
        let others = [refresh(&provider, &newest), read(&provider, &newest)];
        if let Err(error) = all([rotating]).await.remove(0) {
            assert_eq!(error.code(), Some("invalid_token"));
        }
        all(others).await;
        // It is tried again without being asked.
        comes_to_rest(&store, &issuer).await;
        assert_eq!(current(&store).await, "lt-2");
    });
}

/// A rotation, a refresh and the end, at the same time.
async fn shut_down_amid_a_rotation(provider: TokenProvider, store: MemoryStore, issuer: Issuer) {
    let rotating = [0, 1].map(|_| rotate(&provider));
    let refreshing = spawn({
        let provider = provider.clone();
        async move { provider.refresh().await.map(drop) }
    });
    linger();
    let report = provider.shutdown().await;
    for outcome in all(rotating.into_iter().chain([refreshing])).await {
        if let Err(error) = outcome {
            assert_eq!(error.kind(), ErrorKind::ShutDown, "{error}");
        }
    }
    tokio::runtime::all_ended().await;
    assert!(report.all_revoked(), "{report:?}");
    assert_none_lost(&store, &issuer, &report).await;
    let book = issuer.book();
    let fates: BTreeSet<_> = report.tokens.iter().map(|it| it.token_id.clone()).collect();
    for minted in &book.minted {
        let is_there = book.revoked.contains(minted) || fates.contains(&Some(minted.clone()));
        assert!(is_there, "{minted} is lost: {report:?}");
    }
    for token in &report.tokens {
        let is_revoked = token
            .token_id
            .as_ref()
            .is_some_and(|id| book.revoked.contains(id));
        assert!(
            is_revoked || !matches!(token.outcome, RevocationOutcome::Revoked),
            "{report:?}"
        );
    }
}

#[test]
fn d1_a_shutdown_amid_a_rotation_leaves_the_rest_in_the_store() {
    check(async || {
        let (issuer, store) = (Issuer::default(), MemoryStore::new());
        shut_down_amid_a_rotation(on(&store, &issuer), store, issuer).await;
    });
}

#[test]
fn d1_without_a_store_a_shutdown_amid_a_rotation_leaves_one_token() {
    check(async || {
        let issuer = Issuer::default();
        let provider = builder(&issuer)
            .rotate_with(Grant::self_rotation("client"))
            .build()
            .expect("its policies make sense");
        shut_down_amid_a_rotation(provider, MemoryStore::new(), issuer.clone()).await;
        let book = issuer.book();
        assert!(
            book.handed_out.difference(&book.dead).count() <= 1,
            "{book:?}"
        );
    });
}

#[test]
fn d1_one_rotation_and_a_shutdown_in_all_interleavings() {
    check_all(2, async || {
        let (issuer, store) = (Issuer::default(), MemoryStore::new());
        let provider = on(&store, &issuer);
        let rotating = rotate(&provider);
        let report = provider.shutdown().await;
        if let Err(error) = all([rotating]).await.remove(0) {
            assert_eq!(error.kind(), ErrorKind::ShutDown, "{error}");
        }
        tokio::runtime::all_ended().await;
        assert_none_lost(&store, &issuer, &report).await;
    });
}

#[test]
fn what_is_handed_in_during_a_rotation_wins_and_is_not_revoked() {
    check(async || {
        let (issuer, store) = (Issuer::default(), MemoryStore::new());
        let provider = on(&store, &issuer);
        let rotating = rotate(&provider);
        issuer.was_asked().await;
        linger();
        let handed_in = LongTermToken::builder("by-hand")
            .token_id("by-hand")
            .build();
        provider.set_long_term_token(handed_in.expect("it is visible ASCII"));
        provider
            .refresh()
            .await
            .expect("there is always a good one");
        all_rotated([rotating]).await;
        loop {
            let text = text(&store).await;
            let is_rotating = text.contains("asking_with") || text.contains("next");
            if !is_rotating && text.contains("by-hand") {
                break;
            }
            yield_now().await;
        }
        assert_eq!(current(&store).await, "by-hand");
        let long_term = provider.status().long_term.expect("there is one");
        assert_eq!(long_term.token_id.as_deref(), Some("by-hand"));
        assert!(!issuer.book().revoked.contains(&"by-hand".to_owned()));
    });
}
