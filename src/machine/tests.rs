use super::schedule::{between_denials, retry_delay, window};
use super::*;

const LEAST: f64 = 0.0;
const MIDDLE: f64 = 0.5;
const MOST: f64 = 1.0;

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn at(seconds: u64) -> Moment {
    Moment::from_origin(secs(seconds))
}

fn machine() -> Machine {
    Machine::new(RefreshPolicy::default(), RetryPolicy::default(), 7)
}

fn transient() -> Event {
    Event::Failed(Failure::Transient { retry_after: None })
}

/// A machine that has just accepted its first token, of this life.
fn with_token(life: Duration) -> Machine {
    let mut machine = machine();
    assert_eq!(machine.poll(at(0)), Action::Exchange);
    machine.handle(Event::Exchanged { sent: at(0), life }, at(0));
    machine
}

fn refresh_at(machine: &Machine) -> Moment {
    machine.window().unwrap().refresh_at
}

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
    let policy = RefreshPolicy::default().before_end(secs(300)).jitter(0.0);
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
    let window = window(&policy, Generation(1), (at(0), at(0)), secs(900), MOST).unwrap();
    assert!(window.refresh_at < window.usable_until);
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
    for life in [Duration::ZERO, Duration::from_millis(9), secs(50)] {
        let mut machine = with_token(secs(900));
        let window = machine.window();
        let later = refresh_at(&machine);
        assert_eq!(machine.poll(later), Action::Exchange);
        machine.handle(Event::Exchanged { sent: at(0), life }, later);
        assert_eq!(machine.window(), window, "the old token stays");
        assert_eq!(machine.failures(), 1);
        assert!(matches!(machine.poll(later), Action::Sleep(Some(next)) if next > later));
    }
}

#[test]
fn w2_nothing_is_exchanged_while_the_token_is_fresh() {
    let mut machine = with_token(secs(900));
    let demand = Event::Demanded {
        newer_than: Generation(0),
    };
    machine.handle(demand, at(1));
    assert_eq!(
        machine.poll(at(1)),
        Action::Sleep(Some(refresh_at(&machine)))
    );
}

#[test]
fn f1_while_an_exchange_is_under_way_no_other_begins() {
    let mut machine = machine();
    assert_eq!(machine.poll(at(0)), Action::Exchange);
    for newer_than in [0, 1, 2].map(Generation) {
        machine.handle(Event::Demanded { newer_than }, at(0));
        assert_eq!(machine.poll(at(1_000_000)), Action::Sleep(None));
    }
}

#[test]
fn a_demand_for_a_newer_token_is_met_at_once_and_only_once() {
    let mut machine = with_token(secs(900));
    let demand = Event::Demanded {
        newer_than: Generation(1),
    };
    machine.handle(demand, at(1));
    assert_eq!(machine.poll(at(1)), Action::Exchange);
    let life = secs(900);
    machine.handle(Event::Exchanged { sent: at(1), life }, at(2));
    assert_eq!(machine.window().unwrap().generation, Generation(2));
    assert_eq!(
        machine.poll(at(2)),
        Action::Sleep(Some(refresh_at(&machine)))
    );
}

#[test]
fn e1_a_failure_leaves_the_window_and_is_tried_again_before_the_end() {
    let mut machine = with_token(secs(900));
    let window = machine.window();
    let now = refresh_at(&machine);
    assert_eq!(machine.poll(now), Action::Exchange);
    machine.handle(transient(), now);
    assert_eq!(machine.window(), window);
    let Action::Sleep(Some(retry_at)) = machine.poll(now) else {
        panic!("it must wait for the next attempt");
    };
    assert!(now < retry_at && retry_at < window.unwrap().usable_until);
    assert_eq!(machine.poll(retry_at), Action::Exchange);
}

#[test]
fn e4_delays_grow_are_capped_and_begin_anew_after_a_success() {
    let policy = RetryPolicy::default();
    let failure = Failure::Transient { retry_after: None };
    let delay = |failures| retry_delay(&policy, failure, failures, None, MOST);
    let delays: Vec<u64> = (1..=9).map(|failures| delay(failures).as_secs()).collect();
    assert_eq!(delays, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    assert_eq!(delay(u32::MAX), secs(60));

    let mut machine = machine();
    let mut now = at(0);
    for _ in 0..20 {
        assert_eq!(machine.poll(now), Action::Exchange);
        machine.handle(transient(), now);
        let Action::Sleep(Some(next)) = machine.poll(now) else {
            panic!("it must wait for the next attempt");
        };
        assert!(next > now);
        now = next;
    }
    assert_eq!(machine.poll(now), Action::Exchange);
    let life = secs(900);
    machine.handle(Event::Exchanged { sent: now, life }, now);
    assert_eq!(machine.failures(), 0);
}

#[test]
fn e5_several_attempts_fit_into_the_rest_of_the_life() {
    let policy = RetryPolicy::default();
    let failure = Failure::Transient { retry_after: None };
    let mut rest = secs(20);
    let mut attempts = 0;
    while rest > Duration::from_millis(10) {
        let delay = retry_delay(&policy, failure, 30, Some(rest), MOST);
        assert!(delay < rest, "{delay:?} of {rest:?}");
        rest -= delay;
        attempts += 1;
    }
    assert!(attempts >= 4, "{attempts}");
}

#[test]
fn e9_retry_after_is_honoured_and_capped() {
    let policy = RetryPolicy::default();
    let asked = |seconds, rest| {
        let retry_after = Some(secs(seconds));
        retry_delay(&policy, Failure::Transient { retry_after }, 1, rest, LEAST)
    };
    assert_eq!(asked(120, None), secs(120));
    assert_eq!(asked(u64::MAX, None), secs(300));
    assert_eq!(
        asked(120, Some(secs(80))),
        secs(60),
        "one attempt before the token's end"
    );
    assert!(asked(0, None) > Duration::ZERO);
}

#[test]
fn e7_a_terminal_failure_ends_the_attempts_until_a_demand_after_the_pause() {
    let mut machine = machine();
    assert_eq!(machine.poll(at(0)), Action::Exchange);
    machine.handle(Event::Failed(Failure::Terminal), at(0));
    assert!(machine.is_refused());
    assert_eq!(machine.poll(at(1_000_000)), Action::Sleep(None));
    assert_eq!(machine.outlook(at(29)), Outlook::Refused);
    assert_eq!(machine.outlook(at(30)), Outlook::Imminent);
    let demand = Event::Demanded {
        newer_than: Generation(0),
    };
    machine.handle(demand, at(31));
    assert_eq!(machine.poll(at(31)), Action::Exchange);
}

#[test]
fn r4_late_denials_of_one_token_are_one_demand() {
    let mut machine = with_token(secs(900));
    for _ in 0..100 {
        machine.handle(Event::Denied(Generation(1)), at(1));
    }
    assert_eq!(machine.poll(at(1)), Action::Exchange);
    let life = secs(900);
    machine.handle(Event::Exchanged { sent: at(1), life }, at(2));
    machine.handle(Event::Denied(Generation(1)), at(2));
    assert!(machine.replaces(Generation(1)));
    assert_eq!(
        machine.poll(at(2)),
        Action::Sleep(Some(refresh_at(&machine)))
    );
}

#[test]
fn r5_a_token_denied_right_after_another_is_no_reason_to_exchange() {
    let mut machine = with_token(secs(900));
    machine.handle(Event::Denied(Generation(1)), at(1));
    assert_eq!(machine.poll(at(1)), Action::Exchange);
    let life = secs(900);
    machine.handle(Event::Exchanged { sent: at(1), life }, at(1));
    machine.handle(Event::Denied(Generation(2)), at(2));
    assert!(!machine.replaces(Generation(2)));
    machine.handle(Event::Denied(Generation(2)), at(12));
    assert!(machine.replaces(Generation(2)));
    assert_eq!(between_denials(&RefreshPolicy::default(), secs(4)), secs(1));
}

#[test]
fn f11_an_interrupted_exchange_is_made_again() {
    let mut machine = machine();
    assert_eq!(machine.poll(at(0)), Action::Exchange);
    machine.handle(Event::Interrupted, at(1));
    assert_eq!(machine.poll(at(1)), Action::Exchange);
}

#[test]
fn d1_after_the_shutdown_there_is_nothing_but_revoking() {
    let mut machine = with_token(secs(900));
    let deadline = at(15);
    machine.handle(Event::ShutDown { deadline }, at(10));
    let second = Event::ShutDown { deadline: at(99) };
    machine.handle(second, at(10));
    assert_eq!(machine.poll(at(10)), Action::Drain { deadline });
    for event in [
        Event::Demanded {
            newer_than: Generation(9),
        },
        Event::Denied(Generation(1)),
        transient(),
        Event::Exchanged {
            sent: at(10),
            life: secs(900),
        },
    ] {
        machine.handle(event, at(11));
        assert_eq!(machine.poll(at(2_000)), Action::Sleep(None));
    }
    machine.handle(Event::Interrupted, at(12));
    assert_eq!(machine.poll(at(12)), Action::Drain { deadline });
    machine.handle(Event::Drained, at(13));
    assert_eq!(machine.poll(at(13)), Action::Stop);
    assert_eq!(machine.outlook(at(13)), Outlook::ShutDown);
}
