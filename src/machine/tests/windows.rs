//! When a token is exchanged.

use super::*;

#[test]
fn w7_the_refresh_lies_inside_the_life_and_in_proportion_to_it() {
    let policy = RefreshPolicy::default();
    for life in [1, 4, 5, 60, 900, 86_400].map(secs) {
        for draw in [LEAST, MIDDLE, MOST] {
            let window = window(&policy, Generation(1), (at(100), at(100)), life, draw).unwrap();
            let share = window.refresh_at.since(at(100)).as_secs_f64() / life.as_secs_f64();
            assert!((0.5..0.8).contains(&share), "{share} of {life:?}");
            assert!(window.refresh_at < window.usable_until);
            assert!(window.usable_until < window.ends_at);
            assert_eq!(window.ends_at, at(100) + life);
        }
    }
}

#[test]
fn w8_an_explicit_lead_wins_but_never_means_one_refresh_after_the_other() {
    let policy = RefreshPolicy::default()
        .refresh_before(secs(300))
        .jitter(0.0);
    let lead = |life| {
        let window = window(&policy, Generation(1), (at(0), at(0)), life, MIDDLE).unwrap();
        window.usable_until.since(window.refresh_at)
    };
    assert_eq!(lead(secs(3_600)), secs(300));
    assert_eq!(lead(secs(64)), Duration::from_millis(29_500)); // half of the usable life
}

#[test]
fn j3_jitter_never_reaches_the_hard_edge() {
    let policy = RefreshPolicy::default().fraction(0.99).jitter(0.25);
    let late = window(&policy, Generation(1), (at(0), at(0)), secs(900), MOST).unwrap();
    assert!(late.refresh_at < late.usable_until);
    // The refresh is not so early that refreshes follow each other at once.
    let policy = RefreshPolicy::default().fraction(0.1).jitter(0.25);
    let early = window(&policy, Generation(1), (at(0), at(0)), secs(900), LEAST).unwrap();
    assert!(early.refresh_at >= at(44), "{early:?}");
}

#[test]
fn w10_the_shortest_life_that_counts_is_50_ms() {
    let of = |millis| {
        let life = Duration::from_millis(millis);
        let policy = RefreshPolicy::default();
        window(&policy, Generation(1), (at(0), at(0)), life, MIDDLE).is_some()
    };
    assert!(!of(1) && !of(49));
    assert!(of(50) && of(51));
}

#[test]
fn a_token_that_came_late_is_not_replaced_at_once() {
    let policy = RefreshPolicy::default();
    let window = window(&policy, Generation(1), (at(0), at(80)), secs(100), MIDDLE).unwrap();
    assert!(window.refresh_at >= at(87), "{window:?}");
    assert!(window.refresh_at < window.usable_until);
}

#[test]
fn w10_a_token_without_a_future_counts_as_a_failure() {
    for life in [Duration::ZERO, Duration::from_millis(49), secs(50)] {
        let mut machine = with_token(secs(900));
        let window = machine.window(ROOT);
        let later = refresh_at(&machine);
        assert_eq!(machine.next_of_sets(later), BEGIN);
        exchanged(&mut machine, at(0), life, later);
        assert_eq!(machine.window(ROOT), window, "the old token stays");
        assert_eq!(machine.failures(ROOT), 1);
        assert!(
            matches!(machine.next_of_sets(later), SetAction::Sleep(Some(next)) if next > later)
        );
    }
}

#[test]
fn w2_nothing_is_exchanged_while_the_token_is_fresh() {
    let mut machine = with_token(secs(900));
    let demand = demanded(Generation(0));
    machine.handle(demand, at(1));
    assert_eq!(
        machine.next_of_sets(at(1)),
        SetAction::Sleep(Some(refresh_at(&machine)))
    );
}

#[test]
fn f1_while_an_exchange_is_under_way_no_other_begins() {
    let mut machine = machine();
    assert_eq!(machine.next_of_sets(at(0)), BEGIN);
    for newer_than in [0, 1, 2].map(Generation) {
        machine.handle(demanded(newer_than), at(0));
        assert_eq!(machine.next_of_sets(at(1_000_000)), SetAction::Sleep(None));
    }
}

#[test]
fn a_demand_for_a_newer_token_is_met_at_once_and_only_once() {
    let mut machine = with_token(secs(900));
    let demand = demanded(Generation(1));
    machine.handle(demand, at(1));
    assert_eq!(machine.next_of_sets(at(1)), BEGIN);
    let life = secs(900);
    exchanged(&mut machine, at(1), life, at(2));
    assert_eq!(machine.window(ROOT).unwrap().generation, Generation(2));
    assert_eq!(
        machine.next_of_sets(at(2)),
        SetAction::Sleep(Some(refresh_at(&machine)))
    );
}

#[test]
fn w6_a_lazy_machine_exchanges_only_on_demand() {
    let mut policies = Policies::default();
    policies.refresh.lazy = true;
    let mut machine = Machine::new(policies.into(), None, 7, at(0));
    assert!(machine.is_lazy() && !with_token(secs(900)).is_lazy());
    assert_eq!(machine.next_of_sets(at(1_000_000)), SetAction::Sleep(None));
    machine.handle(demanded(Generation(0)), at(0));
    assert_eq!(machine.next_of_sets(at(0)), BEGIN);
    exchanged(&mut machine, at(0), secs(900), at(0));
    assert_eq!(machine.next_of_sets(at(1_000_000)), SetAction::Sleep(None));
}
