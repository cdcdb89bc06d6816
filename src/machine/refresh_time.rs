//! When to refresh a short-term token, and when to rotate a long-term token: margin, fraction and jitter.
//!
//! `draw` is a random number from 0 to 1; tests pass the least, the middle and the most.

use std::time::Duration;

use super::input::{Generation, Window};
use crate::clock::Moment;
use crate::policy::{LONGEST, RefreshPolicy, RotationPolicy};

/// A token with a shorter life counts as expired. This bounds how often a server can make the provider exchange: about
/// 40 times a second.
pub(super) const SHORTEST_LIFE: Duration = Duration::from_millis(50);
/// The most time over which a fleet that shares a token spreads its exchanges after the token's end.
const MOST_SPREAD: Duration = Duration::from_secs(1);
/// Returns the window of a token that was requested at `sent`, arrived at `now` and lives for `life` from `sent`;
/// `None` if too little of its life is left.
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

/// Moves `instant` by up to `jitter` of the usable life in either direction. The result lies before the end of the
/// usable life, and far enough after its beginning that refreshes do not follow each other at once.
fn jittered(instant: Duration, usable: Duration, jitter: f64, draw: f64) -> Duration {
    let spread = usable
        .mul_f64(jitter)
        .min(instant / 2)
        .min(usable.saturating_sub(instant) / 2);
    instant.saturating_sub(spread) + (spread * 2).mul_f64(draw)
}

/// Returns the least time between two refreshes because of denials, for a token of this life.
pub(super) fn min_reject_interval(policy: &RefreshPolicy, life: Duration) -> Duration {
    policy.min_reject_interval.min(life / 4)
}

/// Returns the least time between two refreshes for callers that need a longer remaining life.
pub(super) fn between_top_ups(life: Duration) -> Duration {
    life / 4
}

/// Returns after how long a long-term token of this age and with this remaining life is rotated.
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
