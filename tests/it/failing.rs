//! When refreshing fails.

use everbearer::testkit::{Reply, ScriptedIssuer};
use everbearer::{
    Clock, Error, ErrorKind, ExchangeResponse, LongTermToken, RetryPolicy, Revoked, State,
    TokenIssuer, TokenProvider, TokenRef,
};

use crate::support::{builder, millis, provider, secs, tasks};

#[tokio::test(start_paused = true)]
async fn e1_in_the_window_a_failure_is_retried_and_the_expiry_stays() {
    let issuer = ScriptedIssuer::new();
    issuer.script([
        Reply::token(secs(900)),
        Reply::error(Error::transient("down")),
        Reply::error(Error::transient("down")),
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
    assert!(issuer.exchanges() >= 4);
}

#[tokio::test(start_paused = true)]
async fn e2_a_background_failure_never_replaces_a_good_token() {
    for error in [Error::transient("down"), Error::terminal("revoked")] {
        let issuer = ScriptedIssuer::new();
        issuer.script([Reply::token(secs(900))]);
        issuer.default_reply(Reply::error(error));
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
    issuer.script([Reply::token(secs(900))]);
    let failure = Error::transient("busy").with_retry_after(secs(60));
    issuer.default_reply(Reply::error(failure));
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
    issuer.script([Reply::token(secs(60))]);
    issuer.default_reply(Reply::error(Error::transient("the vault is sealed")));
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
    issuer.script([Reply::error(Error::terminal("invalid_grant"))]);
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

/// Fails after a moment, so that callers come at every point of an attempt.
#[derive(Debug)]
struct Refusing;

#[async_trait::async_trait]
impl TokenIssuer for Refusing {
    async fn exchange(
        &self,
        _: Option<&LongTermToken>,
        _: &[String],
    ) -> Result<ExchangeResponse, Error> {
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
        Err(Error::terminal("no"))
    }

    async fn revoke(&self, _: TokenRef<'_>, _: Option<TokenRef<'_>>) -> Result<Revoked, Error> {
        Ok(Revoked::Gone)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn e7_every_caller_learns_why_whenever_it_comes() {
    for _ in 0..300 {
        let long_term = LongTermToken::new("secret").unwrap();
        let provider = TokenProvider::builder(Refusing, long_term).build().unwrap();
        let callers = tasks(8, || {
            let provider = provider.clone();
            async move {
                // A new caller each time, which looks once and goes.
                loop {
                    let mut call = tokio_test::task::spawn(provider.token());
                    if let std::task::Poll::Ready(outcome) = call.poll() {
                        return outcome;
                    }
                    tokio::task::yield_now().await;
                }
            }
        });
        for outcome in callers.join_all().await {
            assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Denied);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn e8_another_long_term_token_is_tried_at_once() {
    let issuer = ScriptedIssuer::new();
    issuer.script([Reply::error(Error::terminal("invalid_grant"))]);
    let (provider, _) = provider(&issuer);
    provider.token().await.unwrap_err();
    provider.set_long_term_token(LongTermToken::new("another").unwrap());
    assert_eq!(provider.token().await.unwrap().expose(), "st-1");
}

#[tokio::test(start_paused = true)]
async fn one_terminal_blip_does_not_end_refreshing_ahead() {
    let issuer = ScriptedIssuer::new();
    issuer.script([
        Reply::token(secs(900)),
        Reply::error(Error::terminal("a gateway's 403")),
    ]);
    issuer.default_reply(Reply::token(secs(900)).after(secs(3)));
    let (provider, clock) = provider(&issuer);
    provider.token().await.unwrap();
    for _ in 0..1_000 {
        let before = clock.now();
        provider.token().await.unwrap();
        assert_eq!(clock.now(), before, "a caller had to wait");
        clock.advance(secs(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn e14_at_the_start_it_fails_fast_or_waits_as_configured() {
    for (patience, is_ready) in [(0, false), (5, false), (60, true)] {
        let issuer = ScriptedIssuer::new();
        let down = Reply::error(Error::transient("down"));
        issuer.script(std::iter::repeat_n(down, 5));
        let policy = RetryPolicy::default().ready_timeout(secs(patience));
        let provider = builder(&issuer).retry_policy(policy).build().unwrap();
        let began = tokio::time::Instant::now();
        assert_eq!(provider.ready().await.is_ok(), is_ready, "{patience}");
        assert!(began.elapsed() <= secs(patience) + millis(10));
    }
    let issuer = ScriptedIssuer::new();
    issuer.default_reply(Reply::error(Error::terminal("invalid_client")));
    let policy = RetryPolicy::default().ready_timeout(secs(3_600));
    let provider = builder(&issuer).retry_policy(policy).build().unwrap();
    assert_eq!(
        provider.ready().await.unwrap_err().kind(),
        ErrorKind::Denied
    );
    assert_eq!(issuer.exchanges(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_caller_with_a_long_upload_ahead_gets_a_token_that_lasts() {
    let issuer = ScriptedIssuer::new();
    let (provider, clock) = provider(&issuer);
    provider.token().await.unwrap();
    clock.advance(secs(300)).await;
    let token = provider.token_valid_for(secs(300)).await.unwrap();
    assert_eq!(token.expose(), "st-1", "it lasts");
    let token = provider.token_valid_for(secs(800)).await.unwrap();
    assert_eq!(token.expose(), "st-2", "the one in use would not");
    let error = provider.token_valid_for(secs(3_600)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LifetimeTooShort);
    assert_eq!(issuer.exchanges(), 2, "no new one lasts so long either");
}

#[tokio::test(start_paused = true)]
async fn a_pause_longer_than_a_caller_would_wait_is_told_at_once() {
    let issuer = ScriptedIssuer::new();
    let failure = Error::transient("busy").with_retry_after(secs(120));
    issuer.script([Reply::error(failure)]);
    let provider = builder(&issuer).build().unwrap();
    provider.token().await.unwrap_err();
    let before = tokio::time::Instant::now();
    let error = provider.token().await.unwrap_err();
    assert_eq!(error.retry_after(), Some(secs(120)));
    assert_eq!(tokio::time::Instant::now(), before);
}

#[tokio::test(start_paused = true)]
async fn e8_a_new_long_term_token_is_tried_at_once_during_a_pause_that_the_server_asked_for() {
    let issuer = ScriptedIssuer::new();
    let refusal = Error::terminal("no").with_code("invalid_token");
    issuer.script([Reply::error(refusal.with_retry_after(secs(300)))]);
    let (provider, _) = provider(&issuer);
    provider.token().await.unwrap_err();
    provider.set_long_term_token(LongTermToken::new("another").unwrap());
    provider.token().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn e8_a_new_long_term_token_retries_a_forced_refresh_at_once() {
    let issuer = ScriptedIssuer::new();
    let policy = RetryPolicy::default().terminal_backoff(secs(600));
    let provider = builder(&issuer).retry_policy(policy).build().unwrap();
    let token = provider.token().await.unwrap();
    issuer.script([Reply::error(
        Error::terminal("no").with_code("invalid_token"),
    )]);
    provider.invalidate(&token).await.unwrap_err();
    assert_eq!(issuer.exchanges(), 2);
    provider.set_long_term_token(LongTermToken::new("another").unwrap());
    tokio::time::sleep(secs(1)).await;
    assert_eq!(issuer.exchanges(), 3, "without a caller");
}
