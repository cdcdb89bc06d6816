//! One flight.

use everbearer::testkit::{Reply, ScriptedIssuer};
use everbearer::{Error, ErrorKind, RetryPolicy};
#[cfg(feature = "reqwest-middleware")]
use everbearer::{LongTermToken, RequestBuilderExt, TokenIssuer, TokenProvider};

use crate::support::{builder, millis, provider, secs, settle, tasks};

#[tokio::test(start_paused = true)]
async fn f1_a_hundred_callers_on_a_slow_issuer_share_one_exchange() {
    let issuer = ScriptedIssuer::new();
    issuer.default_reply(Reply::token(secs(900)).after(secs(5)));
    let (provider, clock) = provider(&issuer);
    let early = tasks(50, || {
        let provider = provider.clone();
        async move { provider.token().await }
    });
    clock.advance(secs(2)).await;
    let late = tasks(50, || {
        let provider = provider.clone();
        async move { provider.refresh().await }
    });
    for token in [early.join_all().await, late.join_all().await].concat() {
        assert_eq!(token.unwrap().expose(), "st-1");
    }
    assert_eq!((issuer.exchanges(), issuer.most_at_once()), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f1_holds_on_many_threads_too() {
    let issuer = ScriptedIssuer::new();
    issuer.default_reply(Reply::token(secs(900)).after(millis(5)));
    let (provider, _) = provider(&issuer);
    for round in 1..=50 {
        let callers = tasks(20, || {
            let provider = provider.clone();
            async move { provider.refresh().await }
        });
        for token in callers.join_all().await {
            token.unwrap();
        }
        assert_eq!(issuer.most_at_once(), 1);
        assert!(
            issuer.exchanges() <= 2 * round + 1,
            "{}",
            issuer.exchanges()
        );
    }
}

#[tokio::test(start_paused = true)]
async fn f2_a_hundred_callers_on_a_failing_issuer_share_one_error() {
    let issuer = ScriptedIssuer::new();
    let failure = || Error::transient("down");
    issuer.default_reply(Reply::error(failure()).after(secs(1)));
    let (provider, _) = provider(&issuer);
    let callers = tasks(100, || {
        let provider = provider.clone();
        async move { provider.token().await }
    });
    for token in callers.join_all().await {
        assert_eq!(token.unwrap_err().kind(), ErrorKind::Issuer);
    }
    assert_eq!(issuer.exchanges(), 1);
}

#[tokio::test(start_paused = true)]
async fn f3_the_caller_that_brought_it_about_may_go_away() {
    let issuer = ScriptedIssuer::new();
    issuer.script([Reply::token(secs(900))]);
    issuer.default_reply(Reply::token(secs(900)).after(secs(5)));
    let (provider, clock) = provider(&issuer);
    provider.token().await.unwrap();
    let first = tokio::spawn({
        let provider = provider.clone();
        async move { provider.refresh().await }
    });
    clock.advance(secs(1)).await;
    assert_eq!(
        issuer.exchanges(),
        2,
        "the first caller has brought it about"
    );
    let others = tasks(10, || {
        let provider = provider.clone();
        async move { provider.refresh().await }
    });
    settle().await;
    first.abort();
    for token in others.join_all().await {
        assert_eq!(token.unwrap().expose(), "st-2");
    }
    assert_eq!(issuer.exchanges(), 2, "no second exchange");
}

#[tokio::test(start_paused = true)]
async fn f3_a_caller_may_go_away_at_any_point_of_its_waiting() {
    for polls in 0..8 {
        for landing in [0, 20, 40] {
            let issuer = ScriptedIssuer::new();
            issuer.default_reply(Reply::token(secs(900)).after(millis(landing)));
            let (provider, clock) = provider(&issuer);
            let mut leaver = tokio_test::task::spawn(provider.token());
            let others = tasks(5, || {
                let provider = provider.clone();
                async move { provider.token().await }
            });
            for _ in 0..polls {
                if leaver.poll().is_ready() {
                    break;
                }
                clock.advance(millis(10)).await;
            }
            drop(leaver);
            for token in others.join_all().await {
                assert_eq!(token.unwrap().expose(), "st-1");
            }
            assert_eq!(issuer.exchanges(), 1, "{polls} {landing}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn f4_a_caller_with_a_short_deadline_does_not_end_the_exchange() {
    let issuer = ScriptedIssuer::new();
    issuer.script([Reply::token(secs(900))]);
    issuer.default_reply(Reply::token(secs(900)).after(secs(5)));
    let (provider, clock) = provider(&issuer);
    provider.token().await.unwrap();
    let hasty = tokio::time::timeout(secs(1), provider.refresh()).await;
    assert!(hasty.is_err());
    clock.advance(secs(5)).await;
    assert_eq!(provider.current().unwrap().expose(), "st-2");
    assert_eq!(issuer.exchanges(), 2);
}

#[tokio::test(start_paused = true)]
async fn f5_an_exchange_that_hangs_frees_its_slot_and_callers_are_bounded() {
    let issuer = ScriptedIssuer::new();
    issuer.script([Reply::hang()]);
    let policy = RetryPolicy::default()
        .exchange_timeout(secs(20))
        .wait_timeout(secs(3));
    let provider = builder(&issuer).retry_policy(policy).build().unwrap();
    let error = provider.token().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WaitTimeout);
    tokio::time::sleep(secs(20)).await;
    assert_eq!(provider.token().await.unwrap().expose(), "st-1");
    assert_eq!(issuer.most_at_once(), 1);
}

#[tokio::test(start_paused = true)]
async fn f6_a_success_leaves_no_trace_of_the_failure_before() {
    let issuer = ScriptedIssuer::new();
    issuer.script([
        Reply::token(secs(900)),
        Reply::error(Error::transient("down")),
        Reply::token(secs(900)),
    ]);
    let (provider, _) = provider(&issuer);
    provider.token().await.unwrap();
    provider.refresh().await.unwrap_err();
    assert!(provider.status().last_error.is_some());
    provider.refresh().await.unwrap();
    let status = provider.status();
    assert!(status.last_error.is_none());
    assert_eq!(status.consecutive_failures, 0);
}

#[test]
fn f11_when_its_runtime_is_gone_the_next_caller_starts_the_driver_again() {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    };
    let issuer = ScriptedIssuer::new();
    let first = runtime();
    let provider = first.block_on(async {
        let provider = builder(&issuer).clock(everbearer::SystemClock::default());
        let provider = provider.build().unwrap();
        provider.token().await.unwrap();
        provider
    });
    drop(first);
    assert!(provider.current().is_some(), "a good token needs no driver");
    for round in 2..5 {
        // In the middle of an exchange.
        issuer.script([Reply::hang()]);
        let dying = runtime();
        dying.block_on(async {
            let refresh = provider.refresh();
            let _ = tokio::time::timeout(millis(20), refresh).await;
        });
        drop(dying);
        let alive = runtime();
        let token = alive.block_on(provider.refresh()).unwrap();
        assert_eq!(token.expose(), format!("st-{round}"));
        assert_eq!(issuer.most_at_once(), 1);
    }
}

#[test]
fn f11_on_a_runtime_that_was_shut_down_there_are_errors_and_no_panics() {
    let issuer = ScriptedIssuer::new();
    let provider = builder(&issuer).clock(everbearer::SystemClock::default());
    let provider = provider.build().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let handle = runtime.handle().clone();
    drop(runtime);
    let error = handle.block_on(provider.token()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoRuntime);
    handle.block_on(provider.shutdown());
}

/// An issuer whose requests go through a client with the provider's own middleware.
#[cfg(feature = "reqwest-middleware")]
#[derive(Clone, Debug, Default)]
struct Circular(std::sync::Arc<std::sync::OnceLock<(TokenProvider, String)>>);

#[cfg(feature = "reqwest-middleware")]
#[async_trait::async_trait]
impl TokenIssuer for Circular {
    async fn exchange(
        &self,
        _: Option<&LongTermToken>,
        _: &[String],
    ) -> Result<everbearer::ExchangeResponse, Error> {
        let (provider, url) = self.0.get().unwrap();
        let client = reqwest_middleware::ClientBuilder::new(reqwest::Client::new())
            .with(provider.middleware())
            .build();
        let answer = client.get(url).send().await.map_err(Error::transient)?;
        assert!(answer.status().is_success());
        let plain = reqwest::Client::new().get(url).send_with(provider).await;
        assert!(plain.unwrap().status().is_success());
        let error = provider.token().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        everbearer::ShortTermToken::builder("st-1")
            .expires_in(secs(900))
            .build()
            .map(everbearer::ExchangeResponse::from)
    }

    async fn revoke(
        &self,
        _: everbearer::TokenRef<'_>,
        _: Option<everbearer::TokenRef<'_>>,
    ) -> Result<everbearer::Revoked, Error> {
        Ok(everbearer::Revoked::Gone)
    }
}

#[cfg(feature = "reqwest-middleware")]
#[tokio::test]
async fn f9_an_exchange_through_a_client_with_the_middleware_does_not_wait_for_itself() {
    let server = wiremock::MockServer::start().await;
    wiremock::Mock::given(wiremock::matchers::any())
        .respond_with(wiremock::ResponseTemplate::new(200))
        .mount(&server)
        .await;
    let issuer = Circular::default();
    let long_term = LongTermToken::new("secret").unwrap();
    let policy = everbearer::RefreshPolicy::default().lazy(true);
    let provider = TokenProvider::builder(issuer.clone(), long_term)
        .refresh_policy(policy)
        .origins([server.uri()])
        .build()
        .unwrap();
    issuer.0.set((provider.clone(), server.uri())).unwrap();
    assert_eq!(provider.token().await.unwrap().expose(), "st-1");
    for request in server.received_requests().await.unwrap() {
        assert!(!request.headers.contains_key("authorization"));
    }
}

#[test]
fn outside_of_tokio_there_is_an_error_and_no_panic() {
    let issuer = ScriptedIssuer::new();
    let provider = builder(&issuer)
        .clock(everbearer::SystemClock::default())
        .build()
        .unwrap();
    let mut task = tokio_test::task::spawn(provider.token());
    let std::task::Poll::Ready(Err(error)) = task.poll() else {
        panic!("it must not wait for a runtime that is not there");
    };
    assert_eq!(error.kind(), ErrorKind::NoRuntime);
}

/// Hangs, and panics when it is given up.
#[derive(Clone, Debug, Default)]
struct PanicsWhenDropped(std::sync::Arc<std::sync::atomic::AtomicUsize>);

struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("dropped");
    }
}

#[async_trait::async_trait]
impl everbearer::TokenIssuer for PanicsWhenDropped {
    async fn exchange(
        &self,
        _: Option<&everbearer::LongTermToken>,
        _: &[String],
    ) -> Result<everbearer::ExchangeResponse, Error> {
        if self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0 {
            let _bomb = Bomb;
            std::future::pending::<()>().await;
        }
        everbearer::ShortTermToken::builder("st")
            .expires_in(secs(900))
            .build()
            .map(everbearer::ExchangeResponse::from)
    }

    async fn revoke(
        &self,
        _: everbearer::TokenRef<'_>,
        _: Option<everbearer::TokenRef<'_>>,
    ) -> Result<everbearer::Revoked, Error> {
        Ok(everbearer::Revoked::Gone)
    }
}

#[tokio::test(start_paused = true)]
async fn f5_an_exchange_that_panics_when_it_is_given_up_frees_its_slot() {
    let long_term = everbearer::LongTermToken::new("secret").unwrap();
    let policy = RetryPolicy::default().exchange_timeout(secs(1));
    let provider = everbearer::TokenProvider::builder(PanicsWhenDropped::default(), long_term)
        .clock(everbearer::testkit::ManualClock::new())
        .retry_policy(policy)
        .build()
        .unwrap();
    assert_eq!(
        provider.token().await.unwrap_err().kind(),
        ErrorKind::Issuer
    );
    assert_eq!(provider.token().await.unwrap().expose(), "st");
}

#[tokio::test(start_paused = true)]
async fn an_issuer_that_panics_fails_like_any_other() {
    let issuer = ScriptedIssuer::new();
    issuer.script([Reply::panic(), Reply::token(secs(900))]);
    let (provider, _) = provider(&issuer);
    let error = provider.token().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Issuer);
    assert_eq!(provider.token().await.unwrap().expose(), "st-1");
}
