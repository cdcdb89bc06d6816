//! When it is rotated, on a clock that the test moves.

use std::time::Duration;

use everbearer::testkit::{ManualClock, Reply, ScriptedIssuer};
use everbearer::{Error, ErrorKind, Grant, RotationPolicy, TokenProvider, TokenProviderBuilder};

use crate::shared_memory_store::SharedMemoryStore;
use crate::support::{secs, settle};

const DAY: Duration = secs(24 * 60 * 60);
const LONG: Duration = Duration::from_secs(30 * 24 * 60 * 60);

fn issuer(life: Duration) -> ScriptedIssuer {
    let issuer = ScriptedIssuer::new();
    issuer.default_reply(Reply::token(DAY));
    issuer.script_long_term((0..4).map(|_| Reply::token(life)));
    issuer
}

fn builder(issuer: &ScriptedIssuer, clock: &ManualClock) -> TokenProviderBuilder {
    let grant = Grant::client_secret("client", "secret");
    TokenProvider::builder(issuer.clone(), grant).clock(clock.clone())
}

/// Goes on so many hours, with time for what becomes due in each.
async fn hours(clock: &ManualClock, hours: u32) {
    for _ in 0..hours {
        clock.advance(secs(60 * 60)).await;
        settle().await;
    }
}

#[tokio::test(start_paused = true)]
async fn l1_it_is_due_at_a_fraction_of_its_life() {
    let (issuer, clock) = (issuer(LONG), ManualClock::new());
    let provider = builder(&issuer, &clock).build().unwrap();
    provider.ready().await.unwrap();
    let due = provider.status().long_term.unwrap().rotates_in.unwrap();
    assert!(
        due >= LONG.mul_f64(0.61) && due <= LONG.mul_f64(0.71),
        "{due:?}"
    );
    hours(&clock, 18 * 24).await;
    assert_eq!(issuer.obtained(), 1, "before its time");
    hours(&clock, 4 * 24).await;
    assert_eq!(issuer.obtained(), 2);
    assert_eq!(
        provider.status().long_term.unwrap().token_id.unwrap(),
        "lt-2"
    );
}

#[tokio::test(start_paused = true)]
async fn l1_it_is_due_at_the_latest_so_many_days_before_its_end() {
    let (issuer, clock) = (issuer(LONG), ManualClock::new());
    let policy = RotationPolicy::default()
        .fraction(0.95)
        .before_end(10 * DAY);
    let provider = builder(&issuer, &clock)
        .rotation_policy(policy)
        .build()
        .unwrap();
    provider.ready().await.unwrap();
    let due = provider.status().long_term.unwrap().rotates_in.unwrap();
    assert!(
        due <= 20 * DAY && due >= 20 * DAY - LONG.mul_f64(0.1),
        "{due:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn l1_a_fleet_does_not_rotate_together() {
    let mut dues = std::collections::BTreeSet::new();
    for seed in 0..200 {
        let (issuer, clock) = (issuer(LONG), ManualClock::new());
        let provider = builder(&issuer, &clock).jitter_seed(seed).build().unwrap();
        provider.ready().await.unwrap();
        let due = provider.status().long_term.unwrap().rotates_in.unwrap();
        dues.insert(due.as_secs() / 3_600);
    }
    // Three days are 72 hours.
    assert!(dues.len() > 50, "{} different hours", dues.len());
}

#[tokio::test(start_paused = true)]
async fn l1_without_a_known_end_only_a_demand_rotates() {
    let (issuer, clock) = (ScriptedIssuer::new(), ManualClock::new());
    issuer.default_reply(Reply::token(DAY));
    let provider = builder(&issuer, &clock).build().unwrap();
    provider.ready().await.unwrap();
    assert_eq!(provider.status().long_term.unwrap().rotates_in, None);
    hours(&clock, 24 * 20).await;
    assert_eq!(issuer.obtained(), 1);
    provider.rotate().await.unwrap();
    assert_eq!(issuer.obtained(), 2);
}

#[tokio::test(start_paused = true)]
async fn l1_on_demand_only_is_never_by_time() {
    let (issuer, clock) = (issuer(LONG), ManualClock::new());
    let policy = RotationPolicy::default().manual();
    let provider = builder(&issuer, &clock)
        .rotation_policy(policy)
        .build()
        .unwrap();
    provider.ready().await.unwrap();
    hours(&clock, 24 * 29).await;
    assert_eq!(issuer.obtained(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_rotation_that_fails_is_tried_again_and_the_token_stays() {
    let (issuer, clock) = (ScriptedIssuer::new(), ManualClock::new());
    issuer.default_reply(Reply::token(DAY));
    issuer.script_long_term([
        Reply::token(LONG),
        Reply::error(Error::transient("down")),
        Reply::error(Error::terminal("no")),
        Reply::token(LONG),
    ]);
    let provider = builder(&issuer, &clock).build().unwrap();
    provider.ready().await.unwrap();
    assert_eq!(
        provider.rotate().await.unwrap_err().kind(),
        ErrorKind::Issuer
    );
    let status = provider.status().long_term.unwrap();
    assert_eq!(status.token_id.unwrap(), "lt-1");
    assert_eq!(status.last_error.unwrap().kind(), ErrorKind::Issuer);
    assert_eq!(
        provider.rotate().await.unwrap_err().kind(),
        ErrorKind::Denied
    );
    provider.rotate().await.unwrap();
    let status = provider.status().long_term.unwrap();
    assert_eq!(status.token_id.unwrap(), "lt-2");
    assert!(status.last_error.is_none());
}

#[tokio::test(start_paused = true)]
async fn without_a_grant_there_is_nothing_to_rotate_with() {
    let (provider, _clock) = crate::support::provider(&ScriptedIssuer::new());
    let error = provider.rotate().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("rotate_with"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn rotating_from_many_tasks_is_one_rotation() {
    let (issuer, clock) = (issuer(LONG), ManualClock::new());
    let provider = builder(&issuer, &clock).build().unwrap();
    provider.ready().await.unwrap();
    let callers = crate::support::tasks(100, || {
        let provider = provider.clone();
        async move { provider.rotate().await }
    });
    for outcome in callers.join_all().await {
        outcome.unwrap();
    }
    assert_eq!(issuer.obtained(), 2);
}

#[tokio::test(start_paused = true)]
async fn d6_after_the_shutdown_nothing_is_rotated() {
    let (issuer, clock) = (issuer(LONG), ManualClock::new());
    let provider = builder(&issuer, &clock).build().unwrap();
    provider.ready().await.unwrap();
    provider.shutdown().await;
    let error = provider.rotate().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ShutDown);
}

#[tokio::test(start_paused = true)]
async fn d1_a_rotation_under_way_is_finished_by_the_shutdown_and_its_token_revoked() {
    let (issuer, clock) = (ScriptedIssuer::new(), ManualClock::new());
    issuer.script_long_term([
        Reply::token(LONG),
        Reply::token(LONG).after(Duration::from_millis(500)),
    ]);
    let provider = builder(&issuer, &clock).build().unwrap();
    provider.ready().await.unwrap();
    let rotating = tokio::spawn({
        let provider = provider.clone();
        async move { provider.rotate().await }
    });
    settle().await;
    let report = provider.shutdown().await;
    assert!(report.all_revoked(), "{report:?}");
    // The one in use is kept; the next one, which nobody needs, is not.
    assert!(
        issuer.revoked().contains(&"lt-2".to_owned()),
        "{:?}",
        issuer.revoked()
    );
    assert!(!issuer.revoked().contains(&"lt-1".to_owned()));
    assert!(rotating.await.unwrap().is_err());
}

#[tokio::test(start_paused = true)]
async fn l1_a_wall_clock_that_was_wrong_at_the_start_delays_no_rotation() {
    let (issuer, clock, store) = (
        issuer(LONG),
        ManualClock::new(),
        SharedMemoryStore::default(),
    );
    let begin = || {
        builder(&issuer, &clock)
            .store(store.clone())
            .build()
            .unwrap()
    };
    let provider = begin();
    provider.ready().await.unwrap();
    drop(provider);
    // Fifteen days later the machine starts with the time of a year before.
    clock.advance(15 * DAY).await;
    clock.step_wall_back(365 * DAY);
    let provider = begin();
    provider.ready().await.unwrap();
    let due = |provider: &TokenProvider| provider.status().long_term.unwrap().rotates_in.unwrap();
    assert!(due(&provider) <= LONG);
    clock.step_wall_forward(365 * DAY);
    hours(&clock, 1).await;
    assert!(due(&provider) < 8 * DAY, "{:?}", due(&provider));
    hours(&clock, 8 * 24).await;
    assert_eq!(issuer.obtained(), 2);
}
