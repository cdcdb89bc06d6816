//! Waiting for the next token, as long-lived connections do.

use everbearer::testkit::{Reply, ScriptedIssuer};
use everbearer::{Error, ErrorKind, RefreshPolicy, RetryPolicy, TokenProvider};
use tokio::time::Instant;

use crate::support::{builder, secs};

fn issuer() -> ScriptedIssuer {
    let issuer = ScriptedIssuer::new();
    issuer.default_reply(Reply::token(secs(900)));
    issuer
}

fn provider(issuer: &ScriptedIssuer) -> TokenProvider {
    builder(issuer).build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn v4_the_next_token_is_returned_before_the_present_one_expires() {
    for is_lazy in [false, true] {
        let issuer = issuer();
        let policy = RefreshPolicy::default().lazy(is_lazy);
        let provider = builder(&issuer).refresh_policy(policy).build().unwrap();
        let mut token = provider.token().await.unwrap();
        for generation in 2..=5 {
            let began = Instant::now();
            let usable_for = provider.status().usable_for;
            let newer = provider.changed(&token).await.unwrap();
            assert_ne!(newer.expose(), token.expose());
            assert_eq!(issuer.exchanges(), generation, "lazy: {is_lazy}");
            let left = usable_for.checked_sub(began.elapsed()).unwrap();
            assert!(left > secs(60), "lazy: {is_lazy}, {left:?}");
            token = newer;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn v4_an_earlier_token_has_changed_already_and_the_wait_causes_no_exchange() {
    let issuer = issuer();
    let provider = provider(&issuer);
    let first = provider.token().await.unwrap();
    let second = provider.refresh().await.unwrap();
    let newer = provider.changed(&first).await.unwrap();
    assert_eq!(newer.expose(), second.expose());
    let wait = tokio::time::timeout(secs(60), provider.changed(&second));
    wait.await.unwrap_err();
    assert_eq!(issuer.exchanges(), 2);
}

#[tokio::test(start_paused = true)]
async fn v4_the_wait_outlasts_an_outage() {
    let issuer = issuer();
    let provider = provider(&issuer);
    let token = provider.token().await.unwrap();
    issuer.default_reply(Reply::error(Error::new(ErrorKind::Unreachable, "down")));
    let began = Instant::now();
    let waiting = provider.changed(&token);
    tokio::pin!(waiting);
    tokio::select! {
        outcome = &mut waiting => panic!("{outcome:?}"),
        () = tokio::time::sleep(secs(3_600)) => {}
    }
    let attempts = issuer.exchanges();
    issuer.default_reply(Reply::token(secs(900)));
    waiting.await.unwrap();
    assert!(began.elapsed() < secs(3_600 + 120));
    assert!(attempts < 300, "{attempts} in an hour");
}

#[tokio::test(start_paused = true)]
async fn v4_during_a_pause_that_the_server_requests_nothing_spins() {
    let issuer = issuer();
    let policy = RetryPolicy::default().wait_timeout(secs(2));
    let provider = builder(&issuer).retry_policy(policy).build().unwrap();
    let token = provider.token().await.unwrap();
    let limited = Error::new(ErrorKind::RateLimited, "quota").with_retry_after(secs(300));
    issuer.default_reply(Reply::error(limited));
    let wait = tokio::time::timeout(secs(3_600), provider.changed(&token));
    wait.await.unwrap_err();
    assert!(issuer.exchanges() < 30, "{}", issuer.exchanges());
}

#[tokio::test(start_paused = true)]
async fn v4_a_shutdown_and_a_final_refusal_end_the_wait() {
    let issuer = issuer();
    let stopping = provider(&issuer);
    let token = stopping.token().await.unwrap();
    let (error, _) = tokio::join!(stopping.changed(&token), async {
        tokio::time::sleep(secs(1)).await;
        stopping.shutdown().await
    });
    assert_eq!(error.unwrap_err().kind(), ErrorKind::ShutDown);

    let provider = provider(&issuer);
    let token = provider.token().await.unwrap();
    issuer.default_reply(Reply::error(Error::new(ErrorKind::Denied, "revoked")));
    let began = Instant::now();
    let error = provider.changed(&token).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(
        began.elapsed() >= secs(890),
        "the token was valid until then"
    );
}

#[tokio::test(start_paused = true)]
async fn v4_a_scope_set_with_a_waiting_connection_is_not_idle() {
    let issuer = ScriptedIssuer::new();
    issuer.default_reply(Reply::token(secs(86_400)));
    let provider = provider(&issuer);
    let scoped = provider.scoped(["jobs:read"]);
    let token = scoped.token().await.unwrap();
    let wait = tokio::time::timeout(secs(3_590), scoped.changed(&token));
    wait.await.unwrap_err();
    // The connection may be made again.
    tokio::time::sleep(secs(300)).await;
    assert_eq!(issuer.revoked(), Vec::<String>::new());
    tokio::time::sleep(secs(1_200)).await;
    assert_eq!(issuer.revoked().len(), 1);
}

/// A runtime that is gone drops each task at once.
#[test]
fn v4_on_a_runtime_that_has_shut_down_the_wait_ends_with_an_error() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let issuer = issuer();
    let (provider, token) = runtime.block_on(async {
        let provider = provider(&issuer);
        let token = provider.token().await.unwrap();
        (provider, token)
    });
    let handle = runtime.handle().clone();
    drop(runtime);
    let outcome = handle.block_on(provider.changed(&token));
    assert_eq!(outcome.unwrap_err().kind(), ErrorKind::NoRuntime);
}
