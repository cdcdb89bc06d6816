//! What a failure means for the next attempt.

use super::*;

#[test]
fn e1_a_failure_leaves_the_window_and_is_tried_again_before_the_end() {
    let mut machine = with_token(secs(900));
    let window = machine.window(ROOT);
    let now = refresh_at(&machine);
    assert_eq!(machine.next_of_sets(now), BEGIN);
    machine.handle(transient(), now);
    assert_eq!(machine.window(ROOT), window);
    let SetAction::Sleep(Some(retry_at)) = machine.next_of_sets(now) else {
        panic!("it must wait for the next attempt");
    };
    assert!(now < retry_at && retry_at < window.unwrap().usable_until);
    assert_eq!(machine.next_of_sets(retry_at), BEGIN);
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
        assert_eq!(machine.next_of_sets(now), BEGIN);
        machine.handle(transient(), now);
        let SetAction::Sleep(Some(next)) = machine.next_of_sets(now) else {
            panic!("it must wait for the next attempt");
        };
        assert!(next > now);
        now = next;
    }
    assert_eq!(machine.next_of_sets(now), BEGIN);
    machine.handle(transient(), now);
    let delay = machine.next_attempt_at(ROOT, now).unwrap().since(now);
    assert!(delay >= secs(6), "it has grown: {delay:?}");
    now = now + delay;
    assert_eq!(machine.next_of_sets(now), BEGIN);
    let life = secs(900);
    exchanged(&mut machine, now, life, now);
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
        assert_eq!(machine.next_of_sets(now), BEGIN);
        machine.handle(transient(), now);
        let SetAction::Sleep(Some(next)) = machine.next_of_sets(now) else {
            panic!("it must wait for the next attempt");
        };
        assert!(next <= ends);
        now = next;
    }
    assert_eq!(machine.next_of_sets(now), BEGIN);
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
    assert_eq!(machine.next_of_sets(at(0)), BEGIN);
    machine.handle(failed(Failure::Terminal { retry_after: None }), at(0));
    assert!(machine.is_refused(ROOT));
    assert_eq!(machine.next_of_sets(at(1_000_000)), SetAction::Sleep(None));
    assert_eq!(
        machine.outlook(ROOT, Generation(0), at(29)),
        Outlook::Refused
    );
    assert_eq!(
        machine.outlook(ROOT, Generation(0), at(30)),
        Outlook::Imminent
    );
    let demand = demanded(Generation(0));
    machine.handle(demand, at(31));
    assert_eq!(machine.next_of_sets(at(31)), BEGIN);
}

#[test]
fn e7_with_a_good_token_a_terminal_failure_is_tried_again_after_each_pause() {
    let mut machine = with_token(secs(900));
    let now = refresh_at(&machine);
    assert_eq!(machine.next_of_sets(now), BEGIN);
    machine.handle(failed(Failure::Terminal { retry_after: None }), now);
    assert_eq!(
        machine.next_of_sets(now),
        SetAction::Sleep(Some(now + secs(30)))
    );
    assert_eq!(machine.next_of_sets(now + secs(30)), BEGIN);
}

#[test]
fn e8_another_long_term_token_is_tried_at_once() {
    let mut machine = machine();
    assert_eq!(machine.next_of_sets(at(0)), BEGIN);
    machine.handle(failed(Failure::Terminal { retry_after: None }), at(0));
    machine.renew(true, at(1));
    assert_eq!(machine.next_of_sets(at(1)), BEGIN);
}

#[test]
fn e16_a_pause_that_the_server_requested_ends_when_a_person_renews_the_long_term_token() {
    let mut machine = machine();
    assert_eq!(machine.next_of_sets(at(0)), BEGIN);
    let retry_after = Some(secs(300));
    machine.handle(failed(Failure::Terminal { retry_after }), at(0));
    machine.renew(true, at(1));
    assert_eq!(machine.next_of_sets(at(1)), SetAction::Sleep(Some(at(300))));
    machine.renew(false, at(2));
    assert_eq!(machine.next_of_sets(at(2)), BEGIN);
}

#[test]
fn o13_the_third_401_without_a_code_begins_long_pauses_without_a_long_term_token_too() {
    let mut machine = machine();
    let mut pauses = Vec::new();
    let mut seconds = 0;
    for _ in 0..4 {
        let now = super::driver::now(seconds);
        machine.handle(demanded(Generation(0)), now.at);
        let Action::Exchange { call, set, .. } = machine.poll(now) else {
            panic!("no exchange at {seconds} s");
        };
        let gateway = Error::from_status(401, None, "no");
        machine.exchange_failed((call, set), gateway, now);
        assert!(matches!(machine.poll(now), Action::Failed { .. }));
        let next = machine.next_attempt_at(ROOT, now.at).unwrap();
        pauses.push(next.since(now.at));
        seconds += next.since(now.at).as_secs() + 1;
    }
    assert!(pauses[1] < secs(30), "{pauses:?}");
    assert!(pauses[2] >= secs(30) && pauses[3] > secs(30), "{pauses:?}");
    // A changed secret ends the pause.
    assert!(machine.is_any_waiting_for_change());
    let now = super::driver::now(seconds - 20);
    assert!(matches!(machine.poll(now), Action::Sleep(_)));
    machine.handle(Input::SecretChanged, now.at);
    machine.handle(demanded(Generation(0)), now.at);
    assert!(matches!(machine.poll(now), Action::Exchange { .. }));
}
