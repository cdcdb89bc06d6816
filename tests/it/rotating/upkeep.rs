//! What is to be done about long-term tokens that nobody waits for.

use std::time::Duration;

use everbearer::testkit::{Reply, ScriptedIssuer};
use everbearer::{Error, ErrorKind, Grant, LongTermToken, RevocationOutcome, TokenProvider};

use super::other_hands::{GRACE, begin, on, rotating};
use crate::support::{millis, secs, settle};

fn down() -> Reply {
    Reply::error(Error::transient("down"))
}

fn has(issuer: &ScriptedIssuer, token: &str) -> bool {
    issuer.revoked().iter().any(|it| it == token)
}

fn in_use(provider: &TokenProvider) -> String {
    provider.status().long_term.unwrap().token_id.unwrap()
}

#[tokio::test(start_paused = true)]
async fn l10_what_is_proven_and_cannot_be_written_is_not_in_use_and_is_proven_once() {
    let (store, issuer) = begin().await;
    let provider = on(&store, &issuer).build().unwrap();
    provider.ready().await.unwrap();
    store.refuse_writes_after(2);
    let began = tokio::time::Instant::now();
    let error = provider.rotate().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Store);
    assert!(began.elapsed() < secs(1), "{:?}", began.elapsed());
    assert_eq!(in_use(&provider), "lt-a");
    tokio::time::sleep(secs(60)).await;
    assert_eq!(in_use(&provider), "lt-a");
    assert_eq!(issuer.exchanged(), ["lt-a", "lt-a", "lt-1"]);
    store.refuse_writes(false);
    tokio::time::sleep(secs(60)).await;
    assert_eq!(in_use(&provider), "lt-1");
    assert_eq!(store.current().await, "lt-1");
    assert_eq!((issuer.rotated(), issuer.exchanges()), (1, 3));
}

#[tokio::test(start_paused = true)]
async fn l10_what_cannot_be_written_as_the_next_one_is_not_exchanged() {
    let (store, issuer) = begin().await;
    let provider = on(&store, &issuer).build().unwrap();
    provider.ready().await.unwrap();
    store.refuse_writes_after(1);
    provider.rotate().await.unwrap_err();
    provider.refresh().await.unwrap();
    tokio::time::sleep(secs(60)).await;
    assert!(!issuer.exchanged().contains(&"lt-1".to_owned()));
    store.refuse_writes(false);
    tokio::time::sleep(secs(60)).await;
    assert_eq!(store.current().await, "lt-1");
}

#[tokio::test(start_paused = true)]
async fn l10_an_obtained_token_is_written_as_soon_as_the_store_takes_it() {
    let (store, issuer) = begin().await;
    issuer.script([Reply::error(Error::terminal("revoked"))]);
    store.refuse_writes(true);
    let provider = on(&store, &issuer)
        .recover_with(Grant::client_secret("id", "secret"))
        .build()
        .unwrap();
    provider.ready().await.unwrap();
    store.refuse_writes(false);
    tokio::time::sleep(secs(60)).await;
    assert_eq!(store.current().await, "lt-1");
    // No look at the store has told that it is well.
    assert!(provider.status().store_error.is_none());
}

#[tokio::test(start_paused = true)]
async fn l2_what_was_begun_is_gone_on_with_at_the_start() {
    let (store, issuer) = begin().await;
    store
        .put_text(r#"{"format":1,"current":{"token":"lt-a"},"asking_with":{"token":"st-0"}}"#)
        .await;
    // What is written is refused by now.
    let refused = Error::terminal("ended").with_code("invalid_token");
    issuer.script_long_term([Reply::error(refused)]);
    let provider = on(&store, &issuer).build().unwrap();
    provider.ready().await.unwrap();
    tokio::time::sleep(secs(1)).await;
    assert_eq!(issuer.rotated(), 1);
    assert_eq!(store.current().await, "lt-1");
}

#[tokio::test(start_paused = true)]
async fn what_has_asked_is_revoked_once_and_at_once() {
    let (store, issuer) = begin().await;
    let provider = on(&store, &issuer).build().unwrap();
    provider.ready().await.unwrap();
    provider.rotate().await.unwrap();
    tokio::time::sleep(secs(1)).await;
    assert_eq!(issuer.revoked(), ["st-2"]);
    provider.shutdown().await;
    let again = issuer.revoked();
    assert_eq!(
        again.iter().filter(|it| *it == "st-2").count(),
        1,
        "{again:?}"
    );
}

/// The server may have ended the token in use when it answered, and only what has asked can ask again.
#[tokio::test(start_paused = true)]
async fn l4_the_shutdown_keeps_what_asks_for_the_next_process() {
    let (store, issuer) = begin().await;
    let provider = on(&store, &issuer).build().unwrap();
    provider.ready().await.unwrap();
    issuer.script_long_term([Reply::hang()]);
    let outcome = rotating(&provider);
    tokio::time::sleep(secs(1)).await;
    let report = provider.shutdown().await;
    assert_eq!(issuer.revoked(), ["st-1"]);
    let kept = report
        .tokens
        .iter()
        .find(|it| it.token_id.as_deref() == Some("st-2"));
    assert!(matches!(kept.unwrap().outcome, RevocationOutcome::Kept));
    assert!(store.text().await.contains("asking_with"));
    assert_eq!(
        outcome.await.unwrap().unwrap_err().kind(),
        ErrorKind::ShutDown
    );
}

#[tokio::test(start_paused = true)]
async fn l7_a_next_token_that_is_refused_is_revoked_with_what_has_asked() {
    let (store, issuer) = begin().await;
    let provider = on(&store, &issuer).build().unwrap();
    provider.ready().await.unwrap();
    let refused = Error::terminal("no good").with_code("invalid_token");
    issuer.script([Reply::token(secs(900)), Reply::error(refused)]);
    provider.rotate().await.unwrap_err();
    // Another process may use it for as long as a short-term token lives.
    tokio::time::sleep(secs(1_000)).await;
    assert!(
        has(&issuer, "lt-1") && has(&issuer, "st-2"),
        "{:?}",
        issuer.revoked()
    );
    assert!(!store.text().await.contains("asking_with"));
}

#[tokio::test(start_paused = true)]
async fn l7_a_next_token_is_not_given_up_for_a_failure_that_passes() {
    let (store, issuer) = begin().await;
    let provider = on(&store, &issuer).build().unwrap();
    provider.ready().await.unwrap();
    issuer.script([Reply::token(secs(900)), down()]);
    provider.rotate().await.unwrap();
    assert_eq!(
        (issuer.rotated(), in_use(&provider)),
        (1, "lt-1".to_owned())
    );
}

#[tokio::test(start_paused = true)]
async fn superseded_tokens_are_revoked_each_in_its_time() {
    let (store, issuer) = begin().await;
    let provider = on(&store, &issuer).build().unwrap();
    provider.rotate().await.unwrap();
    tokio::time::sleep(GRACE / 2).await;
    provider.rotate().await.unwrap();
    // Short-term tokens live as long as the grace, and a call of another process may be in flight for a minute.
    tokio::time::sleep(GRACE / 2 + secs(55)).await;
    assert!(!has(&issuer, "lt-a"));
    tokio::time::sleep(secs(10)).await;
    assert!(has(&issuer, "lt-a") && !has(&issuer, "lt-1"));
    tokio::time::sleep(GRACE / 2).await;
    assert!(has(&issuer, "lt-1"));
}

const DUE: &str = r#"{"format":1,"current":{"token":"lt-a"},
    "retiring":[{"token":"lt-0","token_id":"lt-0"}]}"#;

#[tokio::test(start_paused = true)]
async fn a_revocation_that_fails_is_tried_again_after_a_pause() {
    let (store, issuer) = begin().await;
    store.put_text(DUE).await;
    issuer.script_revocations([down(), down(), down()]);
    let provider = on(&store, &issuer).build().unwrap();
    provider.ready().await.unwrap();
    // Three pauses of at least a tenth of 1, 2 and 4 s.
    tokio::time::sleep(millis(600)).await;
    settle().await;
    assert!(!has(&issuer, "lt-0"), "too many attempts");
    tokio::time::sleep(secs(10)).await;
    assert!(has(&issuer, "lt-0"));
}

#[tokio::test(start_paused = true)]
async fn a_revocation_that_is_refused_is_given_up() {
    let (store, issuer) = begin().await;
    store.put_text(DUE).await;
    issuer.script_revocations([Reply::error(Error::terminal("no").with_code("forbidden"))]);
    let provider = on(&store, &issuer).build().unwrap();
    provider.ready().await.unwrap();
    tokio::time::sleep(secs(60)).await;
    assert!(!has(&issuer, "lt-0"));
    assert!(!store.text().await.contains("retiring"));
}

#[tokio::test(start_paused = true)]
async fn a_given_token_that_is_refused_is_not_tried_again() {
    let (store, issuer) = begin().await;
    issuer.default_reply(Reply::error(Error::terminal("revoked")));
    let given = TokenProvider::builder(issuer.clone(), LongTermToken::new("lt-a").unwrap());
    let provider = given.store(store.blind()).build().unwrap();
    provider.ready().await.unwrap_err();
    assert_eq!(issuer.exchanged(), ["lt-a"]);
}

#[tokio::test(start_paused = true)]
async fn l1_a_given_token_is_due_if_there_is_a_grant() {
    let (_, issuer) = begin().await;
    let life: Duration = secs(30 * 24 * 60 * 60);
    let given = || {
        LongTermToken::builder("given")
            .expires_in(life)
            .build()
            .unwrap()
    };
    let without = TokenProvider::builder(issuer.clone(), given())
        .build()
        .unwrap();
    without.ready().await.unwrap();
    tokio::time::sleep(secs(1)).await;
    assert_eq!(without.status().long_term.unwrap().rotates_in, None);
    let with = TokenProvider::builder(issuer, given())
        .rotate_with(Grant::self_rotation("client"))
        .build()
        .unwrap();
    with.ready().await.unwrap();
    assert!(with.status().long_term.unwrap().rotates_in.is_some());
}

#[tokio::test(start_paused = true)]
async fn what_is_obtained_in_the_place_of_another_forgets_none_that_is_to_be_revoked() {
    let (store, issuer) = begin().await;
    let provider = on(&store, &issuer)
        .recover_with(Grant::client_secret("id", "secret"))
        .build()
        .unwrap();
    provider.rotate().await.unwrap();
    issuer.script([Reply::error(Error::terminal("revoked"))]);
    provider.refresh().await.unwrap();
    assert_eq!(in_use(&provider), "lt-2");
    tokio::time::sleep(2 * GRACE).await;
    assert!(has(&issuer, "lt-a"));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_hangs_is_given_up() {
    let (store, issuer) = begin().await;
    let provider = on(&store, &issuer).build().unwrap();
    provider.ready().await.unwrap();
    issuer.script_long_term([Reply::hang()]);
    let _ = provider.rotate().await;
    tokio::time::sleep(secs(60)).await;
    assert_eq!(in_use(&provider), "lt-1");
    store.slow_down(secs(1_000));
    let _ = provider.rotate().await;
    store.slow_down(secs(0));
    tokio::time::sleep(secs(120)).await;
    assert_eq!(issuer.rotated(), 2);
    assert_eq!(in_use(&provider), "lt-2");
}

/// Also when something else about the long-term token is just being seen to.
#[tokio::test(start_paused = true)]
async fn a_rotation_that_is_asked_for_during_an_errand_follows_at_once() {
    let (store, issuer) = begin().await;
    store.put_text(DUE).await;
    issuer.script_revocations([Reply::done().after(millis(100))]);
    let provider = on(&store, &issuer).build().unwrap();
    provider.ready().await.unwrap();
    settle().await;
    let began = tokio::time::Instant::now();
    provider.rotate().await.unwrap();
    assert!(began.elapsed() < millis(500), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_demand_survives_a_failure() {
    let (store, issuer) = begin().await;
    issuer.script_long_term([down(), down()]);
    let provider = on(&store, &issuer).build().unwrap();
    provider.ready().await.unwrap();
    issuer.script([down()]);
    provider.rotate().await.unwrap_err();
    tokio::time::sleep(secs(60)).await;
    assert_eq!(in_use(&provider), "lt-1");
}
