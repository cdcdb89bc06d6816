//! The rules where each exchange replaces the long-term token.

use super::driver::{Driver, dated};
use super::{ROOT, SetId, at, secs};
use crate::error::{Error, ErrorKind};
use crate::machine::{Action, Call, Generation, Input, SetAction};
use crate::store::Record;
use crate::token::LongTermToken;

/// A caller demands a newer token than the one in use.
fn wants_newer(driver: &mut Driver) {
    let present = driver.machine.window(ROOT);
    let present = present.map_or(Generation(0), |window| window.generation);
    let now = driver.now().at;
    driver.machine.handle(super::demanded(present), now);
}

/// Fails this exchange without an answer, and returns the error that callers get.
fn loses(driver: &mut Driver, call: Call) -> Error {
    let lost = Error::own(ErrorKind::Timeout, "lost");
    fails(driver, call, lost)
}

fn fails(driver: &mut Driver, call: Call, error: Error) -> Error {
    let now = driver.now();
    (driver.machine).exchange_failed((call, ROOT), error, now);
    failed(driver)
}

fn failed(driver: &mut Driver) -> Error {
    match driver.next() {
        Action::Failed { error, .. } => error,
        other => panic!("no failure: {other:?}"),
    }
}

/// Returns when the next exchange begins, and with which token, while callers want a newer one all the time.
fn next_exchange(driver: &mut Driver) -> (u64, LongTermToken) {
    loop {
        wants_newer(driver);
        match driver.next() {
            Action::Exchange { with, .. } => return (driver.seconds, with.unwrap()),
            Action::Sleep(_) => driver.seconds += 1,
            Action::Failed { .. } | Action::ForSet(SetAction::Retire(_)) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// A driver with a token that is usable until 3,595 s, whose refresh at 100 s was lost.
fn with_lost_answer(reuse_grace: u64) -> Driver {
    let mut driver = Driver::replacing(secs(reuse_grace), "one");
    let (call, with) = driver.exchange();
    driver.succeeds(call, &with);
    driver.seconds = 100;
    wants_newer(&mut driver);
    let (call, _) = driver.exchange();
    driver.seconds = 105;
    loses(&mut driver, call);
    driver
}

#[test]
fn o21_after_a_lost_answer_the_token_is_used_again_when_no_other_is_valid() {
    let mut driver = with_lost_answer(0);
    let (at, with) = next_exchange(&mut driver);
    assert_eq!((at, with.token_id()), (3_595, Some("one")));
}

#[test]
fn o21_within_the_stated_grace_the_token_is_used_again_at_once() {
    let mut driver = with_lost_answer(30);
    let (at, _) = next_exchange(&mut driver);
    assert!(at < 130, "{at}");
    let mut driver = with_lost_answer(4);
    let (at, _) = next_exchange(&mut driver);
    assert_eq!(at, 3_595);
}

#[test]
fn o21_the_grace_counts_from_the_first_lost_answer() {
    let mut driver = with_lost_answer(30);
    driver.seconds = 120;
    wants_newer(&mut driver);
    let (call, _) = driver.exchange();
    loses(&mut driver, call);
    driver.seconds = 131;
    let (at, _) = next_exchange(&mut driver);
    assert_eq!(at, 3_595);
}

#[test]
fn o21_an_exchange_that_keeps_the_token_ends_the_doubt() {
    let mut driver = with_lost_answer(30);
    driver.seconds = 110;
    wants_newer(&mut driver);
    let (call, with) = driver.exchange();
    driver.succeeds(call, &with);
    driver.seconds = 500;
    let (at, _) = next_exchange(&mut driver);
    assert_eq!(at, 500);
}

#[test]
fn o21_a_token_that_a_resource_server_refuses_is_not_valid() {
    let mut driver = with_lost_answer(0);
    wants_newer(&mut driver);
    while !matches!(driver.next(), Action::Sleep(_)) {}
    driver.seconds = 200;
    driver.machine.handle(super::denied(Generation(1)), at(200));
    let (_, with) = driver.exchange();
    assert_eq!(with.token_id(), Some("one"));
}

#[test]
fn o21_a_valid_token_of_another_scope_set_counts() {
    let mut driver = with_lost_answer(0);
    let other = SetId(3);
    driver.machine.handle(Input::Opened(other), at(105));
    while driver.seconds < 3_594 {
        match driver.next() {
            Action::Exchange { .. } => panic!("at {} s", driver.seconds),
            Action::Sleep(_) => driver.seconds += 1,
            _ => {}
        }
    }
}

#[test]
fn o21_a_token_that_is_handed_in_ends_the_pause() {
    let mut driver = with_lost_answer(0);
    wants_newer(&mut driver);
    while !matches!(driver.next(), Action::Sleep(_)) {}
    driver.machine.hand_in(dated("by-hand"), driver.now());
    let (at, with) = next_exchange(&mut driver);
    assert_eq!(with.token_id(), Some("by-hand"));
    assert!(at < 110, "{at}");
}

#[test]
fn o21_a_newer_token_in_the_store_goes_first() {
    let mut driver = with_lost_answer(0);
    driver.stored = Some(Record::new(dated("two")));
    driver.version += 1;
    let (at, with) = next_exchange(&mut driver);
    assert_eq!(with.token_id(), Some("two"));
    assert!(at < 200, "{at}");
}

#[test]
fn o21_a_failure_before_the_server_has_acted_changes_nothing() {
    let unreachable = Error::own(ErrorKind::Unreachable, "refused").unsent();
    let limited = Error::own(ErrorKind::RateLimited, "later");
    for error in [unreachable, limited] {
        let mut driver = Driver::replacing(secs(0), "one");
        let (call, with) = driver.exchange();
        driver.succeeds(call, &with);
        driver.seconds = 100;
        wants_newer(&mut driver);
        let (call, _) = driver.exchange();
        fails(&mut driver, call, error);
        let (at, _) = next_exchange(&mut driver);
        assert!(at < 200, "{at}");
    }
}

#[test]
fn o21_without_a_valid_token_the_exchange_is_repeated_after_the_backoff() {
    let mut driver = Driver::replacing(secs(0), "one");
    let (call, _) = driver.exchange();
    loses(&mut driver, call);
    let (at, _) = next_exchange(&mut driver);
    assert!(at < 10, "{at}");
}

#[test]
fn o21_an_exchange_that_was_dropped_may_have_replaced_the_token_too() {
    let mut driver = Driver::replacing(secs(0), "one");
    let (call, with) = driver.exchange();
    driver.succeeds(call, &with);
    driver.seconds = 100;
    wants_newer(&mut driver);
    driver.exchange();
    driver.machine.handle(Input::Interrupted, at(100));
    let (seconds, _) = next_exchange(&mut driver);
    assert_eq!(seconds, 3_595);
}

#[test]
fn o21_the_pause_ends_when_no_other_token_is_valid_any_more() {
    let mut driver = Driver::replacing(secs(0), "one");
    let (call, with) = driver.exchange();
    driver.succeeds(call, &with);
    // Another scope set has a token that lives longer, and is closed after a while without callers.
    driver.seconds = 2_000;
    let other = SetId(3);
    driver.machine.handle(Input::Opened(other), at(2_000));
    let Action::Exchange { call, with, .. } = driver.next() else {
        panic!("no exchange");
    };
    let (now, life) = (driver.now(), secs(3_600));
    (driver.machine).minted((call, other), with.as_ref(), life, None, now);
    (driver.machine).exchanged(other, super::brought(now.at, life), now.at);
    wants_newer(&mut driver);
    let (call, _) = driver.exchange();
    loses(&mut driver, call);
    let (at, _) = next_exchange(&mut driver);
    assert!(
        at < 6_000,
        "the other set's token is usable until 6,595 s: {at}"
    );
}

#[test]
fn o21_a_token_that_follows_a_refused_one_is_valid() {
    let mut driver = Driver::replacing(secs(0), "one");
    let (call, with) = driver.exchange();
    driver.succeeds(call, &with);
    driver.seconds = 50;
    driver.machine.handle(super::denied(Generation(1)), at(50));
    let (call, with) = driver.exchange();
    driver.seconds = 51;
    driver.succeeds(call, &with);
    driver.seconds = 100;
    wants_newer(&mut driver);
    driver.exchange();
    driver.machine.handle(Input::Interrupted, at(100));
    let (at, _) = next_exchange(&mut driver);
    assert!(at > 3_000, "{at}");
}
