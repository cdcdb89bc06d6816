//! The rules for the long-term token: what an auth server and a store answer, and what is done next.

use super::driver::{Driver, LIFE, authority, dated, now, token};
use super::{ROOT, at};
use crate::error::Error;
use crate::machine::{Action, Input, Outcome, Recovers, Task};
use crate::observe::Event;
use crate::store::{Record, Retiring};

#[test]
fn l15_what_is_needed_is_served_across_two_rotations() {
    let mut driver = Driver::new(None, "one");
    let (call, with) = driver.exchange();
    driver.succeeds(call, &with);
    let until = at(1_800);
    (driver.machine).handle(Input::Needed { set: ROOT, until }, at(0));
    for next in ["two", "three"] {
        driver.rotate_to(next);
        let (call, with) = driver.exchange();
        assert_eq!(with.token_id(), Some(next));
        driver.succeeds(call, &with);
        assert!(matches!(driver.next(), Action::Sleep(_)));
        assert_eq!(driver.current().token_id(), Some(next));
    }
    assert_eq!(driver.serves("one"), Some(until));
}

#[test]
fn l12_the_token_in_use_that_is_handed_in_again_keeps_its_rotation() {
    let mut driver = Driver::new(None, "one");
    let (call, with) = driver.exchange();
    driver.succeeds(call, &with);
    driver.rotate_to("two");
    driver.machine.hand_in(dated("one"), now(0));
    let (_, with) = driver.exchange();
    assert_eq!(
        with.token_id(),
        Some("two"),
        "the server may have ended the first one"
    );
}

#[test]
fn l20_what_others_have_stored_is_not_revoked_because_the_server_refuses_it() {
    let mut driver = Driver::new(Some(Recovers::WithGrant), "by-another-hand");
    let (call, _) = driver.exchange();
    driver.is_refused(call);
    let (call, task) = driver.task();
    assert!(matches!(task, Task::Obtain { .. }), "{task:?}");
    driver.ends(call, Outcome::Obtained(dated("obtained")));
    let (call, with) = driver.exchange();
    assert_eq!(with.token_id(), Some("obtained"));
    assert!(driver.stored.as_ref().unwrap().retiring.is_empty());
    driver.is_refused(call);
    assert!(matches!(driver.next(), Action::Failed { .. }));
    // The next attempt tries it again.
    driver.seconds = 100;
    driver.demands();
    let (call, with) = driver.exchange();
    assert_eq!(with.token_id(), Some("obtained"));
    driver.is_refused(call);
    let (_, with) = driver.exchange();
    assert_eq!(with.token_id(), Some("by-another-hand"));
}

#[test]
fn l10_the_shutdown_writes_after_a_call_that_hangs_was_dropped() {
    let mut driver = Driver::new(None, "one");
    let (call, with) = driver.exchange();
    driver.succeeds(call, &with);
    driver.machine.demand_rotation(now(0));
    let (_, task) = driver.task();
    assert!(matches!(task, Task::Authorize { .. }), "{task:?}");
    driver.machine.hand_in(dated("by-hand"), now(0));
    let deadline = at(30);
    driver.machine.handle(Input::ShutDown { deadline }, at(0));
    driver.next();
    assert_eq!(driver.machine.calls_in_flight().len(), 1);
    driver.machine.give_up(at(1));
    driver.next();
    let stored = driver.stored.as_ref().unwrap();
    assert_eq!(stored.current().token_id(), Some("by-hand"));
}

#[test]
fn d9_an_exchange_is_in_flight_until_it_ends_also_in_a_shutdown() {
    let mut driver = Driver::new(None, "one");
    let (call, with) = driver.exchange();
    let deadline = at(30);
    driver.machine.handle(Input::ShutDown { deadline }, at(0));
    assert_eq!(driver.machine.calls_in_flight().len(), 1);
    driver.succeeds(call, &with);
    assert!(driver.machine.calls_in_flight().is_empty());
}

#[test]
fn l10_a_rotation_whose_last_write_seems_to_fail_is_told_of_and_what_has_asked_is_revoked() {
    let mut driver = Driver::new(None, "one");
    let (call, with) = driver.exchange();
    driver.succeeds(call, &with);
    driver.rotate_to("two");
    let (call, with) = driver.exchange();
    driver.succeeds(call, &with);
    driver.loses_answer = true;
    driver.next();
    driver.seconds = 600;
    driver.next();
    let rotated = |event: &&Event| matches!(event, Event::Rotated { .. });
    assert_eq!(driver.told.iter().filter(rotated).count(), 1);
    let reloaded = |event: &Event| matches!(event, Event::LongTermReloaded { .. });
    assert!(!driver.told.iter().any(reloaded), "{:?}", driver.told);
    assert_eq!(driver.revoked.len(), 1);
}

#[test]
fn l20_neither_the_configured_token_nor_the_stored_one_is_forgotten_after_a_recovery() {
    let given = Some(dated("configured"));
    let mut driver = Driver::built_with(given, Some(Recovers::WithGrant), "stored");
    for _ in 0..2 {
        let (call, _) = driver.exchange();
        driver.is_refused(call);
    }
    let (call, task) = driver.task();
    assert!(matches!(task, Task::Obtain { .. }), "{task:?}");
    driver.ends(call, Outcome::Obtained(dated("obtained")));
    let rules = driver.machine.long_term().unwrap();
    for text in ["configured", "stored"] {
        assert!(rules.is_fallback(&token(text)), "{text}");
    }
}

#[test]
fn l12_the_token_in_use_that_is_handed_in_with_an_end_is_rotated_before_it() {
    let mut driver = Driver::new(None, "one");
    let (call, with) = driver.exchange();
    driver.succeeds(call, &with);
    let rotates_at = |driver: &Driver| driver.machine.long_term().unwrap().rotates_at(at(0));
    assert_eq!(rotates_at(&driver), None);
    let mut again = dated("one");
    again.ends_at = now(100_000).wall.into();
    driver.machine.hand_in(again, now(0));
    assert!(rotates_at(&driver).is_some());
}

#[test]
fn l4_what_asks_is_kept_once_it_is_stored() {
    let mut driver = Driver::new(None, "one");
    let (call, with) = driver.exchange();
    driver.succeeds(call, &with);
    driver.machine.demand_rotation(now(0));
    let (call, _) = driver.task();
    driver.ends(call, Outcome::Authorized(authority("two"), None));
    let is_kept = |driver: &Driver| {
        driver
            .machine
            .long_term()
            .unwrap()
            .stored_authority()
            .is_some()
    };
    assert!(!is_kept(&driver));
    let (_, task) = driver.task();
    assert!(matches!(task, Task::Ask { .. }), "{task:?}");
    assert!(is_kept(&driver));
}

#[test]
fn l10_what_another_process_has_written_first_is_not_told_of_as_a_rotation_of_this_one() {
    let mut driver = Driver::new(None, "one");
    let (call, with) = driver.exchange();
    driver.succeeds(call, &with);
    driver.rotate_to("two");
    let (call, with) = driver.exchange();
    driver.succeeds(call, &with);
    driver.overtaken_by = Some(Record::new(dated("two")));
    driver.next();
    assert_eq!(driver.current().token_id(), Some("two"));
    let rotated = |event: &Event| matches!(event, Event::Rotated { .. });
    assert!(!driver.told.iter().any(rotated), "{:?}", driver.told);
    let reloaded = |event: &Event| matches!(event, Event::LongTermReloaded { .. });
    assert!(driver.told.iter().any(reloaded), "{:?}", driver.told);
}

#[test]
fn l15_a_token_that_is_returned_again_lives_on_with_what_it_was_minted_from() {
    let mut driver = Driver::new(None, "one");
    let (call, with) = driver.exchange();
    driver.succeeds(call, &with);
    driver.rotate_to("two");
    let (call, with) = driver.exchange();
    assert_eq!(with.token_id(), Some("two"));
    let mut settles = super::brought(at(0), LIFE);
    settles.settling = super::secs(60);
    driver.brings(call, &with, settles);
    // The token in use is returned again, with a longer life, before the next one has settled.
    let mut again = super::brought(at(0), LIFE * 2);
    again.is_repeated = true;
    driver.machine.exchanged(ROOT, again, at(0));
    assert!(driver.serves("one") > Some(at(LIFE.as_secs())));
    assert_eq!(driver.serves("two"), None);
}

#[test]
fn l20_a_revocation_that_fails_does_not_hold_up_the_others() {
    let mut driver = Driver::new(None, "one");
    let (call, with) = driver.exchange();
    driver.succeeds(call, &with);
    let mut record = Record::new(dated("one"));
    for text in ["first", "second"] {
        let due = Retiring::after(token(text), super::secs(0), driver.now().wall);
        record.retiring.push(due);
    }
    (driver.stored, driver.version) = (Some(record), 2);
    driver.machine.handle(Input::StoreChanged, at(0));
    let mut tried = Vec::new();
    while tried.len() < 4 {
        match driver.next() {
            Action::Begin(call, Task::Revoke(token)) => {
                tried.push(token.token_id().unwrap().to_owned());
                let now = driver.now();
                let error = Error::transient("later");
                driver.machine.task_ended(call, Err(error), now);
            }
            Action::Sleep(_) => driver.seconds += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(tried, ["first", "second", "first", "second"]);
}

#[test]
fn l20_the_error_of_a_rotation_ends_with_the_next_token() {
    let mut driver = Driver::new(None, "one");
    let (call, with) = driver.exchange();
    driver.succeeds(call, &with);
    driver.machine.demand_rotation(now(0));
    let (call, task) = driver.task();
    assert!(matches!(task, Task::Authorize { .. }), "{task:?}");
    let error = Error::transient("later");
    driver.machine.task_ended(call, Err(error), now(0));
    let has_error = |driver: &Driver| {
        let rules = driver.machine.long_term().unwrap();
        rules.rotation_failures().1.is_some()
    };
    assert!(has_error(&driver));
    driver.rotate_to("two");
    let (call, with) = driver.exchange();
    driver.succeeds(call, &with);
    driver.next();
    assert_eq!(driver.current().token_id(), Some("two"));
    assert!(!has_error(&driver));
}

#[test]
fn l4_what_asks_is_kept_while_the_store_holds_it() {
    let mut driver = Driver::new(None, "one");
    let (call, with) = driver.exchange();
    driver.succeeds(call, &with);
    driver.machine.demand_rotation(now(0));
    let (call, _) = driver.task();
    driver.ends(call, Outcome::Authorized(authority("two"), None));
    let (call, task) = driver.task();
    assert!(matches!(task, Task::Ask { .. }), "{task:?}");
    driver.machine.handle(Input::Interrupted, at(0));
    // The answer comes too late, and the record that has it is not written yet.
    driver.ends(call, Outcome::Obtained(dated("two")));
    let rules = driver.machine.long_term().unwrap();
    assert!(rules.stored_authority().is_some());
}
