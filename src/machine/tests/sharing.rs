//! The rules for the long-term token where other processes use the store, too.

use super::driver::{Driver, LIFE, authority, dated, now, refused, token};
use super::{ROOT, SetId, at};
use crate::error::{Error, ErrorKind};
use crate::machine::{Action, Demand, Generation, Input, Outcome, Recovers, Task};
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
            let demand = Demand::NewerThan(Generation(0));
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

#[test]
fn l2_an_exchange_does_not_prove_a_next_token_that_is_requested_again() {
    for comes_first in [false, true] {
        exchanges_a_token_that_is_requested_again(comes_first);
    }
}

/// The exchange that is to prove the next token succeeds before the next token is requested again, or later.
fn exchanges_a_token_that_is_requested_again(comes_first: bool) {
    let mut driver = Driver::new(None, "one");
    let (call, with) = driver.exchange();
    driver.succeeds(call, &with);
    driver.rotate_to("two");
    let other = SetId(3);
    driver.machine.handle(Input::Opened(other), at(0));
    let (proving, with) = driver.exchange();
    // Meanwhile the server refuses all, to the other scope set, whose attempt requests the next token again.
    let now = driver.now();
    for token_id in ["one", "two"] {
        let Action::Exchange { call, with, .. } = driver.next() else {
            panic!("{token_id}");
        };
        assert_eq!(with.unwrap().token_id(), Some(token_id));
        (driver.machine).exchange_failed((call, other), refused(), now);
    }
    if comes_first {
        driver.succeeds(proving, &with);
    }
    let (ask, task) = driver.task();
    assert!(matches!(task, Task::Ask { .. }), "{task:?}");
    if !comes_first {
        driver.succeeds(proving, &with);
    }
    let lost = Error::own(ErrorKind::Timeout, "lost");
    driver.machine.task_ended(ask, Err(lost), now);
    while !matches!(driver.next(), Action::Sleep(_) | Action::Exchange { .. }) {}
    let stored = driver.stored.as_ref().unwrap();
    assert_eq!(stored.current().token_id(), Some("one"), "{stored:?}");
}

#[test]
fn l8_a_next_token_that_is_refused_here_and_proven_by_another_process_is_used() {
    let mut driver = Driver::new(None, "one");
    let (call, with) = driver.exchange();
    driver.succeeds(call, &with);
    driver.rotate_to("two");
    let (call, _) = driver.exchange();
    driver.is_refused(call);
    let (call, with) = driver.exchange();
    assert_eq!(with.token_id(), Some("one"));
    driver.succeeds(call, &with);
    let mut rotated = Record::new(dated("two"));
    let superseded = Retiring::after(token("one"), LIFE, driver.now().wall);
    rotated.retiring.push(superseded);
    driver.overtaken_by = Some(rotated);
    while !matches!(driver.next(), Action::Sleep(_) | Action::Exchange { .. }) {}
    assert_eq!(driver.current().token_id(), Some("two"));
    let stored = driver.stored.as_ref().unwrap();
    assert_eq!(stored.current().token_id(), Some("two"));
}

#[test]
fn l8_other_processes_learn_that_the_next_token_is_requested_again() {
    let mut driver = Driver::new(None, "one");
    let (call, with) = driver.exchange();
    driver.succeeds(call, &with);
    driver.rotate_to("two");
    for token_id in ["two", "one"] {
        let (call, with) = driver.exchange();
        assert_eq!(with.token_id(), Some(token_id));
        let version = driver.version;
        driver.is_refused(call);
        if token_id == "one" {
            let (_, task) = driver.task();
            assert!(matches!(task, Task::Ask { .. }), "{task:?}");
            assert_eq!(driver.version, version + 1);
        }
    }
}
