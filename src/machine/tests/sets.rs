//! Scope sets, denials and the shutdown.

use super::*;

#[test]
fn an_idle_scope_set_is_retired_and_the_root_never() {
    let set = SetId(3);
    let mut machine = with_token(secs(86_400));
    assert!(!machine.is_open(set) && machine.is_open(ROOT));
    machine.handle(Input::Opened(set), at(10));
    assert!(machine.is_open(set));
    assert_eq!(machine.next_of_sets(at(10)), SetAction::Exchange(set));
    let (asked, life) = (at(10), secs(86_400));
    machine.exchanged(set, brought(asked, life), at(10));
    assert_eq!(machine.window(set).unwrap().generation, Generation(2));
    assert_eq!(
        machine.next_of_sets(at(10)),
        SetAction::Sleep(Some(at(610)))
    );
    machine.handle(Input::Used(set), at(300));
    assert_eq!(
        machine.next_of_sets(at(610)),
        SetAction::Sleep(Some(at(900)))
    );
    assert_eq!(machine.next_of_sets(at(900)), SetAction::Retire(set));
    assert!(!machine.is_open(set));
    assert_eq!(
        machine.next_of_sets(at(900)),
        SetAction::Sleep(Some(refresh_at(&machine)))
    );
}

#[test]
fn the_number_of_sets_is_bounded() {
    let mut machine = machine();
    for set in 1..=64 {
        assert!(machine.has_room());
        machine.handle(Input::Opened(SetId(set)), at(0));
    }
    assert!(!machine.has_room());
}

#[test]
fn r4_late_denials_of_one_token_are_one_demand() {
    let mut machine = with_token(secs(900));
    for _ in 0..100 {
        machine.handle(denied(Generation(1)), at(1));
    }
    assert_eq!(machine.next_of_sets(at(1)), BEGIN);
    let life = secs(900);
    exchanged(&mut machine, at(1), life, at(2));
    machine.handle(denied(Generation(1)), at(2));
    assert!(machine.replaces(ROOT, Generation(1)));
    assert_eq!(
        machine.next_of_sets(at(2)),
        SetAction::Sleep(Some(refresh_at(&machine)))
    );
}

#[test]
fn r5_a_token_denied_right_after_another_is_no_reason_to_exchange() {
    let mut machine = with_token(secs(900));
    machine.handle(denied(Generation(1)), at(1));
    assert_eq!(machine.next_of_sets(at(1)), BEGIN);
    let life = secs(900);
    exchanged(&mut machine, at(1), life, at(1));
    machine.handle(denied(Generation(2)), at(2));
    assert!(!machine.replaces(ROOT, Generation(2)));
    machine.handle(denied(Generation(2)), at(10));
    assert!(!machine.replaces(ROOT, Generation(2)));
    machine.handle(denied(Generation(2)), at(11));
    assert!(machine.replaces(ROOT, Generation(2)));
    assert_eq!(
        min_reject_interval(&RefreshPolicy::default(), secs(4)),
        secs(1)
    );
}

#[test]
fn f11_an_interrupted_exchange_is_made_again() {
    let mut machine = machine();
    assert_eq!(machine.next_of_sets(at(0)), BEGIN);
    machine.handle(Input::Interrupted, at(1));
    assert_eq!(machine.next_of_sets(at(1)), BEGIN);
}

#[test]
fn d1_after_the_shutdown_there_is_nothing_but_revoking() {
    let mut machine = with_token(secs(900));
    let deadline = at(15);
    assert!(machine.is_running() && !machine.is_stopped());
    machine.handle(Input::ShutDown { deadline }, at(10));
    let second = Input::ShutDown { deadline: at(99) };
    machine.handle(second, at(10));
    assert_eq!(machine.next_of_sets(at(10)), SetAction::Drain { deadline });
    for event in [demanded(Generation(9)), denied(Generation(1)), transient()] {
        machine.handle(event, at(11));
        assert_eq!(exchanged(&mut machine, at(10), secs(900), at(11)), None);
        assert_eq!(machine.next_of_sets(at(2_000)), SetAction::Sleep(None));
    }
    machine.handle(Input::Interrupted, at(12));
    assert_eq!(machine.next_of_sets(at(12)), SetAction::Drain { deadline });
    machine.handle(Input::Abandoned, at(12));
    assert_eq!(
        machine.next_of_sets(at(12)),
        SetAction::Sleep(None),
        "it is still revoking"
    );
    assert!(!machine.is_running() && !machine.is_stopped());
    machine.handle(Input::Drained, at(13));
    assert!(!machine.is_running() && machine.is_stopped());
    assert_eq!(machine.next_of_sets(at(13)), SetAction::Stop);
    assert_eq!(
        machine.outlook(ROOT, Generation(0), at(13)),
        Outlook::ShutDown
    );
}
