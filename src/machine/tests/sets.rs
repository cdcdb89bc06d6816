//! Scope sets, denials and the shutdown.

use std::collections::BTreeSet;
use std::time::SystemTime;

use super::*;
use crate::clock::Now;

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

/// What happens to one scope set, or changes none, causes no work for the others.
#[test]
fn only_scope_sets_that_have_changed_are_looked_at() {
    let mut machine = with_token(secs(86_400));
    let sets: Vec<SetId> = (1..=50).map(SetId).collect();
    for &set in &sets {
        machine.handle(Input::Opened(set), at(0));
        assert_eq!(machine.next_of_sets(at(0)), SetAction::Exchange(set));
        machine.exchanged(set, brought(at(0), secs(86_400)), at(0));
    }
    machine.next_of_sets(at(0));
    assert!(machine.take_updated().count() >= sets.len());
    machine.handle(Input::SecretChanged, at(1));
    machine.handle(denied(Generation(1)), at(1));
    for &set in &sets {
        machine.handle(Input::Used(set), at(1));
    }
    assert_eq!(machine.next_of_sets(at(1)), BEGIN);
    exchanged(&mut machine, at(1), secs(86_400), at(1));
    machine.next_of_sets(at(1));
    assert_eq!(machine.take_updated().count(), 0);

    let failure = Failure::Unclear { pause: secs(60) };
    for set in [sets[3], sets[7]] {
        let demand = Demand::NewerThan(Generation(100));
        machine.handle(Input::Demanded { set, demand }, at(2));
        assert_eq!(machine.next_of_sets(at(2)), SetAction::Exchange(set));
        machine.handle(Input::Failed { set, failure }, at(2));
        machine.handle(Input::Demanded { set, demand }, at(2));
    }
    let waits = SetAction::Sleep(Some(at(62)));
    assert_eq!(machine.next_of_sets(at(2)), waits);
    machine.take_updated().count();
    machine.handle(Input::SecretChanged, at(3));
    assert_eq!(machine.next_of_sets(at(3)), SetAction::Exchange(sets[3]));
    assert_eq!(machine.next_of_sets(at(3)), SetAction::Exchange(sets[7]));
    machine.next_of_sets(at(3));
    let updated: BTreeSet<SetId> = machine.take_updated().collect();
    assert_eq!(updated, BTreeSet::from([sets[3], sets[7]]));
}

/// The hot path does not tell the machine of a use.
#[test]
fn a_scope_set_is_closed_only_after_a_question_for_its_last_use() {
    let mut machine = with_token(secs(86_400));
    for set in [SetId(1), SetId(2)] {
        machine.handle(Input::Opened(set), at(0));
        machine.next_of_sets(at(0));
        machine.exchanged(set, brought(at(0), secs(86_400)), at(0));
    }
    let now = |seconds| Now {
        at: at(seconds),
        wall: SystemTime::UNIX_EPOCH,
    };
    let last_use = |set: SetId| (set == SetId(1)).then(|| at(500));
    let action = machine.poll_with(now(600), &last_use);
    assert!(matches!(action, Action::ForSet(SetAction::Retire(set)) if set == SetId(2)));
    let action = machine.poll_with(now(600), &last_use);
    assert!(matches!(action, Action::Sleep(Some(until)) if until == at(1_100)));
    let action = machine.poll_with(now(1_100), &last_use);
    assert!(matches!(action, Action::ForSet(SetAction::Retire(set)) if set == SetId(1)));
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
