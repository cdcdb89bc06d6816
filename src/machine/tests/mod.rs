//! Sequences of inputs, and the actions that follow.

mod driver;
mod failures;
mod long_term;
mod replacing;
mod sets;
mod sharing;
mod windows;

use super::backoff::{Rest, retry_delay};
use super::refresh_time::{min_reject_interval, window};
use super::*;
use crate::policy::{RefreshPolicy, RetryPolicy};
use std::time::Duration;

const ROOT: SetId = SetId::ROOT;
const BEGIN: SetAction = SetAction::Exchange(ROOT);

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
    Machine::new(Policies::default().into(), None, 7, at(0))
}

fn failed(failure: Failure) -> Input {
    Input::Failed { set: ROOT, failure }
}

fn denied(generation: Generation) -> Input {
    Input::Denied {
        set: ROOT,
        generation,
    }
}

fn demanded(newer_than: Generation) -> Input {
    Input::Demanded {
        set: ROOT,
        demand: Demand::NewerThan(newer_than),
    }
}

/// Reports a token of the root scope set, whose exchange was sent at this moment.
fn exchanged(machine: &mut Machine, sent: Moment, life: Duration, now: Moment) -> Option<Accepted> {
    machine.exchanged(ROOT, brought(sent, life), now)
}

fn brought(sent: Moment, life: Duration) -> Brought {
    Brought {
        sent,
        life,
        settling: Duration::ZERO,
        is_repeated: false,
        at_most: None,
    }
}

fn transient() -> Input {
    failed(Failure::Transient { retry_after: None })
}

/// A machine that has just accepted its first token, of this life.
fn with_token(life: Duration) -> Machine {
    let mut machine = machine();
    assert_eq!(machine.next_of_sets(at(0)), BEGIN);
    exchanged(&mut machine, at(0), life, at(0));
    machine
}

fn refresh_at(machine: &Machine) -> Moment {
    machine.window(ROOT).unwrap().refresh_at
}
