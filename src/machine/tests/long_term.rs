//! The rules for the long-term token: what an auth server and a store answer, and what is done next.

use super::driver::{Driver, LIFE, authority, dated, now, token};
use super::{ROOT, at};
use crate::error::Error;
use crate::machine::{Action, Input, Outcome, Recovers, Task};
use crate::observe::Event;
use crate::policy::{Policies, RetryPolicy};
use crate::store::{Record, Retiring};

#[test]
fn l15_an_exchange_that_lands_after_the_rotation_is_followed_by_another_within_the_grace() {
    let mut driver = Driver::new(None, "one");
    let (call, with) = driver.exchange();
    // Another process has rotated meanwhile.
    let mut record = Record::new(dated("two"));
    let superseded = Retiring::after(token("one"), LIFE, driver.now().wall);
    record.retiring.push(superseded);
    (driver.stored, driver.version) = (Some(record), 9);
    driver.machine.handle(Input::StoreChanged, at(0));
    assert!(matches!(driver.next(), Action::Sleep(_)));
    assert_eq!(driver.current().token_id(), Some("two"));
    driver.succeeds(call, &with);
    driver.seconds = Policies::default().rotation.grace.as_secs() / 2;
    let (_, with) = driver.exchange();
    assert_eq!(with.token_id(), Some("two"));
}

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
fn l16_the_wait_for_a_lease_goes_on_between_attempts() {
    let mut driver = Driver::new(Some(Recovers::WithGrant), "one");
    driver.is_lease_taken = true;
    let (call, _) = driver.exchange();
    driver.is_refused(call);
    let patience = RetryPolicy::default().exchange_timeout * 4;
    let mut tasks = Vec::new();
    // A driver looks as often as it is told to. A caller needs a token every three minutes.
    while driver.seconds <= patience.as_secs() + 200 && tasks.is_empty() {
        if driver.seconds.is_multiple_of(180) {
            let demand = crate::machine::Demand::NewerThan(crate::machine::Generation(0));
            driver
                .machine
                .handle(Input::Demanded { set: ROOT, demand }, driver.now().at);
        }
        match driver.next() {
            Action::Begin(call, task) => tasks.push((call, task)),
            Action::Exchange { call, .. } => driver.is_refused(call),
            Action::Sleep(_) => driver.seconds += 1,
            _ => {}
        }
    }
    assert!(
        matches!(tasks.as_slice(), [(_, Task::Obtain { .. })]),
        "{tasks:?}"
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

/// A driver that reaches a request under the lease, and whose answer comes after this time.
fn asks_under_the_lease(answered_at: u64) -> Driver {
    let mut driver = Driver::new(None, "one");
    let (call, with) = driver.exchange();
    driver.succeeds(call, &with);
    driver.machine.demand_rotation(now(0));
    let (call, task) = driver.task();
    assert!(matches!(task, Task::Authorize { .. }), "{task:?}");
    driver.seconds = answered_at;
    driver.ends(call, Outcome::Authorized(authority("two"), None));
    driver
}

#[test]
fn l16_a_lease_is_renewed_after_half_of_its_longest_hold() {
    let hold = (RetryPolicy::default().exchange_timeout * 3).as_secs();
    for (answered_at, is_renewed) in [(hold / 2 - 1, false), (hold / 2 + 1, true)] {
        let mut driver = asks_under_the_lease(answered_at);
        let (_, task) = driver.task();
        assert!(matches!(task, Task::Ask { .. }), "{task:?}");
        assert_eq!(driver.renewals, u32::from(is_renewed));
    }
}

#[test]
fn l16_a_lease_is_taken_anew_after_its_longest_hold() {
    let hold = (RetryPolicy::default().exchange_timeout * 3).as_secs();
    let mut driver = asks_under_the_lease(hold + 1);
    let (_, task) = driver.task();
    assert!(matches!(task, Task::Ask { .. }), "{task:?}");
    assert_eq!((driver.renewals, driver.leases), (0, 2));
    // Another process has it by now.
    let mut driver = asks_under_the_lease(hold + 1);
    driver.is_lease_taken = true;
    assert!(matches!(driver.next(), Action::Sleep(_)));
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
    driver.is_overtaken = true;
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
fn l15_the_grace_of_a_superseded_token_counts_from_the_write_that_tells_others() {
    let mut driver = Driver::new(None, "one");
    let (call, with) = driver.exchange();
    driver.succeeds(call, &with);
    driver.rotate_to("two");
    let (_, with) = driver.exchange();
    assert_eq!(with.token_id(), Some("two"));
    driver.machine.hand_in(dated("by-hand"), now(0));
    // Meanwhile another process goes on with the rotation.
    driver.seconds = 1_000;
    driver.next();
    let stored = driver.stored.as_ref().unwrap();
    assert_eq!(stored.current().token_id(), Some("by-hand"));
    let [retiring] = stored.retiring.as_slice() else {
        panic!("{stored:?}");
    };
    assert!(retiring.revoke_at > now(1_000).wall + LIFE);
    // It is not put off by later writes.
    let revoke_at = retiring.revoke_at;
    driver.seconds = 2_000;
    let mut again = dated("by-hand");
    again.ends_at = now(100_000).wall.into();
    driver.machine.hand_in(again, driver.now());
    driver.next();
    let stored = driver.stored.as_ref().unwrap();
    assert!(stored.current.ends_at.is_some());
    assert_eq!(stored.retiring[0].revoke_at, revoke_at);
}
