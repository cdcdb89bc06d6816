//! Shutting down.

use std::sync::{Arc, Mutex};

use everbearer::testkit::{AuthServer, Endpoint, Fault, Reply, ScriptedIssuer};
use everbearer::{
    Error, ErrorKind, Event, ExchangeResponse, Grant, LongTermToken, RevocationOutcome, Revoked,
    ShortTermToken, ShutdownPolicy, State, TokenIssuer, TokenKind, TokenProvider, TokenRef,
};

use metrics_util::debugging::{DebugValue, DebuggingRecorder};

use crate::support::{builder, millis, provider, provider_at, secs, settle, tasks};

fn alive_tasks() -> usize {
    tokio::runtime::Handle::current()
        .metrics()
        .num_alive_tasks()
}

#[tokio::test(start_paused = true)]
async fn d1_after_the_shutdown_no_exchange_begins_and_no_task_is_left() {
    let issuer = ScriptedIssuer::new();
    let (provider, clock) = provider(&issuer);
    provider.token().await.unwrap();
    assert_eq!(alive_tasks(), 1);
    let report = provider.shutdown().await;
    assert!(report.all_revoked());
    settle().await;
    assert_eq!(alive_tasks(), 0);
    clock.advance(secs(86_400)).await;
    assert_eq!(issuer.exchanges(), 1);
    assert_eq!(provider.status().state, State::ShutDown);
}

#[tokio::test]
async fn d1_nor_does_one_begin_when_the_long_term_token_arrives_during_the_shutdown() {
    let server = AuthServer::start().await.unwrap();
    server.script(Endpoint::LongTerm, [Fault::Latency(millis(200))]);
    let policy = ShutdownPolicy::default().revoke_long_term(true);
    let provider = provider_at(&server)
        .shutdown_policy(policy)
        .build()
        .unwrap();
    while server.counts().long_term.requests == 0 {
        tokio::task::yield_now().await;
    }
    let report = provider.shutdown().await;
    assert!(report.all_revoked(), "{report:?}");
    assert_eq!(server.counts().short_term.requests, 0);
    let tokens = server.tokens();
    assert_eq!(tokens.len(), 1);
    assert!(tokens[0].revoked, "the one that had been obtained");
}

#[tokio::test(start_paused = true)]
async fn d2_every_live_token_is_revoked_superseded_ones_too() {
    let issuer = ScriptedIssuer::new();
    issuer.script([Reply::token(secs(60))]);
    let (provider, clock) = provider(&issuer);
    provider.token().await.unwrap();
    clock.advance(secs(61)).await; // st-1 has ended, st-2 is in use
    provider.refresh().await.unwrap();
    provider.refresh().await.unwrap();
    let report = provider.shutdown().await;
    let mut revoked = issuer.revoked();
    revoked.sort();
    assert_eq!(revoked, ["st-2", "st-3", "st-4"]);
    assert_eq!(report.tokens.len(), 4);
    let kept: Vec<_> = report
        .tokens
        .iter()
        .filter(|token| matches!(token.outcome, RevocationOutcome::Kept))
        .collect();
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0].kind, TokenKind::LongTerm);
}

#[tokio::test(start_paused = true)]
async fn d2_a_token_is_revoked_as_long_as_the_server_may_hold_it_for_alive() {
    let issuer = ScriptedIssuer::new();
    issuer.script([Reply::token(secs(60)).after(secs(10))]);
    issuer.default_reply(Reply::error(Error::transient("down")));
    let (late, clock) = provider(&issuer);
    late.token().await.unwrap(); // the server may have minted it now, 10 s after it was asked
    clock.advance(secs(55)).await;
    late.shutdown().await;
    assert_eq!(issuer.revoked(), ["st-1"]);

    let issuer = ScriptedIssuer::new();
    issuer.script([Reply::token_without_end()]);
    let (endless, clock) = provider(&issuer);
    endless.token().await.unwrap();
    clock.advance(secs(6_000)).await;
    endless.shutdown().await;
    assert!(
        issuer.revoked().contains(&"st-1".to_owned()),
        "nobody said that it ends"
    );
}

/// Hands out the same token until it ends, and revokes it once.
#[derive(Clone, Debug, Default)]
struct Caching(Arc<Mutex<Vec<String>>>);

#[async_trait::async_trait]
impl TokenIssuer for Caching {
    async fn exchange(
        &self,
        _: Option<&LongTermToken>,
        _: &[String],
    ) -> Result<ExchangeResponse, Error> {
        let token = ShortTermToken::builder("same").token_id("same");
        token.expires_in(secs(900)).build().map(Into::into)
    }

    async fn revoke(&self, token: TokenRef<'_>, _: Option<TokenRef<'_>>) -> Result<Revoked, Error> {
        let id = token.token_id().unwrap_or("long-term").to_owned();
        self.0.lock().unwrap().push(id);
        tokio::time::sleep(millis(100)).await;
        Ok(Revoked::Gone)
    }
}

#[tokio::test(start_paused = true)]
async fn d2_a_token_that_was_handed_out_twice_is_revoked_once_and_before_the_long_term_one() {
    let issuer = Caching::default();
    let long_term = LongTermToken::new("secret").unwrap();
    let provider = TokenProvider::builder(issuer.clone(), long_term)
        .clock(everbearer::testkit::ManualClock::new())
        .shutdown_policy(ShutdownPolicy::default().revoke_long_term(true))
        .build()
        .unwrap();
    provider.token().await.unwrap();
    provider.refresh().await.unwrap();
    let report = provider.shutdown().await;
    assert_eq!(*issuer.0.lock().unwrap(), ["same", "long-term"]);
    assert_eq!(report.took, millis(200), "one after the other");
}

#[tokio::test(start_paused = true)]
async fn d4_thousands_of_tokens_are_revoked_a_few_at_a_time() {
    let issuer = ScriptedIssuer::new();
    issuer.default_reply(Reply::token(secs(86_400)));
    issuer.script_revocations(std::iter::repeat_n(Reply::done().after(millis(10)), 1_000));
    let (provider, _) = provider(&issuer);
    for _ in 0..1_000 {
        provider.refresh().await.unwrap();
    }
    let report = provider.shutdown().await;
    assert!(report.all_revoked());
    assert_eq!(issuer.revoked().len(), 1_000);
    assert!(
        report.took >= millis(600),
        "16 at a time: {:?}",
        report.took
    );
}

#[tokio::test(start_paused = true)]
async fn d4_a_pause_beyond_the_deadline_is_not_waited_for() {
    let issuer = ScriptedIssuer::new();
    let busy = Error::transient("429").with_retry_after(secs(120));
    issuer.script_revocations([Reply::error(busy)]);
    let (provider, _) = provider(&issuer);
    provider.token().await.unwrap();
    let report = provider.shutdown().await;
    assert!(!report.all_revoked());
    assert!(report.took < secs(1), "{:?}", report.took);
}

#[tokio::test(start_paused = true)]
async fn a_report_shows_on_one_line_what_was_not_revoked_and_why() {
    let issuer = ScriptedIssuer::new();
    issuer.default_reply(Reply::token(secs(86_400)));
    issuer.script_revocations([Reply::done(), Reply::error(Error::terminal("no"))]);
    let (provider, _) = provider(&issuer);
    provider.refresh().await.unwrap();
    provider.refresh().await.unwrap();
    let report = provider.shutdown().await.to_string();
    assert!(report.starts_with("revoked 1 of 3 tokens in "), "{report}");
    assert!(
        report.contains(", kept 1; not revoked: short-term token st-"),
        "{report}"
    );
    assert_eq!(report.lines().count(), 1);
}

#[tokio::test(start_paused = true)]
async fn d2_the_long_term_token_is_revoked_if_asked() {
    let issuer = ScriptedIssuer::new();
    let provider = TokenProvider::builder(issuer.clone(), Grant::client_secret("id", "secret"))
        .shutdown_policy(ShutdownPolicy::default().revoke_long_term(true))
        .build()
        .unwrap();
    provider.token().await.unwrap();
    assert!(provider.shutdown().await.all_revoked());
    assert_eq!(issuer.revoked(), ["st-1", "lt-1"]);
}

#[tokio::test(start_paused = true)]
async fn d2_a_token_that_arrives_during_the_shutdown_is_revoked_too() {
    let issuer = ScriptedIssuer::new();
    issuer.script([Reply::token(secs(900))]);
    issuer.default_reply(Reply::token(secs(900)).after(secs(2)));
    let (provider, clock) = provider(&issuer);
    provider.token().await.unwrap();
    let waiting = tokio::spawn({
        let provider = provider.clone();
        async move { provider.refresh().await }
    });
    clock.advance(secs(1)).await;
    let report = provider.shutdown().await;
    assert!(report.all_revoked());
    let mut revoked = issuer.revoked();
    revoked.sort();
    assert_eq!(revoked, ["st-1", "st-2"]);
    let error = waiting.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ShutDown);
}

#[tokio::test(start_paused = true)]
async fn d3_a_failing_revocation_is_tried_again_a_refused_one_is_reported() {
    let issuer = ScriptedIssuer::new();
    issuer.script_revocations([
        Reply::error(Error::transient("503")),
        Reply::error(Error::transient("503")),
    ]);
    let (first, _) = provider(&issuer);
    first.token().await.unwrap();
    assert!(first.shutdown().await.all_revoked());
    assert_eq!(issuer.revoked(), ["st-1"]);

    let issuer = ScriptedIssuer::new();
    issuer.script_revocations([Reply::error(Error::terminal("401"))]);
    let (second, _) = provider(&issuer);
    second.token().await.unwrap();
    let report = second.shutdown().await;
    let token = report.not_revoked().next().unwrap();
    assert_eq!(token.token_id.as_deref(), Some("st-1"));
    let RevocationOutcome::NotRevoked(error) = &token.outcome else {
        panic!("{token:?}");
    };
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(issuer.revoked().is_empty());
}

#[tokio::test(start_paused = true)]
async fn d4_when_the_budget_is_spent_it_returns_and_says_what_lives_on() {
    let issuer = ScriptedIssuer::new();
    issuer.script_revocations([Reply::hang()]);
    let (provider, _) = provider(&issuer);
    provider.token().await.unwrap();
    let expires_at = provider.status().expires_at;
    let began = tokio::time::Instant::now();
    let report = provider.shutdown().await;
    assert_eq!(began.elapsed(), secs(5));
    let token = report.not_revoked().next().unwrap();
    assert_eq!(token.token_id.as_deref(), Some("st-1"));
    assert_eq!(token.ends_at, expires_at);
    settle().await;
    assert_eq!(alive_tasks(), 0);
}

#[tokio::test(start_paused = true)]
async fn d4_an_exchange_that_hangs_does_not_hold_up_the_shutdown() {
    let issuer = ScriptedIssuer::new();
    issuer.script([Reply::token(secs(900)), Reply::hang()]);
    let (provider, clock) = provider(&issuer);
    provider.token().await.unwrap();
    let refresh = tokio::spawn({
        let provider = provider.clone();
        async move { provider.refresh().await }
    });
    clock.advance(secs(1)).await;
    let began = tokio::time::Instant::now();
    let report = provider.shutdown().await;
    assert!(
        began.elapsed() < secs(5),
        "half of the time is for what hangs"
    );
    assert_eq!(
        issuer.revoked(),
        ["st-1"],
        "the one that is known is revoked"
    );
    let unknown = report.not_revoked().next().unwrap();
    assert!(
        unknown.token_id.is_none(),
        "the one that may have been minted is reported"
    );
    assert!(refresh.await.unwrap().is_err());
}

#[tokio::test(start_paused = true)]
async fn d5_called_from_many_tasks_there_is_one_shutdown_and_one_report() {
    let issuer = ScriptedIssuer::new();
    issuer.script_revocations([Reply::done().after(secs(1))]);
    let (provider, _) = provider(&issuer);
    provider.token().await.unwrap();
    let reports = tasks(20, || {
        let provider = provider.clone();
        async move { provider.shutdown().await }
    });
    let mut reports = reports.join_all().await;
    reports.push(provider.shutdown().await);
    for report in reports {
        assert!(report.all_revoked());
        assert_eq!(report.took, secs(1));
        assert_eq!(report.tokens.len(), 2);
    }
    assert_eq!(issuer.revoked(), ["st-1"]);
}

#[tokio::test(start_paused = true)]
async fn d5_a_shutdown_whose_caller_goes_away_goes_on() {
    let issuer = ScriptedIssuer::new();
    let (polled_once, clock) = provider(&issuer);
    polled_once.token().await.unwrap();
    {
        let mut shutdown = tokio_test::task::spawn(polled_once.shutdown());
        assert!(shutdown.poll().is_pending());
    }
    drop(polled_once);
    clock.advance(secs(1)).await;
    assert_eq!(issuer.revoked(), ["st-1"], "even when the last handle goes");

    let issuer = ScriptedIssuer::new();
    issuer.script_revocations([Reply::done().after(secs(2))]);
    let (provider, clock) = provider(&issuer);
    provider.token().await.unwrap();
    assert!(
        tokio::time::timeout(secs(1), provider.shutdown())
            .await
            .is_err()
    );
    clock.advance(secs(2)).await;
    assert_eq!(issuer.revoked(), ["st-1"]);
    assert!(provider.shutdown().await.all_revoked());
}

#[tokio::test(start_paused = true)]
async fn d6_used_afterwards_everything_gives_a_typed_error() {
    let issuer = ScriptedIssuer::new();
    let (provider, _) = provider(&issuer);
    let token = provider.token().await.unwrap();
    provider.shutdown().await;
    assert!(provider.current().is_none());
    for outcome in [
        provider.token().await.map(drop),
        provider.authorization().await.map(drop),
        provider.refresh().await.map(drop),
        provider.invalidate(&token).await.map(drop),
    ] {
        assert_eq!(outcome.unwrap_err().kind(), ErrorKind::ShutDown);
    }
}

#[tokio::test(start_paused = true)]
async fn d7_the_last_handle_ends_the_driver_and_an_earlier_one_does_not() {
    let issuer = ScriptedIssuer::new();
    let (provider, clock) = provider(&issuer);
    provider.token().await.unwrap();
    let middleware = provider.clone();
    drop(provider);
    clock.advance(secs(900)).await;
    assert_eq!(
        issuer.exchanges(),
        2,
        "still refreshed for the handle that is left"
    );
    drop(middleware);
    settle().await;
    assert_eq!(alive_tasks(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_before_the_first_token_is_a_shutdown_too() {
    let issuer = ScriptedIssuer::new();
    issuer.default_reply(Reply::error(Error::transient("down")));
    let provider = builder(&issuer).build().unwrap();
    provider.token().await.unwrap_err();
    assert!(provider.shutdown().await.all_revoked());
    assert_eq!(
        provider.token().await.unwrap_err().kind(),
        ErrorKind::ShutDown
    );
}

#[test]
fn a_shutdown_outside_of_tokio_reports_what_it_could_not_do() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let issuer = ScriptedIssuer::new();
    let provider = runtime.block_on(async {
        let (provider, _) = provider(&issuer);
        provider.token().await.unwrap();
        provider
    });
    drop(runtime);
    let mut task = tokio_test::task::spawn(provider.shutdown());
    let std::task::Poll::Ready(report) = task.poll() else {
        panic!("it must not wait for a runtime that is not there");
    };
    assert_eq!(report.not_revoked().count(), 1);
}

#[test]
fn d5_the_report_is_the_same_outside_of_tokio() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let issuer = ScriptedIssuer::new();
    let provider = runtime.block_on(async {
        let (provider, _) = provider(&issuer);
        provider.token().await.unwrap();
        assert!(provider.shutdown().await.all_revoked());
        provider
    });
    drop(runtime);
    let mut task = tokio_test::task::spawn(provider.shutdown());
    let std::task::Poll::Ready(report) = task.poll() else {
        panic!("there is a report already");
    };
    assert!(report.all_revoked(), "{report:?}");
}

#[tokio::test(start_paused = true)]
async fn d10_revocations_that_do_not_end_in_time_are_told_and_counted() {
    for (tokens, told_together) in [(1, 0), (100, 0), (150, 50)] {
        let recorder = DebuggingRecorder::new();
        let snapshotter = recorder.snapshotter();
        let _guard = metrics::set_default_local_recorder(&recorder);
        let issuer = ScriptedIssuer::new();
        issuer.script_revocations(std::iter::repeat_n(Reply::hang(), 500));
        let (provider, _) = provider(&issuer);
        for _ in 0..tokens {
            provider.refresh().await.unwrap();
        }
        let mut events = provider.subscribe();
        let report = provider.shutdown().await;
        let minted = issuer.exchanges();
        assert_eq!(report.not_revoked().count(), minted);

        let (mut one_by_one, mut together) = (0, 0);
        while let Some(event) = events.next().await {
            match event {
                Event::Revocation { error, .. } => {
                    assert_eq!(error.unwrap().kind(), ErrorKind::Timeout);
                    one_by_one += 1;
                }
                Event::RevocationsUnfinished { tokens, .. } => together += tokens,
                Event::ShutDown => break,
                _ => {}
            }
        }
        assert_eq!(one_by_one + together, minted);
        assert!(together >= told_together && one_by_one >= minted.min(100));
        let timed_out: u64 = snapshotter
            .snapshot()
            .into_vec()
            .into_iter()
            .filter(|(key, ..)| {
                let mut labels = key.key().labels();
                key.key().name() == "everbearer_revocations_total"
                    && labels.any(|label| label.value() == "timeout")
            })
            .map(|(.., value)| match value {
                DebugValue::Counter(count) => count,
                other => panic!("{other:?}"),
            })
            .sum();
        assert_eq!(timed_out, minted as u64);
    }
}

#[test]
fn d10_a_shutdown_without_a_driver_tells_which_tokens_it_leaves() {
    let issuer = ScriptedIssuer::new();
    let stopped = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let provider = stopped.block_on(async {
        let (provider, _) = provider(&issuer);
        provider.token().await.unwrap();
        provider
    });
    let running = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    running.block_on(async {
        let mut events = provider.subscribe();
        let (report, _) = tokio::join!(provider.shutdown(), provider.shutdown());
        assert_eq!(report.not_revoked().count(), 1);
        let event = tokio::time::timeout(secs(1), events.next()).await;
        let event = event.unwrap().unwrap();
        let Event::Revocation {
            token_id, error, ..
        } = event
        else {
            panic!("{event:?}");
        };
        assert_eq!(token_id.as_deref(), Some("st-1"));
        assert_eq!(error.unwrap().kind(), ErrorKind::Timeout);
        let more = tokio::time::timeout(secs(1), events.next()).await;
        assert!(more.is_err(), "once: {more:?}");
    });
}
