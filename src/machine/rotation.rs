//! The rules for the long-term token: when it is rotated, and when other work for it is due.

use std::time::Duration;

use super::input::Failure;
use super::{backoff, refresh_time};
use crate::clock::Moment;
use crate::policy::RotationPolicy;

#[derive(Debug)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, and any of them go together"
)]
pub(super) struct Rotation {
    random: fastrand::Rng,
    pub(super) has_begun: bool,
    /// When the rotation of the token in use is due.
    due_at: Option<Moment>,
    /// When a write to the store, a revocation or the next step of a rotation is due.
    chore_at: Option<Moment>,
    demanded: bool,
    in_flight: bool,
    /// Whether the attendance in flight is to rotate the token.
    rotating: bool,
    /// Whether there is a next token that an exchange is to prove.
    pub(super) proving: bool,
    failures: u32,
    /// The earliest next attempt after a failure.
    retry_at: Option<Moment>,
}

impl Rotation {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            random: fastrand::Rng::with_seed(seed),
            has_begun: false,
            due_at: None,
            chore_at: None,
            demanded: false,
            in_flight: false,
            rotating: false,
            proving: false,
            failures: 0,
            retry_at: None,
        }
    }

    /// Notes that another long-term token is in use, with this age, and this remaining life if that is known.
    pub(super) fn began(
        &mut self,
        policy: &RotationPolicy,
        (age, left): (Duration, Option<Duration>),
        now: Moment,
    ) {
        self.has_begun = true;
        self.dated(policy, (age, left), now);
        self.demanded = false;
        self.failures = 0;
        self.retry_at = None;
    }

    pub(super) fn dated(
        &mut self,
        policy: &RotationPolicy,
        (age, left): (Duration, Option<Duration>),
        now: Moment,
    ) {
        let draw = self.random.f64();
        self.due_at = left
            .filter(|_| !policy.is_manual)
            .map(|left| now + refresh_time::rotation_in(policy, age, left, draw));
    }

    pub(super) fn demanded(&mut self) {
        self.demanded = true;
        self.retry_at = None;
    }

    pub(super) fn urgent(&mut self, now: Moment) {
        self.retry_at = None;
        self.chore(now);
    }

    pub(super) fn chore(&mut self, at: Moment) {
        self.chore_at = Some(self.chore_at.map_or(at, |present| present.min(at)));
    }

    pub(super) fn attended(&mut self, policy: &RotationPolicy, now: Moment) {
        self.in_flight = false;
        let has_chore = self.chore_at.is_some_and(|at| at <= now);
        if self.rotating && self.is_due(now) && !has_chore {
            // The attendance neither rotated nor failed, so the next one waits.
            self.retry_at = Some(now + policy.first_delay);
        }
    }

    pub(super) fn deferred(&mut self, until: Moment) {
        self.in_flight = false;
        self.retry_at = Some(until);
        self.chore(until);
    }

    pub(super) fn failed(
        &mut self,
        policy: &RotationPolicy,
        failure: Failure,
        at_most: Option<Duration>,
        now: Moment,
    ) {
        self.in_flight = false;
        self.failures = self.failures.saturating_add(1);
        let draw = self.random.f64();
        let delay = backoff::rotation_retry_delay(policy, failure, self.failures, draw);
        let delay = at_most.map_or(delay, |at_most| delay.min(at_most.max(policy.first_delay)));
        self.retry_at = Some(now + delay);
        self.chore(now + delay);
    }

    /// Notes that the attendance in flight was dropped. The next one is due at once.
    pub(super) fn interrupted(&mut self, now: Moment) {
        if self.in_flight {
            self.in_flight = false;
            self.chore(now);
        }
    }

    /// Begins an attendance. Returns whether it is to rotate the token.
    pub(super) fn begin(&mut self, now: Moment) -> bool {
        self.in_flight = true;
        self.chore_at = None;
        self.rotating = self.is_due(now);
        self.rotating
    }

    pub(super) fn next_attempt(&self, now: Moment) -> Option<Moment> {
        if self.in_flight {
            return None;
        }
        let rotation_at = if self.proving {
            None
        } else if self.demanded {
            Some(now)
        } else {
            self.due_at
        };
        let wanted_at = [rotation_at, self.chore_at].into_iter().flatten().min()?;
        Some(wanted_at.max(self.retry_at.unwrap_or(wanted_at)))
    }

    pub(super) fn rotates_at(&self) -> Option<Moment> {
        self.due_at
            .map(|due_at| due_at.max(self.retry_at.unwrap_or(due_at)))
    }

    pub(super) fn is_due(&self, now: Moment) -> bool {
        !self.proving && (self.demanded || self.due_at.is_some_and(|due_at| due_at <= now))
    }
}
