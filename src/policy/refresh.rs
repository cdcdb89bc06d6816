//! When a short-term token is refreshed.

use std::time::Duration;

use super::limits::{at_most, positive, within};

/// Sets when a provider refreshes a short-term token.
///
/// All times scale with the token's lifetime, so that one policy fits a lifetime of five seconds and a
/// lifetime of a day. The *usable* lifetime is the lifetime less the [margin](Self::expiry_margin). The
/// refresh begins after a [fraction](Self::fraction) of the usable lifetime.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use everbearer::RefreshPolicy;
///
/// // Refresh after about half the lifetime, and never use the last 20 seconds.
/// let policy = RefreshPolicy::default()
///     .fraction(0.5)
///     .expiry_margin(Duration::from_secs(20));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct RefreshPolicy {
    pub(crate) fraction: f64,
    pub(crate) jitter: f64,
    pub(crate) refresh_before: Option<Duration>,
    pub(crate) expiry_margin: Duration,
    pub(crate) default_lifetime: Duration,
    pub(crate) min_reject_interval: Duration,
    pub(crate) settling_time: Duration,
    pub(crate) lazy: bool,
}

impl Default for RefreshPolicy {
    /// Returns a policy that refreshes after 75 % of the usable lifetime, with a jitter of 5 %, a margin of 5 s, a
    /// lifetime of 5 minutes where none is stated, and 10 s between refreshes that 401s cause.
    fn default() -> Self {
        Self {
            fraction: 0.75,
            jitter: 0.05,
            refresh_before: None,
            expiry_margin: Duration::from_secs(5),
            default_lifetime: Duration::from_secs(300),
            min_reject_interval: Duration::from_secs(10),
            settling_time: Duration::ZERO,
            lazy: false,
        }
    }
}

impl RefreshPolicy {
    /// Sets the fraction of the usable lifetime after which the refresh begins, from 0.01 to 0.99. Default:
    /// 0.75.
    ///
    /// ```
    /// let policy = everbearer::RefreshPolicy::default().fraction(0.5);
    /// ```
    #[must_use]
    pub const fn fraction(mut self, fraction: f64) -> Self {
        self.fraction = fraction;
        self.refresh_before = None;
        self
    }

    /// Sets how far the refresh may be moved in either direction, as a fraction of the usable lifetime, from
    /// 0 to 0.25. Default: 0.05.
    ///
    /// The provider draws the jitter once for each token, so that processes that start together do not
    /// refresh at the same time.
    ///
    /// ```
    /// let policy = everbearer::RefreshPolicy::default().jitter(0.1);
    /// ```
    #[must_use]
    pub const fn jitter(mut self, jitter: f64) -> Self {
        self.jitter = jitter;
        self
    }

    /// Sets how long before the end of the usable lifetime the refresh begins, in place of a
    /// [fraction](Self::fraction). Default: none.
    ///
    /// The provider uses at most half of the usable lifetime, so that a short lifetime does not cause one
    /// refresh right after another.
    ///
    /// ```
    /// # use std::time::Duration;
    /// let policy = everbearer::RefreshPolicy::default().refresh_before(Duration::from_secs(60));
    /// ```
    #[must_use]
    pub const fn refresh_before(mut self, lead: Duration) -> Self {
        self.refresh_before = Some(lead);
        self
    }

    /// Sets how long before its expiry a token counts as expired. Default: 5 s.
    ///
    /// The margin covers the time that a request needs to reach the server, and servers that count in whole
    /// seconds. The provider uses at most a quarter of the lifetime.
    ///
    /// ```
    /// # use std::time::Duration;
    /// let policy = everbearer::RefreshPolicy::default().expiry_margin(Duration::from_secs(20));
    /// ```
    #[must_use]
    pub const fn expiry_margin(mut self, margin: Duration) -> Self {
        self.expiry_margin = margin;
        self
    }

    /// Sets the lifetime that the provider assumes for a token if neither the response nor the token states
    /// one. Default: 5 minutes.
    ///
    /// ```
    /// # use std::time::Duration;
    /// let policy = everbearer::RefreshPolicy::default().default_lifetime(Duration::from_secs(60));
    /// ```
    #[must_use]
    pub const fn default_lifetime(mut self, life: Duration) -> Self {
        self.default_lifetime = life;
        self
    }

    /// Sets the minimum time between two refreshes that 401s of a resource server cause. Default: 10 s.
    ///
    /// The interval prevents that a resource server that refuses every token causes an exchange for each
    /// request. While exchanges fail, the delays of [`RetryPolicy`](crate::RetryPolicy) do.
    ///
    /// While the token is valid, the interval is also the minimum delay before the driver retries a failed
    /// refresh that a 401 or a caller requested. The provider uses at most a quarter of the current token's
    /// lifetime.
    ///
    /// ```
    /// # use std::time::Duration;
    /// let policy = everbearer::RefreshPolicy::default().min_reject_interval(Duration::from_secs(30));
    /// ```
    #[must_use]
    pub const fn min_reject_interval(mut self, pause: Duration) -> Self {
        self.min_reject_interval = pause;
        self
    }

    /// Sets how long the provider keeps a new token back while the previous one is valid, for resource
    /// servers that learn of new tokens with a delay. Default: 0.
    ///
    /// The provider uses a first token at once, and also a token that a 401 or a caller requested. It keeps a
    /// token with an `nbf` in the future back until then, for at most a minute, even without this setting.
    ///
    /// If a resource server refuses a token within this time after the provider received it, the middleware waits until
    /// the time has passed, and resends the request once with the same token. The refusal causes no exchange.
    ///
    /// ```
    /// # use std::time::Duration;
    /// let policy = everbearer::RefreshPolicy::default().settling_time(Duration::from_secs(2));
    /// ```
    #[must_use]
    pub const fn settling_time(mut self, time: Duration) -> Self {
        self.settling_time = time;
        self
    }

    /// Sets whether the provider exchanges only when a caller needs a token. Default: false, so that it
    /// refreshes with or without callers.
    ///
    /// If true, the first caller causes the first exchange. After a refresh has become due, the next caller
    /// causes it, and gets the token in use.
    ///
    /// ```
    /// let policy = everbearer::RefreshPolicy::default().lazy(true);
    /// ```
    #[must_use]
    pub const fn lazy(mut self, lazy: bool) -> Self {
        self.lazy = lazy;
        self
    }

    pub(crate) fn validate(&self) -> Result<(), String> {
        within("RefreshPolicy::fraction", self.fraction, 0.01, 0.99)?;
        within("RefreshPolicy::jitter", self.jitter, 0.0, 0.25)?;
        if let Some(lead) = self.refresh_before {
            positive("RefreshPolicy::refresh_before", lead)?;
        }
        at_most("RefreshPolicy::expiry_margin", self.expiry_margin)?;
        positive("RefreshPolicy::default_lifetime", self.default_lifetime)?;
        at_most(
            "RefreshPolicy::min_reject_interval",
            self.min_reject_interval,
        )?;
        at_most("RefreshPolicy::settling_time", self.settling_time)
    }
}
