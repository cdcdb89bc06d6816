//! When a long-term token is rotated.

use std::time::Duration;

use super::limits::{at_most, positive, within};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Sets when a provider rotates the long-term token, and for how long it keeps the previous one.
///
/// The provider rotates the token by time only if its expiry is known and there is a
/// [grant](crate::TokenProviderBuilder::rotate_with) that obtains the next one. Otherwise it rotates the
/// token only when [`TokenProvider::rotate`](crate::TokenProvider::rotate) is called.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use everbearer::RotationPolicy;
///
/// const DAY: Duration = Duration::from_secs(24 * 60 * 60);
///
/// // Of 30 days: after half of them, and at the latest when 10 are left.
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
    /// Returns a policy that rotates after 66 % of the lifetime, with a jitter of 5 %, and at the latest 7 days before
    /// the expiry, with a grace of 5 minutes and delays that double from 1 minute to 1 hour after failures.
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
    /// Sets the fraction of the lifetime after which the rotation begins, from 0.01 to 0.99. Default: 0.66.
    ///
    /// ```
    /// let policy = everbearer::RotationPolicy::default().fraction(0.5);
    /// ```
    #[must_use]
    pub const fn fraction(mut self, fraction: f64) -> Self {
        self.fraction = fraction;
        self
    }

    /// Sets how far the rotation may be moved, as a fraction of the lifetime, from 0 to 0.25. Default: 0.05.
    ///
    /// The provider draws the jitter once for each token, so that processes that were set up together do not
    /// rotate at the same time.
    ///
    /// ```
    /// let policy = everbearer::RotationPolicy::default().jitter(0.1);
    /// ```
    #[must_use]
    pub const fn jitter(mut self, jitter: f64) -> Self {
        self.jitter = jitter;
        self
    }

    /// Sets how long before the expiry the rotation begins at the latest, so that an operator has time to
    /// repair a rotation that fails. Default: 7 days.
    ///
    /// The provider uses at most half of the lifetime.
    ///
    /// ```
    /// # use std::time::Duration;
    /// const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    /// let policy = everbearer::RotationPolicy::default().before_end(10 * DAY);
    /// ```
    #[must_use]
    pub const fn before_end(mut self, lead: Duration) -> Self {
        self.before_end = lead;
        self
    }

    /// Disables rotation by time. The provider then rotates the token only when
    /// [`TokenProvider::rotate`](crate::TokenProvider::rotate) is called.
    ///
    /// ```
    /// let policy = everbearer::RotationPolicy::default().manual();
    /// ```
    #[must_use]
    pub const fn manual(mut self) -> Self {
        self.is_manual = true;
        self
    }

    /// Sets the minimum time before the provider revokes the replaced token, so that exchanges in flight can finish and
    /// other processes that share the store can load the new token. Default: 5 minutes. The provider also waits until
    /// it serves no token that was issued for the replaced one and, with a configured store, for a minute more than the
    /// longest lifetime of a short-term token.
    ///
    /// ```
    /// # use std::time::Duration;
    /// let policy = everbearer::RotationPolicy::default().grace(Duration::from_secs(60));
    /// ```
    #[must_use]
    pub const fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Sets the upper bound of the delay after the first failed rotation, and the highest upper bound. The
    /// upper bound doubles with each failure in a row. Default: 1 minute and 1 hour.
    ///
    /// ```
    /// # use std::time::Duration;
    /// let policy = everbearer::RotationPolicy::default()
    ///     .backoff(Duration::from_secs(30), Duration::from_secs(600));
    /// ```
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
            return Err(
                "RotationPolicy::backoff: the first delay is longer than the longest".to_owned(),
            );
        }
        Ok(())
    }
}
