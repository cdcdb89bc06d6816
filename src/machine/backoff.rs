//! How long to wait after a failure.
//!
//! `draw` is a random number from 0 to 1; tests pass the least, the middle and the most.

use std::time::Duration;

use super::input::Failure;
use crate::policy::{RetryPolicy, RotationPolicy};

/// While a token is valid, how often an exchange is attempted at least in the rest of its life.
const ATTEMPTS_IN_REST_OF_LIFE: u32 = 4;
/// While a token is valid, the minimum delay is this share of its life, or the first delay if that is shorter.
const ATTEMPTS_IN_LIFE: u32 = 40;
const SHORTEST_DELAY: Duration = Duration::from_millis(1);
/// The least delay as a share of its bound, so that no draw causes an attempt at once.
const LEAST_SHARE_OF_DELAY: f64 = 0.1;

/// Returns how long to wait after the `failures`-th failure in a row, if the token in use is valid for another
/// `rest_of_life`, or if there is no valid token. Never returns zero.
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
    match failure {
        Failure::Held { pause } => return pause.max(SHORTEST_DELAY),
        Failure::Unclear { pause } => asked = pause,
        Failure::Transient { .. } | Failure::Terminal { .. } => {}
    }
    let mut least = policy.first_delay.mul_f64(LEAST_SHARE_OF_DELAY);
    let mut bound = doubled(policy.first_delay, policy.longest_delay, failures);
    if let Some(Rest { usable, life }) = rest_of_life {
        // Towards the end of the life, attempts come closer together, down to `least`.
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
    match failure {
        Failure::Transient { retry_after } | Failure::Terminal { retry_after } => {
            retry_after.map(|asked| asked.min(policy.max_retry_after))
        }
        Failure::Unclear { .. } | Failure::Held { .. } => None,
    }
}

/// Returns how long to wait after the `failures`-th failure of a rotation in a row.
pub(super) fn rotation_retry_delay(
    policy: &RotationPolicy,
    failure: Failure,
    failures: u32,
    draw: f64,
) -> Duration {
    let retry_after = match failure {
        Failure::Transient { retry_after } => retry_after,
        Failure::Unclear { pause } | Failure::Held { pause } => Some(pause),
        Failure::Terminal { .. } => return policy.longest_delay,
    };
    let bound = doubled(policy.first_delay, policy.longest_delay, failures);
    let asked = retry_after.unwrap_or_default().min(policy.longest_delay);
    drawn(bound, draw).max(asked).max(SHORTEST_DELAY)
}

/// The pauses while the server refuses each token that a grant brings.
const RECOVERY_PAUSES: (Duration, Duration) =
    (Duration::from_secs(30), Duration::from_secs(60 * 60));

/// Returns how long a grant is not used after the server has refused its tokens so many times in a row.
pub(super) fn recovery_pause(failures: u32, draw: f64) -> Duration {
    let (first, longest) = RECOVERY_PAUSES;
    let bound = doubled(first, longest, failures);
    // Never shorter than the first, and spread over a fleet.
    first.max(bound.mul_f64(0.75 + 0.25 * draw))
}

/// Returns the bound of the delay after the `failures`-th failure in a row.
fn doubled(first: Duration, longest: Duration, failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(31);
    first.saturating_mul(1 << doublings).min(longest)
}

/// Returns a delay within this bound.
fn drawn(bound: Duration, draw: f64) -> Duration {
    bound.mul_f64(LEAST_SHARE_OF_DELAY + (1.0 - LEAST_SHARE_OF_DELAY) * draw)
}

/// The remaining life of a valid token.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rest {
    /// For how long requests may still use the token.
    pub(crate) usable: Duration,
    /// The whole life of the token.
    pub(crate) life: Duration,
}
