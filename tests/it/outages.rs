//! An exchange has failed and there is no valid token: what observers are told (V2).

use std::time::Duration;

use everbearer::testkit::{ManualClock, Reply, ScriptedIssuer};
use everbearer::{
    Error, Event, RefreshPolicy, RetryPolicy, ScopePolicy, Subscription, TokenProvider,
};

use crate::support::{Log, builder, secs, settle};

/// After so long without callers, a scope set is retired.
const IDLE: Duration = secs(4 * 3600);

/// The outages among the events, each as a line.
#[derive(Debug, PartialEq, Eq)]
enum Outage {
    Began(Vec<String>, u32),
    Continues(usize, u64),
    Ended(Vec<String>, u64, u64),
}

fn began(scopes: &[&str], failures: u32) -> Outage {
    Outage::Began(scopes.iter().map(|&it| it.to_owned()).collect(), failures)
}

/// Returns what has been told of outages until now.
async fn told(subscription: &mut Subscription) -> Vec<Outage> {
    let mut outages = Vec::new();
    while let Ok(Some(event)) = tokio::time::timeout(Duration::ZERO, subscription.next()).await {
        outages.push(match event {
            Event::OutageBegan {
                scopes,
                failures,
                error,
                ..
            } => {
                assert!(error.is_retryable());
                Outage::Began(scopes.to_vec(), failures)
            }
            Event::OutageContinues {
                scope_sets, lasted, ..
            } => Outage::Continues(scope_sets, lasted.as_secs()),
            Event::OutageEnded {
                scopes,
                attempts,
                lasted,
                ..
            } => Outage::Ended(scopes.to_vec(), attempts, lasted.as_secs()),
            _ => continue,
        });
    }
    outages
}

fn down() -> Reply {
    Reply::error(Error::transient("down"))
}

/// Moves the clock in steps of a second.
async fn pass(clock: &ManualClock, seconds: u64) {
    for _ in 0..seconds {
        clock.advance(secs(1)).await;
        settle().await;
    }
}

fn provider(issuer: &ScriptedIssuer, policy: RefreshPolicy) -> (TokenProvider, ManualClock) {
    let clock = ManualClock::new();
    let builder = builder(issuer).clock(clock.clone()).refresh_policy(policy);
    let provider = builder.scope_policy(ScopePolicy::default().idle_timeout(IDLE));
    (provider.build().unwrap(), clock)
}

#[tokio::test(start_paused = true)]
async fn v2_an_outage_is_told_when_the_token_ends_and_when_there_is_one_again() {
    let issuer = ScriptedIssuer::new();
    issuer.script([Reply::token(secs(60))]);
    issuer.default_reply(down());
    let (provider, clock) = provider(&issuer, RefreshPolicy::default());
    provider.token().await.unwrap();
    let mut subscription = provider.subscribe();
    while !provider.status().usable_for.is_zero() {
        assert_eq!(told(&mut subscription).await, []);
        pass(&clock, 1).await;
    }
    let begins = told(&mut subscription).await;
    assert!(matches!(&begins[..], [Outage::Began(_, 2..)]), "{begins:?}");
    pass(&clock, 20).await;
    assert_eq!(told(&mut subscription).await, []);
    issuer.default_reply(Reply::token(secs(900)));
    while provider.status().usable_for.is_zero() {
        pass(&clock, 1).await;
    }
    let told = told(&mut subscription).await;
    let [.., Outage::Ended(scopes, attempts, lasted)] = told.as_slice() else {
        panic!("{told:?}")
    };
    assert!(scopes.is_empty());
    assert_eq!(*attempts, issuer.exchanges() as u64 - 1);
    assert!((20..200).contains(lasted), "{lasted}");
}

/// Between the server's pause and the heartbeat of the driver, nothing else wakes the driver then.
#[tokio::test(start_paused = true)]
async fn v2_an_outage_begins_at_the_very_end_of_the_token() {
    let issuer = ScriptedIssuer::new();
    issuer.script([Reply::token(secs(400))]);
    let refusal = Error::terminal("locked out").with_retry_after(secs(1_000));
    issuer.default_reply(Reply::error(refusal));
    let clock = ManualClock::new();
    let provider = builder(&issuer)
        .clock(clock.clone())
        .retry_policy(RetryPolicy::default().max_retry_after(secs(1_000)))
        .build()
        .unwrap();
    provider.token().await.unwrap();
    let mut subscription = provider.subscribe();
    while !provider.status().usable_for.is_zero() {
        pass(&clock, 1).await;
    }
    pass(&clock, 1).await;
    let mut is_told = false;
    while let Ok(Some(event)) = tokio::time::timeout(Duration::ZERO, subscription.next()).await {
        is_told |= matches!(event, Event::OutageBegan { .. });
    }
    assert!(is_told);
}

#[tokio::test(start_paused = true)]
async fn v2_reminders_come_at_growing_intervals_for_all_scope_sets_together() {
    let issuer = ScriptedIssuer::new();
    issuer.default_reply(down());
    let (provider, clock) = provider(&issuer, RefreshPolicy::default());
    let mut subscription = provider.subscribe();
    provider.token().await.unwrap_err();
    provider.scoped(["a"]).token().await.unwrap_err();
    settle().await;
    let begins = [began(&[], 1), began(&["a"], 1)];
    assert_eq!(told(&mut subscription).await, begins);
    let mut reminders = Vec::new();
    for second in 1..=3 * 3600 {
        clock.advance(secs(1)).await;
        tokio::task::yield_now().await;
        for outage in told(&mut subscription).await {
            reminders.push((second, outage));
        }
    }
    let at: Vec<u64> = reminders.iter().map(|(second, _)| *second).collect();
    let expected = [30, 90, 210, 450, 930, 1890, 3810, 7410];
    assert_eq!(at.len(), expected.len(), "{at:?}");
    for ((second, outage), expected) in reminders.iter().zip(expected) {
        assert!(second.abs_diff(expected) <= 2, "{at:?}");
        assert!(
            matches!(outage, Outage::Continues(2, lasted) if lasted.abs_diff(expected) <= 2),
            "{outage:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn v2_the_end_of_a_token_of_a_lazy_provider_is_no_outage() {
    let issuer = ScriptedIssuer::new();
    issuer.script([Reply::token(secs(60)), down()]);
    let (provider, clock) = provider(&issuer, RefreshPolicy::default().lazy(true));
    let mut subscription = provider.subscribe();
    provider.token().await.unwrap();
    pass(&clock, 50).await;
    // This caller is served, and its refresh fails.
    provider.token().await.unwrap();
    settle().await;
    assert_eq!(provider.status().consecutive_failures, 1);
    pass(&clock, 100).await;
    assert_eq!(told(&mut subscription).await, []);
    issuer.script([down()]);
    provider.token().await.unwrap_err();
    settle().await;
    assert_eq!(told(&mut subscription).await, [began(&[], 2)]);
    pass(&clock, 20).await;
    provider.token().await.unwrap();
    settle().await;
    let told = told(&mut subscription).await;
    assert!(matches!(&told[..], [Outage::Ended(_, 3, 20)]), "{told:?}");
}

/// The server requests a pause, in which the set becomes idle and its token ends.
#[tokio::test(start_paused = true)]
async fn v2_the_end_of_an_idle_scope_set_is_no_outage() {
    for pause in [100, 400] {
        let issuer = ScriptedIssuer::new();
        let refusal = Error::terminal("locked out").with_retry_after(secs(pause));
        issuer.script([
            Reply::token(secs(90_000)),
            Reply::token(secs(400)),
            Reply::error(refusal.clone()),
        ]);
        issuer.default_reply(Reply::error(refusal));
        let clock = ManualClock::new();
        let builder = builder(&issuer).clock(clock.clone());
        let builder = builder.retry_policy(RetryPolicy::default().max_retry_after(secs(1_000)));
        let builder = builder.scope_policy(ScopePolicy::default().idle_timeout(secs(350)));
        let provider = builder.build().unwrap();
        provider.token().await.unwrap();
        provider.scoped(["a"]).token().await.unwrap();
        let mut subscription = provider.subscribe();
        pass(&clock, 1_000).await;
        assert_eq!(told(&mut subscription).await, [], "a pause of {pause} s");
        assert!(issuer.exchanges() > 2, "the refresh failed");
    }
}

#[tokio::test(start_paused = true)]
async fn v2_an_exchange_that_times_out_begins_an_outage_too() {
    let issuer = ScriptedIssuer::new();
    issuer.script([Reply::token(secs(60)), Reply::hang(), Reply::hang()]);
    let (provider, clock) = provider(&issuer, RefreshPolicy::default());
    provider.token().await.unwrap();
    let mut subscription = provider.subscribe();
    pass(&clock, 180).await;
    let told = told(&mut subscription).await;
    let [Outage::Began(_, 1), .., Outage::Ended(_, 3, _)] = &told[..] else {
        panic!("{told:?}")
    };
}

#[test]
fn v2_an_outage_outlives_a_runtime() {
    let issuer = ScriptedIssuer::new();
    issuer.script([down(), down()]);
    let clock = ManualClock::new();
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap()
    };
    let first = runtime();
    let provider = first.block_on(async {
        let provider = builder(&issuer).clock(clock.clone()).build().unwrap();
        provider.token().await.unwrap_err();
        settle().await;
        provider
    });
    let mut subscription = provider.subscribe();
    drop(first);
    runtime().block_on(async {
        clock.advance(secs(5)).await;
        provider.token().await.unwrap_err();
        settle().await;
        clock.advance(secs(5)).await;
        provider.token().await.unwrap();
        settle().await;
        let told = told(&mut subscription).await;
        assert!(matches!(&told[..], [Outage::Ended(_, 3, _)]), "{told:?}");
    });
}

#[tokio::test(start_paused = true)]
async fn v2_a_scope_set_that_is_evicted_and_opened_again_begins_anew() {
    let issuer = ScriptedIssuer::new();
    issuer.script([Reply::token(secs(90_000)), down()]);
    let clock = ManualClock::new();
    let builder = builder(&issuer).clock(clock.clone());
    let provider = builder.scope_policy(ScopePolicy::default().max_sets(1).idle_timeout(IDLE));
    let provider = provider.build().unwrap();
    provider.token().await.unwrap();
    let mut subscription = provider.subscribe();
    let set = provider.scoped(["a"]);
    issuer.default_reply(Reply::error(Error::terminal("no such scope")));
    set.token().await.unwrap_err();
    pass(&clock, 40).await;
    issuer.default_reply(Reply::token(secs(900)));
    provider.scoped(["b"]).token().await.unwrap();
    pass(&clock, 40).await;
    let before = told(&mut subscription).await;
    assert_eq!(before[0], began(&["a"], 1));
    assert!(
        !before.iter().any(|it| matches!(it, Outage::Ended(..))),
        "{before:?}"
    );
    issuer.script([down()]);
    set.token().await.unwrap_err();
    settle().await;
    pass(&clock, 5).await;
    set.token().await.unwrap();
    settle().await;
    let after = told(&mut subscription).await;
    assert!(
        after.len() == 2 && after[0] == began(&["a"], 1),
        "{after:?}"
    );
    assert!(matches!(&after[1], Outage::Ended(_, 2, _)), "{after:?}");
}

/// Nothing is attempted, so there is nothing to remind of.
#[tokio::test(start_paused = true)]
async fn v2_a_lazy_provider_without_callers_is_not_reminded_of() {
    let issuer = ScriptedIssuer::new();
    issuer.script([down()]);
    let (provider, clock) = provider(&issuer, RefreshPolicy::default().lazy(true));
    let mut subscription = provider.subscribe();
    provider.token().await.unwrap_err();
    clock.advance(IDLE).await;
    settle().await;
    told(&mut subscription).await;
    pass(&clock, 2 * 3600).await;
    assert_eq!(told(&mut subscription).await, []);
    provider.token().await.unwrap();
    settle().await;
    let told = told(&mut subscription).await;
    // This caller has to wait, so the reminder that is due comes first.
    let [Outage::Continues(1, _), Outage::Ended(_, 2, _)] = &told[..] else {
        panic!("{told:?}")
    };
}

/// While no caller comes, the pause goes on growing.
#[tokio::test(start_paused = true)]
async fn v2_callers_that_come_and_go_do_not_make_reminders_more_frequent() {
    let issuer = ScriptedIssuer::new();
    issuer.default_reply(down());
    let clock = ManualClock::new();
    let provider = builder(&issuer)
        .clock(clock.clone())
        .refresh_policy(RefreshPolicy::default().lazy(true))
        .scope_policy(ScopePolicy::default().idle_timeout(secs(60)))
        .build()
        .unwrap();
    let mut subscription = provider.subscribe();
    let mut reminders = 0;
    for _ in 0..100 {
        provider.token().await.unwrap_err();
        pass(&clock, 120).await;
        let told = told(&mut subscription).await;
        reminders += told
            .iter()
            .filter(|it| matches!(it, Outage::Continues(..)))
            .count();
    }
    // 30 s, and then at most so many doublings within 12,000 s.
    assert!((3..=9).contains(&reminders), "{reminders}");
}

#[tokio::test(start_paused = true)]
async fn v2_a_scope_set_that_is_retired_in_an_outage_is_not_reminded_of() {
    let issuer = ScriptedIssuer::new();
    issuer.script([Reply::token(secs(900_000))]);
    issuer.default_reply(down());
    let (provider, clock) = provider(&issuer, RefreshPolicy::default());
    provider.token().await.unwrap();
    let mut subscription = provider.subscribe();
    provider.scoped(["a"]).token().await.unwrap_err();
    pass(&clock, 10).await;
    assert_eq!(told(&mut subscription).await, [began(&["a"], 1)]);
    clock.advance(IDLE + secs(60)).await;
    settle().await;
    told(&mut subscription).await;
    pass(&clock, 2 * 3600).await;
    assert_eq!(told(&mut subscription).await, []);
}

/// Each line of the log has the level, the provider and the cause.
#[tokio::test(start_paused = true)]
async fn v2_an_outage_is_an_error_in_the_log() {
    let (log, _logging) = Log::capture(tracing::Level::INFO);
    let issuer = ScriptedIssuer::new();
    issuer.script([down(), down()]);
    let clock = ManualClock::new();
    let provider = builder(&issuer).name("billing").clock(clock.clone());
    let provider = provider.build().unwrap();
    provider.token().await.unwrap_err();
    pass(&clock, 20).await;
    provider.token().await.unwrap();
    let log = log.text();
    let lines: Vec<&str> = log.lines().filter(|it| it.contains("served")).collect();
    assert_eq!(lines.len(), 2, "{log}");
    assert!(
        lines[0].contains("ERROR everbearer: no valid token"),
        "{log}"
    );
    assert!(
        lines[0].contains("error=the token issuer failed: down"),
        "{log}"
    );
    assert!(
        lines[1].contains("INFO everbearer: a valid token again"),
        "{log}"
    );
    assert!(lines[1].contains("attempts=3"), "{log}");
    for line in lines {
        assert!(line.contains("provider=\"billing\""), "{log}");
    }
}
