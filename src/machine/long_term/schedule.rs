//! When the long-term token is rotated, and the pauses after failures.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use super::task::Kind;
use crate::clock::{Moment, Now};
use crate::error::Error;
use crate::machine::input::Failure;
use crate::machine::{backoff, refresh_time};
use crate::policy::RotationPolicy;
use crate::store::Dated;

/// A smaller step of the wall clock is ignored.
const LEAST_STEP: Duration = Duration::from_secs(60);

/// When the rotation of the token in use is due.
#[derive(Debug)]
pub(super) struct Due {
    /// Drawn once for each token.
    draw: f64,
    at: Option<Moment>,
    pub(super) is_demanded: bool,
    /// When the dates of the token were last read, by both clocks.
    dated: Option<Now>,
}

impl Due {
    pub(super) const fn never() -> Self {
        Self {
            draw: 0.0,
            at: None,
            is_demanded: false,
            dated: None,
        }
    }

    /// Schedules the rotation of a token that is in use from now on.
    pub(super) fn begin(&mut self, policy: &RotationPolicy, token: &Dated, draw: f64, now: Now) {
        self.draw = draw;
        self.is_demanded = false;
        self.date(policy, token, now);
    }

    /// Schedules the rotation anew after the wall clock has stepped. Counts no more than the whole life of the token,
    /// however wrong the clock is.
    pub(super) fn date(&mut self, policy: &RotationPolicy, token: &Dated, now: Now) {
        let between =
            |from: SystemTime, to: SystemTime| to.duration_since(from).unwrap_or_default();
        let left = token.ends_at.map(|ends_at| {
            let left = between(now.wall, ends_at);
            let life = token
                .obtained_at
                .map(|obtained_at| between(obtained_at, ends_at));
            life.map_or(left, |life| left.min(life))
        });
        let age = token
            .obtained_at
            .map(|obtained_at| between(obtained_at, now.wall));
        let age = age.unwrap_or_default();
        self.at = left
            .filter(|_| !policy.is_manual)
            .map(|left| now.at + refresh_time::rotation_in(policy, age, left, self.draw));
        self.dated = Some(now);
    }

    /// Returns whether the wall clock has stepped since the dates were read.
    pub(super) fn is_outdated(&self, now: Now) -> bool {
        self.dated.is_some_and(|then| {
            let passed = now.at.since(then.at);
            let step = match now.wall.duration_since(then.wall) {
                Ok(by_wall) => by_wall.abs_diff(passed),
                Err(back) => back.duration() + passed,
            };
            step > LEAST_STEP
        })
    }

    pub(super) const fn at(&self) -> Option<Moment> {
        self.at
    }
}

/// The pauses after failures, one for each kind of task.
#[derive(Debug)]
pub(super) struct Backoffs {
    random: fastrand::Rng,
    kinds: BTreeMap<Kind, Backoff>,
}

#[derive(Clone, Copy, Debug)]
struct Backoff {
    failures: u32,
    until: Moment,
}

impl Backoffs {
    pub(super) const fn new(random: fastrand::Rng) -> Self {
        Self {
            random,
            kinds: BTreeMap::new(),
        }
    }

    pub(super) fn draw(&mut self) -> f64 {
        self.random.f64()
    }

    /// Begins a pause, of this length at most if there is a bound.
    pub(super) fn failed(
        &mut self,
        policy: &RotationPolicy,
        kind: Kind,
        error: &Error,
        at_most: Option<Duration>,
        now: Moment,
    ) {
        let draw = self.random.f64();
        let failures = self.kinds.get(&kind).map_or(0, |backoff| backoff.failures);
        let failures = failures.saturating_add(1);
        let delay = if kind == Kind::Recovery {
            backoff::recovery_pause(failures, draw)
        } else {
            backoff::rotation_retry_delay(policy, Failure::of(error), failures, draw)
        };
        let delay = at_most.map_or(delay, |at_most| delay.min(at_most));
        let until = now + delay;
        self.kinds.insert(kind, Backoff { failures, until });
    }

    pub(super) fn succeeded(&mut self, kind: Kind) {
        self.kinds.remove(&kind);
    }

    pub(super) fn clear(&mut self) {
        self.kinds.clear();
    }

    /// Ends the pause, and keeps the count of the failures.
    pub(super) fn end(&mut self, kind: Kind) {
        if let Some(backoff) = self.kinds.get_mut(&kind) {
            backoff.until = Moment::from_origin(Duration::ZERO);
        }
    }

    /// Begins a pause without an end.
    pub(super) fn stop(&mut self, kind: Kind) {
        let until = Moment::from_origin(Duration::MAX);
        self.kinds.insert(kind, Backoff { failures: 1, until });
    }

    /// Returns when the pause ends, if there is one.
    pub(super) fn until(&self, kind: Kind, now: Moment) -> Option<Moment> {
        let until = self.kinds.get(&kind)?.until;
        (now < until).then_some(until)
    }
}
