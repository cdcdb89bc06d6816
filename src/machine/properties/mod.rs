//! Properties that hold for any sequence of inputs, at any moments, with any answers of an issuer.
//!
//! `PROPTEST_CASES=10000 cargo test properties` runs more cases than usual.

mod given;
mod play;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;

use super::backoff::{Rest, retry_delay};
use super::refresh_time::window;
use super::*;
use given::{Answer, Step, answers, durations, passing, policies, rotations, steps};
use play::Play;

proptest! {
    // A case that fails becomes a named test instead of a regression file.
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn w16_any_sequence_of_events_keeps_every_rule(
        policies in policies(),
        seed: u64,
        steps in proptest::collection::vec((passing(), steps()), 1..120),
    ) {
        let mut play = Play::new(policies, seed);
        play.act();
        for (after, step) in steps {
            play.step(after, step);
        }
    }

    #[test]
    fn d1_after_the_shutdown_no_sequence_brings_about_anything_but_revoking(
        policies in policies(),
        seed: u64,
        before in proptest::collection::vec((passing(), steps()), 0..40),
        after in proptest::collection::vec((passing(), steps()), 0..40),
    ) {
        let mut play = Play::new(policies, seed);
        play.act();
        for (pause, step) in before {
            play.step(pause, step);
        }
        play.step(Duration::ZERO, Step::ShutDown);
        for (pause, step) in after {
            play.step(pause, step);
        }
        play.step(Duration::ZERO, Step::Drained);
        prop_assert_eq!(play.machine.next_of_sets(play.now), SetAction::Stop);
    }

    /// Without callers, the rate of exchanges is bounded, whatever an issuer answers, at once or later.
    #[test]
    fn no_sequence_of_answers_makes_a_hot_loop(
        seed: u64,
        answers in proptest::collection::vec((answers(), 0_u64..30), 1..200),
    ) {
        let mut play = Play::new(Policies::default(), seed);
        let began = play.now;
        play.act();
        let mut exchanges = 0_u32;
        for (answer, took) in answers {
            if play.in_flight.contains(&SetId::ROOT) {
                exchanges += 1;
                play.step(Duration::from_millis(took), Step::Land(0, answer));
            }
            let SetAction::Sleep(Some(until)) = play.machine.next_of_sets(play.now) else {
                break;
            };
            if until.since(began) > crate::policy::LONGEST * 4 {
                break; // the end of the representable time is near
            }
            play.step(until.since(play.now), Step::Pass);
        }
        let passed = play.now.since(began);
        let most = passed.as_secs_f64() * 60.0 + 2.0;
        prop_assert!(f64::from(exchanges) <= most, "{} in {:?}", exchanges, passed);
    }

    #[test]
    fn j2_and_j3_the_window_is_drawn_once_inside_the_life(
        policies in policies(),
        life in durations(),
        latency in durations(),
        draw in 0.0_f64..=1.0,
    ) {
        let sent = Moment::from_origin(Duration::from_secs(5));
        let now = sent + latency;
        let at = (sent, now);
        if let Some(window) = window(&policies.refresh, Generation(1), at, life, draw) {
            prop_assert!(now < window.refresh_at);
            prop_assert!(window.refresh_at < window.usable_until);
            prop_assert!(window.usable_until <= window.ends_at);
            prop_assert!(window.ends_at <= sent + life);
        }
    }

    #[test]
    fn l1_a_rotation_lies_inside_the_life_and_before_the_lead(
        policy in rotations(),
        age in durations(),
        left in durations(),
        draw in 0.0_f64..=1.0,
    ) {
        let pause = super::refresh_time::rotation_in(&policy, age, left, draw);
        prop_assert!(pause <= left);
        let (age, left) = (age.min(crate::policy::LONGEST), left.min(crate::policy::LONGEST));
        let lead = policy.before_end.min((age + left) / 2);
        prop_assert!(pause <= left.saturating_sub(lead));
        let earliest = (age + left).mul_f64((policy.fraction - policy.jitter).max(0.0));
        let by_lead = (age + left).saturating_sub(lead).saturating_sub((age + left).mul_f64(2.0 * policy.jitter));
        let slack = Duration::from_millis(1);
        prop_assert!(age + pause + slack >= earliest.min(by_lead));
    }

    #[test]
    fn e4_and_e5_delays_are_bounded_below_and_above(
        policies in policies(),
        failures: u32,
        usable in proptest::option::of(1_u64..100_000_000),
        retry_after in proptest::option::of(durations()),
        draw in 0.0_f64..=1.0,
    ) {
        let failure = Failure::Transient { retry_after };
        let rest = usable.map(|usable| Rest {
            usable: Duration::from_micros(usable),
            life: Duration::from_micros(usable) * 4,
        });
        let delay = retry_delay(&policies.retry, failure, failures, rest, draw);
        prop_assert!(delay >= Duration::from_millis(1));
        if let Some(rest) = rest {
            prop_assert!(delay <= rest.usable.max(Duration::from_millis(1)));
        }
        let policy = &policies.retry;
        let most = policy.longest_delay.max(policy.max_retry_after);
        prop_assert!(delay <= most.max(Duration::from_millis(1)));
    }

    #[test]
    fn e16_the_pause_after_a_refusal_is_at_least_what_the_server_asks_for(
        policies in policies(),
        failures: u32,
        retry_after in proptest::option::of(durations()),
        draw in 0.0_f64..=1.0,
    ) {
        let policy = &policies.retry;
        let failure = Failure::Terminal { retry_after };
        let delay = retry_delay(policy, failure, failures, None, draw);
        let asked = retry_after.unwrap_or_default().min(policy.max_retry_after);
        prop_assert_eq!(delay, policy.terminal_backoff.max(asked));
    }
}

#[test]
fn j1_a_fleet_with_one_expiry_spreads_over_the_window() {
    let life = Duration::from_secs(900);
    let mut seconds = BTreeMap::new();
    for seed in 0..10_000 {
        let mut play = Play::new(Policies::default(), seed * 7_919);
        play.act();
        play.step(Duration::ZERO, Step::Land(0, Answer::Token(life)));
        let window = play.machine.window(SetId::ROOT).unwrap();
        let second = window.refresh_at.since(play.now).as_secs();
        *seconds.entry(second).or_insert(0_u32) += 1;
    }
    let mean = 10_000 / u32::try_from(seconds.len()).unwrap();
    assert!(seconds.len() > 80, "{} seconds", seconds.len());
    let most = seconds.values().max().unwrap();
    assert!(*most <= 2 * mean, "{most} in one second, {mean} on average");
}

#[test]
fn j4_a_fleet_that_restarts_together_does_not_stay_together() {
    let life = Duration::from_secs(900);
    let refreshes: BTreeSet<Vec<u128>> = (0..1_000)
        .map(|seed| {
            let mut play = Play::new(Policies::default(), seed);
            play.act();
            (0..3)
                .map(|_| {
                    play.step(Duration::ZERO, Step::Land(0, Answer::Token(life)));
                    let window = play.machine.window(SetId::ROOT).unwrap();
                    play.step(window.refresh_at.since(play.now), Step::Pass);
                    play.now
                        .since(Moment::from_origin(Duration::ZERO))
                        .as_millis()
                })
                .collect()
        })
        .collect();
    assert!(refreshes.len() > 990, "{} of 1,000 differ", refreshes.len());
}
