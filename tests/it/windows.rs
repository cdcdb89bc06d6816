//! Windows and clocks.

use std::time::{Duration, SystemTime};

use everbearer::testkit::{ManualClock, Reply, ScriptedIssuer};
use everbearer::{Clock, Error, Moment, RefreshPolicy, State};

use crate::support::{builder, millis, provider, secs, settle, tasks};

#[tokio::test(start_paused = true)]
async fn w1_with_nothing_cached_all_callers_wait_for_one_exchange() {
    let issuer = ScriptedIssuer::new();
    issuer.default_reply(Reply::token(secs(900)).after(millis(50)));
    let (provider, _) = provider(&issuer);

    let callers = tasks(100, || {
        let provider = provider.clone();
        async move { provider.token().await }
    });
    for token in callers.join_all().await {
        assert_eq!(token.unwrap().expose(), "st-1");
    }
    assert_eq!(issuer.exchanges(), 1);
}

#[tokio::test(start_paused = true)]
async fn w2_a_fresh_token_is_served_without_an_exchange() {
    let issuer = ScriptedIssuer::new();
    let (provider, _) = provider(&issuer);
    for _ in 0..1_000 {
        assert_eq!(provider.authorization().await.unwrap(), "Bearer st-1");
        assert_eq!(provider.token().await.unwrap().token_id(), Some("st-1"));
    }
    assert_eq!(issuer.exchanges(), 1);
    assert_eq!(provider.status().state, State::Fresh);
}

#[tokio::test(start_paused = true)]
async fn w3_in_the_refresh_window_the_current_token_is_served_at_once() {
    let issuer = ScriptedIssuer::new();
    issuer.script([Reply::token(secs(900))]);
    issuer.default_reply(Reply::token(secs(900)).after(secs(10)));
    let (provider, clock) = provider(&issuer);
    provider.token().await.unwrap();

    let due = provider.status().next_exchange_in.unwrap();
    clock.advance(due + secs(1)).await;
    assert_eq!(issuer.exchanges(), 2, "the refresh is in flight");
    let before = clock.now();
    for _ in 0..100 {
        assert_eq!(provider.token().await.unwrap().expose(), "st-1");
    }
    assert_eq!(clock.now(), before, "nobody waited");
    clock.advance(secs(10)).await;
    assert_eq!(provider.token().await.unwrap().expose(), "st-2");
    assert_eq!(issuer.exchanges(), 2);
}

#[tokio::test(start_paused = true)]
async fn w4_an_expired_token_is_never_served() {
    let issuer = ScriptedIssuer::new();
    issuer.script([Reply::token(secs(60))]);
    issuer.default_reply(Reply::token(secs(60)).after(millis(20)));
    let (provider, clock) = provider(&issuer);
    provider.token().await.unwrap();

    // Past the end before anyone could act.
    clock.suspend(secs(3_600));
    assert!(provider.current().is_none());
    let callers = tasks(50, || {
        let provider = provider.clone();
        async move { provider.authorization().await }
    });
    for header in callers.join_all().await {
        assert_eq!(header.unwrap(), "Bearer st-2");
    }
    assert_eq!(issuer.exchanges(), 2);
}

/// As the system's clock: the hot path reads one that is a tick behind.
#[derive(Debug)]
struct Behind(ManualClock);

impl Clock for Behind {
    fn now(&self) -> Moment {
        self.0.now()
    }

    fn coarse_now(&self) -> Moment {
        let origin = Moment::from_origin(Duration::ZERO);
        Moment::from_origin(self.0.now().since(origin).saturating_sub(millis(10)))
    }

    fn wall(&self) -> SystemTime {
        self.0.wall()
    }
}

#[tokio::test(start_paused = true)]
async fn w4_without_a_margin_the_hot_path_s_clock_makes_no_token_live_longer() {
    let without_margin = RefreshPolicy::default().expiry_margin(Duration::ZERO);
    // A lazy provider's refresh may fall due in the last tick, too.
    let late = without_margin.clone().refresh_before(millis(1)).jitter(0.0);
    for policy in [without_margin, late.lazy(true)] {
        let issuer = ScriptedIssuer::new();
        issuer.script([Reply::token(secs(60))]);
        issuer.default_reply(Reply::error(Error::transient("down")));
        let clock = ManualClock::new();
        let provider = builder(&issuer)
            .clock(Behind(clock.clone()))
            .refresh_policy(policy)
            .build()
            .unwrap();
        provider.token().await.unwrap();

        clock.suspend(secs(60) - millis(2));
        assert_eq!(provider.authorization().await.unwrap(), "Bearer st-1");
        assert_eq!(provider.token().await.unwrap().expose(), "st-1");
        clock.suspend(millis(2));
        provider.authorization().await.unwrap_err();
        provider.token().await.unwrap_err();
    }
}

#[tokio::test(start_paused = true)]
async fn w5_without_traffic_the_token_is_refreshed_all_the_same() {
    let issuer = ScriptedIssuer::new();
    let (provider, clock) = provider(&issuer);
    provider.token().await.unwrap();
    for _ in 0..100 {
        clock.advance(secs(900)).await;
        assert!(provider.current().is_some());
    }
    assert_eq!(issuer.most_at_once(), 1);
}

#[tokio::test(start_paused = true)]
async fn w7_the_refresh_is_in_proportion_to_the_life() {
    for life in [5, 60, 900, 86_400].map(secs) {
        let issuer = ScriptedIssuer::new();
        issuer.default_reply(Reply::token(life));
        let (provider, clock) = provider(&issuer);
        let began = clock.now();
        let mut served = 0;
        while clock.now().since(began) < life * 20 {
            provider.token().await.unwrap();
            served += 1;
            clock.advance(life / 50).await;
        }
        let exchanges = issuer.exchanges();
        assert!(
            (20..=40).contains(&exchanges),
            "{exchanges} for {served} calls, {life:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn w8_an_explicit_policy_wins() {
    let issuer = ScriptedIssuer::new();
    issuer.default_reply(Reply::token(secs(3_600)));
    let policy = RefreshPolicy::default()
        .refresh_before(secs(600))
        .expiry_margin(Duration::ZERO)
        .jitter(0.0);
    let provider = builder(&issuer).refresh_policy(policy).build().unwrap();
    provider.token().await.unwrap();
    assert_eq!(provider.status().next_exchange_in, Some(secs(3_000)));
}

#[tokio::test(start_paused = true)]
async fn w9_a_token_whose_end_nobody_states_lives_for_five_minutes() {
    let issuer = ScriptedIssuer::new();
    issuer.default_reply(Reply::token_without_end());
    let (provider, clock) = provider(&issuer);
    provider.token().await.unwrap();
    assert_eq!(provider.status().usable_for, secs(295));
    clock.advance(secs(3_600)).await;
    assert!(
        (12..=24).contains(&issuer.exchanges()),
        "{}",
        issuer.exchanges()
    );
}

#[tokio::test(start_paused = true)]
async fn w10_an_expired_token_from_the_issuer_is_a_failure_and_the_old_one_stays() {
    let issuer = ScriptedIssuer::new();
    issuer.script([Reply::token(secs(900)), Reply::token(Duration::ZERO)]);
    let (provider, _) = provider(&issuer);
    provider.token().await.unwrap();
    let error = provider.refresh().await.unwrap_err();
    assert!(error.to_string().contains("already expired"), "{error}");
    assert_eq!(provider.token().await.unwrap().expose(), "st-1");
    assert_eq!(provider.status().state, State::Failing);
    assert_eq!(provider.refresh().await.unwrap().expose(), "st-3");
}

#[tokio::test(start_paused = true)]
async fn w6_a_lazy_provider_that_is_never_asked_exchanges_nothing() {
    let issuer = ScriptedIssuer::new();
    let policy = RefreshPolicy::default().lazy(true);
    let clock = everbearer::testkit::ManualClock::new();
    let provider = builder(&issuer).clock(clock.clone()).refresh_policy(policy);
    let provider = provider.build().unwrap();
    clock.advance(secs(86_400)).await;
    assert_eq!(issuer.exchanges(), 0);
    assert_eq!(provider.token().await.unwrap().expose(), "st-1");
    clock.advance(secs(800)).await;
    assert_eq!(issuer.exchanges(), 1, "nobody has asked in the window");
    for _ in 0..10 {
        let header = provider.authorization().await.unwrap();
        assert_eq!(header, "Bearer st-1", "served at once");
    }
    settle().await;
    assert_eq!(issuer.exchanges(), 2, "refreshed behind the first of them");
    assert_eq!(provider.authorization().await.unwrap(), "Bearer st-2");
}

#[tokio::test(start_paused = true)]
async fn w16_no_life_however_short_makes_exchanges_follow_each_other_without_a_pause() {
    for life in [0, 1, 10, 49, 50, 100].map(millis) {
        let issuer = ScriptedIssuer::new();
        issuer.default_reply(Reply::token(life));
        let (_provider, clock) = provider(&issuer);
        clock.advance(secs(10)).await;
        assert!(
            issuer.exchanges() < 500,
            "{} of {life:?}",
            issuer.exchanges()
        );
    }
}

#[tokio::test(start_paused = true)]
async fn w14_after_a_sleep_of_the_machine_the_token_is_known_to_have_expired() {
    let issuer = ScriptedIssuer::new();
    let (provider, clock) = provider(&issuer);
    provider.token().await.unwrap();
    clock.suspend(secs(2 * 60 * 60));
    assert!(provider.current().is_none());
    // Nobody asks: the driver finds out by itself within a heartbeat.
    clock.advance(secs(31)).await;
    settle().await;
    assert_eq!(provider.current().unwrap().expose(), "st-2");
}

#[tokio::test(start_paused = true)]
async fn w15_steps_of_the_wall_clock_change_nothing() {
    let issuer = ScriptedIssuer::new();
    let (provider, clock) = provider(&issuer);
    provider.token().await.unwrap();
    for step in 0..10 {
        if step % 2 == 0 {
            clock.step_wall_forward(secs(86_400));
        } else {
            clock.step_wall_back(secs(5 * 86_400));
        }
        clock.advance(secs(60)).await;
        assert_eq!(provider.current().unwrap().expose(), "st-1");
    }
    assert_eq!(issuer.exchanges(), 1);
}
