use super::schedule::{Rest, between_denials, retry_delay, window};
use super::*;
use std::time::Duration;

const ROOT: LaneId = LaneId::ROOT;
const BEGIN: Action = Action::Exchange(ROOT);

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
    Machine::new(Policies::default(), 7, at(0))
}

fn failed(failure: Failure) -> Event {
    Event::Failed {
        lane: ROOT,
        failure,
    }
}

fn denied(generation: Generation) -> Event {
    Event::Denied {
        lane: ROOT,
        generation,
    }
}

fn demanded(newer_than: Generation) -> Event {
    Event::Demanded {
        lane: ROOT,
        newer_than,
    }
}

fn exchanged(sent: Moment, life: Duration) -> Event {
    Event::Exchanged {
        lane: ROOT,
        sent,
        life,
    }
}

fn transient() -> Event {
    failed(Failure::Transient { retry_after: None })
}

/// A machine that has just accepted its first token, of this life.
fn with_token(life: Duration) -> Machine {
    let mut machine = machine();
    assert_eq!(machine.poll(at(0)), BEGIN);
    machine.handle(exchanged(at(0), life), at(0));
    machine
}

fn refresh_at(machine: &Machine) -> Moment {
    machine.window(ROOT).unwrap().refresh_at
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
    let late = window(&policy, Generation(1), (at(0), at(0)), secs(900), MOST).unwrap();
    assert!(late.refresh_at < late.usable_until);
    // Nor so close to the beginning that one refresh would follow on the other.
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
        assert_eq!(machine.poll(later), BEGIN);
        machine.handle(exchanged(at(0), life), later);
        assert_eq!(machine.window(ROOT), window, "the old token stays");
        assert_eq!(machine.failures(ROOT), 1);
        assert!(matches!(machine.poll(later), Action::Sleep(Some(next)) if next > later));
    }
}

#[test]
fn w2_nothing_is_exchanged_while_the_token_is_fresh() {
    let mut machine = with_token(secs(900));
    let demand = demanded(Generation(0));
    machine.handle(demand, at(1));
    assert_eq!(
        machine.poll(at(1)),
        Action::Sleep(Some(refresh_at(&machine)))
    );
}

#[test]
fn f1_while_an_exchange_is_under_way_no_other_begins() {
    let mut machine = machine();
    assert_eq!(machine.poll(at(0)), BEGIN);
    for newer_than in [0, 1, 2].map(Generation) {
        machine.handle(demanded(newer_than), at(0));
        assert_eq!(machine.poll(at(1_000_000)), Action::Sleep(None));
    }
}

#[test]
fn a_demand_for_a_newer_token_is_met_at_once_and_only_once() {
    let mut machine = with_token(secs(900));
    let demand = demanded(Generation(1));
    machine.handle(demand, at(1));
    assert_eq!(machine.poll(at(1)), BEGIN);
    let life = secs(900);
    machine.handle(exchanged(at(1), life), at(2));
    assert_eq!(machine.window(ROOT).unwrap().generation, Generation(2));
    assert_eq!(
        machine.poll(at(2)),
        Action::Sleep(Some(refresh_at(&machine)))
    );
}

#[test]
fn e1_a_failure_leaves_the_window_and_is_tried_again_before_the_end() {
    let mut machine = with_token(secs(900));
    let window = machine.window(ROOT);
    let now = refresh_at(&machine);
    assert_eq!(machine.poll(now), BEGIN);
    machine.handle(transient(), now);
    assert_eq!(machine.window(ROOT), window);
    let Action::Sleep(Some(retry_at)) = machine.poll(now) else {
        panic!("it must wait for the next attempt");
    };
    assert!(now < retry_at && retry_at < window.unwrap().usable_until);
    assert_eq!(machine.poll(retry_at), BEGIN);
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
        assert_eq!(machine.poll(now), BEGIN);
        machine.handle(transient(), now);
        let Action::Sleep(Some(next)) = machine.poll(now) else {
            panic!("it must wait for the next attempt");
        };
        assert!(next > now);
        now = next;
    }
    assert_eq!(machine.poll(now), BEGIN);
    machine.handle(transient(), now);
    let delay = machine.next_attempt_at(ROOT, now).unwrap().since(now);
    assert!(delay >= secs(6), "it has grown: {delay:?}");
    now = now + delay;
    assert_eq!(machine.poll(now), BEGIN);
    let life = secs(900);
    machine.handle(exchanged(now, life), now);
    assert_eq!(machine.failures(ROOT), 0);
}

#[test]
fn e5_several_attempts_fit_into_the_rest_of_the_life_but_not_ever_more() {
    for life in [4, 60, 900, 86_400].map(secs) {
        let window = window(
            &RefreshPolicy::default(),
            Generation(1),
            (at(0), at(0)),
            life,
            MIDDLE,
        );
        let mut usable = window
            .unwrap()
            .usable_until
            .since(window.unwrap().refresh_at);
        let (mut attempts, most) = (0, 60 + usable.as_secs() / 30);
        while !usable.is_zero() {
            attempts += 1;
            let failure = Failure::Transient { retry_after: None };
            let rest = Some(Rest { usable, life });
            let delay = retry_delay(&RetryPolicy::default(), failure, attempts, rest, MIDDLE);
            assert!(delay <= usable, "{delay:?} of {usable:?}");
            usable -= delay;
        }
        assert!(
            (4..=most).contains(&u64::from(attempts)),
            "{attempts} in {life:?}"
        );
    }
}

#[test]
fn when_the_token_has_ended_delays_begin_anew() {
    let mut machine = with_token(secs(900));
    let ends = machine.window(ROOT).unwrap().usable_until;
    let mut now = refresh_at(&machine);
    while now < ends {
        assert_eq!(machine.poll(now), BEGIN);
        machine.handle(transient(), now);
        let Action::Sleep(Some(next)) = machine.poll(now) else {
            panic!("it must wait for the next attempt");
        };
        assert!(next <= ends);
        now = next;
    }
    assert_eq!(machine.poll(now), BEGIN);
    machine.handle(transient(), now);
    assert!(machine.next_attempt_at(ROOT, now).unwrap().since(now) <= secs(1));
}

#[test]
fn e9_retry_after_is_honoured_and_capped() {
    let policy = RetryPolicy::default();
    let asked = |seconds, usable: Option<Duration>| {
        let retry_after = Some(secs(seconds));
        let rest = usable.map(|usable| Rest {
            usable,
            life: secs(900),
        });
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
    assert_eq!(machine.poll(at(0)), BEGIN);
    machine.handle(failed(Failure::Terminal), at(0));
    assert!(machine.is_refused(ROOT));
    assert_eq!(machine.poll(at(1_000_000)), Action::Sleep(None));
    assert_eq!(machine.outlook(ROOT, at(29)), Outlook::Refused);
    assert_eq!(machine.outlook(ROOT, at(30)), Outlook::Imminent);
    let demand = demanded(Generation(0));
    machine.handle(demand, at(31));
    assert_eq!(machine.poll(at(31)), BEGIN);
}

#[test]
fn e7_with_a_good_token_a_terminal_failure_is_tried_again_after_each_pause() {
    let mut machine = with_token(secs(900));
    let now = refresh_at(&machine);
    assert_eq!(machine.poll(now), BEGIN);
    machine.handle(failed(Failure::Terminal), now);
    assert_eq!(machine.poll(now), Action::Sleep(Some(now + secs(30))));
    assert_eq!(machine.poll(now + secs(30)), BEGIN);
}

#[test]
fn e8_another_long_term_token_is_tried_at_once() {
    let mut machine = machine();
    assert_eq!(machine.poll(at(0)), BEGIN);
    machine.handle(failed(Failure::Terminal), at(0));
    machine.handle(Event::Renewed, at(1));
    assert_eq!(machine.poll(at(1)), BEGIN);
}

#[test]
fn w6_a_lazy_machine_exchanges_only_on_demand() {
    let mut policies = Policies::default();
    policies.refresh.lazy = true;
    let mut machine = Machine::new(policies, 7, at(0));
    assert!(machine.is_lazy() && !with_token(secs(900)).is_lazy());
    assert_eq!(machine.poll(at(1_000_000)), Action::Sleep(None));
    machine.handle(demanded(Generation(0)), at(0));
    assert_eq!(machine.poll(at(0)), BEGIN);
    machine.handle(exchanged(at(0), secs(900)), at(0));
    assert_eq!(machine.poll(at(1_000_000)), Action::Sleep(None));
}

#[test]
fn a_lane_that_nobody_uses_is_retired_and_the_root_never() {
    let lane = LaneId(3);
    let mut machine = with_token(secs(86_400));
    assert!(!machine.is_open(lane) && machine.is_open(ROOT));
    machine.handle(Event::Opened(lane), at(10));
    assert!(machine.is_open(lane));
    assert_eq!(machine.poll(at(10)), Action::Exchange(lane));
    let (sent, life) = (at(10), secs(86_400));
    machine.handle(Event::Exchanged { lane, sent, life }, at(10));
    assert_eq!(machine.window(lane).unwrap().generation, Generation(2));
    assert_eq!(machine.poll(at(10)), Action::Sleep(Some(at(610))));
    machine.handle(Event::Used(lane), at(300));
    assert_eq!(machine.poll(at(610)), Action::Sleep(Some(at(900))));
    assert_eq!(machine.poll(at(900)), Action::Retire(lane));
    assert!(!machine.is_open(lane));
    assert_eq!(
        machine.poll(at(900)),
        Action::Sleep(Some(refresh_at(&machine)))
    );
}

#[test]
fn the_number_of_lanes_is_bounded() {
    let mut machine = machine();
    for lane in 1..=64 {
        assert!(machine.has_room());
        machine.handle(Event::Opened(LaneId(lane)), at(0));
    }
    assert!(!machine.has_room());
}

#[test]
fn r4_late_denials_of_one_token_are_one_demand() {
    let mut machine = with_token(secs(900));
    for _ in 0..100 {
        machine.handle(denied(Generation(1)), at(1));
    }
    assert_eq!(machine.poll(at(1)), BEGIN);
    let life = secs(900);
    machine.handle(exchanged(at(1), life), at(2));
    machine.handle(denied(Generation(1)), at(2));
    assert!(machine.replaces(ROOT, Generation(1)));
    assert_eq!(
        machine.poll(at(2)),
        Action::Sleep(Some(refresh_at(&machine)))
    );
}

#[test]
fn r5_a_token_denied_right_after_another_is_no_reason_to_exchange() {
    let mut machine = with_token(secs(900));
    machine.handle(denied(Generation(1)), at(1));
    assert_eq!(machine.poll(at(1)), BEGIN);
    let life = secs(900);
    machine.handle(exchanged(at(1), life), at(1));
    machine.handle(denied(Generation(2)), at(2));
    assert!(!machine.replaces(ROOT, Generation(2)));
    machine.handle(denied(Generation(2)), at(10));
    assert!(!machine.replaces(ROOT, Generation(2)));
    machine.handle(denied(Generation(2)), at(11));
    assert!(machine.replaces(ROOT, Generation(2)));
    assert_eq!(between_denials(&RefreshPolicy::default(), secs(4)), secs(1));
}

#[test]
fn f11_an_interrupted_exchange_is_made_again() {
    let mut machine = machine();
    assert_eq!(machine.poll(at(0)), BEGIN);
    machine.handle(Event::Interrupted, at(1));
    assert_eq!(machine.poll(at(1)), BEGIN);
}

#[test]
fn d1_after_the_shutdown_there_is_nothing_but_revoking() {
    let mut machine = with_token(secs(900));
    let deadline = at(15);
    assert!(machine.is_running() && !machine.is_stopped());
    machine.handle(Event::ShutDown { deadline }, at(10));
    let second = Event::ShutDown { deadline: at(99) };
    machine.handle(second, at(10));
    assert_eq!(machine.poll(at(10)), Action::Drain { deadline });
    for event in [
        demanded(Generation(9)),
        denied(Generation(1)),
        transient(),
        exchanged(at(10), secs(900)),
    ] {
        machine.handle(event, at(11));
        assert_eq!(machine.poll(at(2_000)), Action::Sleep(None));
    }
    machine.handle(Event::Interrupted, at(12));
    assert_eq!(machine.poll(at(12)), Action::Drain { deadline });
    machine.handle(Event::Abandoned, at(12));
    assert_eq!(
        machine.poll(at(12)),
        Action::Sleep(None),
        "it is still revoking"
    );
    assert!(!machine.is_running() && !machine.is_stopped());
    machine.handle(Event::Drained, at(13));
    assert!(!machine.is_running() && machine.is_stopped());
    assert_eq!(machine.poll(at(13)), Action::Stop);
    assert_eq!(machine.outlook(ROOT, at(13)), Outlook::ShutDown);
}

#[test]
fn a_rotation_of_which_nothing_came_is_not_tried_again_at_once() {
    let mut machine = with_token(secs(900));
    machine.handle(Event::RotationDemanded, at(1));
    assert_eq!(machine.poll(at(1)), Action::Attend { rotate: true });
    machine.handle(Event::Attended, at(1));
    let next = machine.attends_at(at(1));
    assert_eq!(next, Some(at(1) + RotationPolicy::default().first_delay));
}
