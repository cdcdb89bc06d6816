//! When refreshing fails.

use everbearer::testkit::{Answer, ScriptedIssuer};
use everbearer::{Error, ErrorKind, State};

use crate::support::{builder, millis, provider, secs};

#[tokio::test(start_paused = true)]
async fn e1_in_the_window_a_failure_is_retried_and_the_expiry_stays() {
    let issuer = ScriptedIssuer::new();
    issuer.script([
        Answer::token(secs(900)),
        Answer::error(Error::transient("down")),
        Answer::error(Error::transient("down")),
    ]);
    let (provider, clock) = provider(&issuer);
    provider.token().await.unwrap();
    let expires_at = provider.status().expires_at;
    let due = provider.status().next_exchange_in.unwrap();
    clock.advance(due + millis(10)).await;
    assert_eq!(issuer.exchanges(), 2);
    let status = provider.status();
    assert_eq!(
        (status.state, status.consecutive_failures),
        (State::Failing, 1)
    );
    assert_eq!(status.expires_at, expires_at);
    assert_eq!(provider.token().await.unwrap().expose(), "st-1");
    clock.advance(secs(10)).await;
    assert_eq!(provider.token().await.unwrap().expose(), "st-2");
    assert_eq!(issuer.exchanges(), 4);
}

#[tokio::test(start_paused = true)]
async fn e2_a_background_failure_never_replaces_a_good_token() {
    for error in [Error::transient("down"), Error::terminal("revoked")] {
        let issuer = ScriptedIssuer::new();
        issuer.script([Answer::token(secs(900))]);
        issuer.otherwise(Answer::error(error));
        let (provider, clock) = provider(&issuer);
        provider.token().await.unwrap();
        for _ in 0..89 {
            clock.advance(secs(10)).await;
            assert_eq!(provider.token().await.unwrap().expose(), "st-1");
        }
        clock.advance(secs(10)).await;
        assert!(provider.current().is_none(), "but not past its end");
        assert!(provider.token().await.is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn e3_during_backoff_calls_cause_no_exchange() {
    let issuer = ScriptedIssuer::new();
    issuer.script([Answer::token(secs(900))]);
    let failure = Error::transient("busy").with_retry_after(secs(60));
    issuer.otherwise(Answer::error(failure));
    let (provider, clock) = provider(&issuer);
    provider.token().await.unwrap();
    let due = provider.status().next_exchange_in.unwrap();
    clock.advance(due + millis(10)).await;
    assert_eq!(issuer.exchanges(), 2);
    for _ in 0..1_000 {
        provider.token().await.unwrap();
    }
    assert_eq!(issuer.exchanges(), 2);
}

#[tokio::test(start_paused = true)]
async fn e6_failing_until_the_end_gives_a_typed_error_with_its_cause() {
    let issuer = ScriptedIssuer::new();
    issuer.script([Answer::token(secs(60))]);
    issuer.otherwise(Answer::error(Error::transient("the vault is sealed")));
    let (provider, clock) = provider(&issuer);
    provider.token().await.unwrap();
    clock.advance(secs(60)).await;
    let error = provider.authorization().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Issuer);
    let cause = std::error::Error::source(&error).unwrap();
    assert_eq!(cause.to_string(), "the vault is sealed");
    assert_eq!(provider.status().state, State::Unavailable);
}

#[tokio::test(start_paused = true)]
async fn e7_a_terminal_error_is_shared_and_briefly_cached() {
    let issuer = ScriptedIssuer::new();
    issuer.script([Answer::error(Error::terminal("invalid_grant"))]);
    let provider = builder(&issuer).build().unwrap();
    for _ in 0..100 {
        let error = provider.token().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied);
    }
    assert_eq!(issuer.exchanges(), 1);
    assert_eq!(provider.status().state, State::Refused);
    // E8: never dead; a demand after a pause is tried again.
    tokio::time::sleep(secs(31)).await;
    assert_eq!(issuer.exchanges(), 1, "but not before someone asks");
    assert_eq!(provider.token().await.unwrap().expose(), "st-1");
    assert_eq!(provider.status().state, State::Fresh);
}

#[tokio::test(start_paused = true)]
async fn a_pause_longer_than_a_caller_would_wait_is_told_at_once() {
    let issuer = ScriptedIssuer::new();
    let failure = Error::transient("busy").with_retry_after(secs(120));
    issuer.script([Answer::error(failure)]);
    let provider = builder(&issuer).build().unwrap();
    provider.token().await.unwrap_err();
    let before = tokio::time::Instant::now();
    let error = provider.token().await.unwrap_err();
    assert_eq!(error.retry_after(), Some(secs(120)));
    assert_eq!(tokio::time::Instant::now(), before);
}
