//! The arithmetic: when to refresh, how long to wait after a failure.
//!
//! `draw` is a random number from 0 to 1; tests pass the least, the middle and the most.

use std::time::Duration;

use super::input::{Failure, Generation, Window};
use crate::clock::Moment;
use crate::policy::{LONGEST, RefreshPolicy, RetryPolicy, RotationPolicy};

/// While a token is still good, attempts are made at least this often in the rest of its life.
const ATTEMPTS_IN_REST_OF_LIFE: u32 = 4;
/// The least time between two attempts while a token is good, as a share of its life.
const ATTEMPTS_IN_LIFE: u32 = 40;
const SHORTEST_DELAY: Duration = Duration::from_millis(1);
/// A token that lives for less than this counts as expired. It bounds what a server can make of
/// us: about forty exchanges a second.
pub(super) const SHORTEST_LIFE: Duration = Duration::from_millis(50);
/// The most time over which a fleet that shares a token spreads its exchanges after the token's end.
const MOST_SPREAD: Duration = Duration::from_secs(1);
/// The least of a delay, as a share of its bound: a draw of zero is no reason to try at once.
const LEAST_SHARE_OF_DELAY: f64 = 0.1;

/// The window of a token that was asked for at `sent`, arrived at `now` and lives for `life` from
/// `sent`; `None` if too little of it is left to be of use.
pub(super) fn window(
    policy: &RefreshPolicy,
    generation: Generation,
    (sent, now): (Moment, Moment),
    life: Duration,
    draw: f64,
) -> Option<Window> {
    let life = life.min(LONGEST);
    let usable = life.saturating_sub(policy.expiry_margin.min(life / 4));
    let usable_until = sent + usable;
    let rest = usable_until.since(now);
    if life < SHORTEST_LIFE || rest.is_zero() {
        return None;
    }
    let refresh_after = refresh_after(policy, usable, draw);
    // An exchange that took most of the life must not be followed by the next one at once.
    let earliest = now + refresh_after.min(rest / 2);
    Some(Window {
        generation,
        sent,
        received: now,
        refresh_at: earliest.max(sent + refresh_after),
        usable_until,
        ends_at: sent + life,
    })
}

/// Returns after how much of a usable life the refresh begins.
pub(super) fn refresh_after(policy: &RefreshPolicy, usable: Duration, draw: f64) -> Duration {
    let refresh_after = match policy.refresh_before {
        Some(lead) => usable.saturating_sub(lead.min(usable / 2)),
        None => usable.mul_f64(policy.fraction),
    };
    jittered(refresh_after, usable, policy.jitter, draw)
}

/// Returns how long after the end of a token that is served to its end the next exchange begins: not long,
/// since callers wait.
pub(super) fn spread_after(policy: &RefreshPolicy, life: Duration, draw: f64) -> Duration {
    life.mul_f64(policy.jitter).min(MOST_SPREAD).mul_f64(draw)
}

/// Moves `instant` by up to `jitter` of the usable life to either side, but neither to the usable
/// life's end nor so close to its beginning that one refresh would follow on the other.
fn jittered(instant: Duration, usable: Duration, jitter: f64, draw: f64) -> Duration {
    let spread = usable
        .mul_f64(jitter)
        .min(instant / 2)
        .min(usable.saturating_sub(instant) / 2);
    instant.saturating_sub(spread) + (spread * 2).mul_f64(draw)
}

/// How long to wait after the `failures`-th failure in a row, when the token in use, if there is
/// one, is good for another `rest_of_life`. Never zero.
pub(crate) fn retry_delay(
    policy: &RetryPolicy,
    failure: Failure,
    failures: u32,
    rest_of_life: Option<Rest>,
    draw: f64,
) -> Duration {
    let mut asked = pause_asked_for(policy, failure).unwrap_or_default();
    if matches!(failure, Failure::Terminal { .. }) {
        return policy.terminal_backoff.max(asked);
    }
    let mut least = policy.first_delay.mul_f64(LEAST_SHARE_OF_DELAY);
    let mut bound = doubled(policy.first_delay, policy.longest_delay, failures);
    if let Some(Rest { usable, life }) = rest_of_life {
        // Towards the end the attempts come closer together, but not ever closer.
        least = policy.first_delay.min(life / ATTEMPTS_IN_LIFE);
        if usable <= least {
            return usable.max(SHORTEST_DELAY);
        }
        bound = bound.min(usable / ATTEMPTS_IN_REST_OF_LIFE);
        asked = asked.min(usable.saturating_sub(usable / ATTEMPTS_IN_REST_OF_LIFE));
    }
    let backoff = drawn(bound, draw).max(least);
    backoff.max(asked).max(SHORTEST_DELAY)
}

/// Returns the pause that the server requested, up to `RetryPolicy::max_retry_after`.
pub(super) fn pause_asked_for(policy: &RetryPolicy, failure: Failure) -> Option<Duration> {
    let (Failure::Transient { retry_after } | Failure::Terminal { retry_after }) = failure;
    retry_after.map(|asked| asked.min(policy.max_retry_after))
}

/// In how long a long-term token is to be rotated that is `age` old and has so much `left`.
pub(super) fn rotation_in(
    policy: &RotationPolicy,
    age: Duration,
    left: Duration,
    draw: f64,
) -> Duration {
    let (age, left) = (age.min(LONGEST), left.min(LONGEST));
    let life = age + left;
    let spread = life.mul_f64(policy.jitter);
    let by_fraction = life.mul_f64(policy.fraction) + spread;
    let by_end = life.saturating_sub(policy.before_end.min(life / 2));
    let latest = by_fraction.min(by_end);
    let earliest = latest.saturating_sub(spread * 2);
    let after = earliest + latest.saturating_sub(earliest).mul_f64(draw);
    after.saturating_sub(age)
}

/// How long to wait after the `failures`-th failure of a rotation in a row.
pub(super) fn rotation_retry_delay(
    policy: &RotationPolicy,
    failure: Failure,
    failures: u32,
    draw: f64,
) -> Duration {
    let Failure::Transient { retry_after } = failure else {
        return policy.longest_delay;
    };
    let bound = doubled(policy.first_delay, policy.longest_delay, failures);
    let asked = retry_after.unwrap_or_default().min(policy.longest_delay);
    drawn(bound, draw).max(asked).max(SHORTEST_DELAY)
}

/// The bound of the delay after the `failures`-th failure in a row.
fn doubled(first: Duration, longest: Duration, failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(31);
    first.saturating_mul(1 << doublings).min(longest)
}

/// A delay within this bound.
fn drawn(bound: Duration, draw: f64) -> Duration {
    bound.mul_f64(LEAST_SHARE_OF_DELAY + (1.0 - LEAST_SHARE_OF_DELAY) * draw)
}

/// What is left of a good token.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rest {
    /// For how long it may still go on requests.
    pub(crate) usable: Duration,
    /// How long it lives as a whole.
    pub(crate) life: Duration,
}

/// The least time between two refreshes that a denial asks for, for a token of this life.
pub(super) fn min_reject_interval(policy: &RefreshPolicy, life: Duration) -> Duration {
    policy.min_reject_interval.min(life / 4)
}

/// Returns the least time between two refreshes for callers that need a longer remaining life.
pub(super) fn between_top_ups(life: Duration) -> Duration {
    life / 4
}
