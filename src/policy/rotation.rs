//! When a long-term token is replaced.

use std::time::Duration;

use super::limits::{at_most, positive, within};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// When the long-term token is rotated, and for how long the one before lives on.
///
/// It is rotated by time only if its end is known and there is a way to obtain the next one: a
/// grant. Otherwise [`TokenProvider::rotate`](crate::TokenProvider::rotate) does it on demand.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use everbearer::RotationPolicy;
///
/// const DAY: Duration = Duration::from_secs(24 * 60 * 60);
///
/// // Of 30 days: after half of them, in any case when 10 are left.
/// let policy = RotationPolicy::default()
///     .fraction(0.5)
///     .before_end(10 * DAY);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct RotationPolicy {
    pub(crate) fraction: f64,
    pub(crate) jitter: f64,
    pub(crate) before_end: Duration,
    pub(crate) is_manual: bool,
    pub(crate) grace: Duration,
    pub(crate) first_delay: Duration,
    pub(crate) longest_delay: Duration,
}

impl Default for RotationPolicy {
    /// After two thirds of the life, give or take 5 %, at the latest 7 days before the end; 5
    /// minutes of grace; delays from 1 minute up to 1 hour after failures.
    fn default() -> Self {
        Self {
            fraction: 0.66,
            jitter: 0.05,
            before_end: 7 * DAY,
            is_manual: false,
            grace: Duration::from_secs(300),
            first_delay: Duration::from_secs(60),
            longest_delay: Duration::from_secs(60 * 60),
        }
    }
}

impl RotationPolicy {
    /// The share of the life after which the rotation begins: above 0, below 1. Default: 0.66.
    #[must_use]
    pub const fn fraction(mut self, fraction: f64) -> Self {
        self.fraction = fraction;
        self
    }

    /// How far the rotation may be moved, as a share of the life: 0 to 0.25. It is drawn once for
    /// each token, so that a fleet that was set up together does not rotate together.
    /// Default: 0.05.
    #[must_use]
    pub const fn jitter(mut self, jitter: f64) -> Self {
        self.jitter = jitter;
        self
    }

    /// The rotation begins at the latest this long before the end, whatever the fraction: time for
    /// a person to see that it fails. At most half of the life is taken. Default: 7 days.
    #[must_use]
    pub const fn before_end(mut self, lead: Duration) -> Self {
        self.before_end = lead;
        self
    }

    /// Never rotates by time, only by [`TokenProvider::rotate`](crate::TokenProvider::rotate).
    #[must_use]
    pub const fn manual(mut self) -> Self {
        self.is_manual = true;
        self
    }

    /// How long the superseded token is kept before it is revoked, so that exchanges under way
    /// and other processes that share the store can follow. Default: 5 minutes.
    #[must_use]
    pub const fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// The upper bound of the delay after the first failure of a rotation, and the bound that
    /// later ones double up to. Default: 1 minute and 1 hour.
    #[must_use]
    pub const fn backoff(mut self, first: Duration, longest: Duration) -> Self {
        self.first_delay = first;
        self.longest_delay = longest;
        self
    }

    pub(crate) fn validate(&self) -> Result<(), String> {
        within("RotationPolicy::fraction", self.fraction, 0.01, 0.99)?;
        within("RotationPolicy::jitter", self.jitter, 0.0, 0.25)?;
        at_most("RotationPolicy::before_end", self.before_end)?;
        at_most("RotationPolicy::grace", self.grace)?;
        positive("RotationPolicy::backoff (first)", self.first_delay)?;
        positive("RotationPolicy::backoff (longest)", self.longest_delay)?;
        if self.first_delay > self.longest_delay {
            return Err("RotationPolicy::backoff: the first is longer than the longest".to_owned());
        }
        Ok(())
    }
}
