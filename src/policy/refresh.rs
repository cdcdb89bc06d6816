//! When a short-term token is replaced.

use std::time::Duration;

use super::limits::{at_most, positive, within};

/// When a short-term token is replaced.
///
/// All of it scales with the token's life, so that one policy suits a life of five seconds and a
/// life of a day. The *usable* life is the token's life less the [margin](Self::expiry_margin); the
/// refresh begins after a [fraction](Self::fraction) of the usable life.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use everbearer::RefreshPolicy;
///
/// // Refresh after about half the life, and never use the last 20 seconds.
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
    /// Refresh at 75 % of the usable life, give or take 5 %; a margin of 5 s; 5 minutes of life
    /// for a token without a stated end; 10 s between refreshes that a 401 asks for.
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
    /// The share of the usable life after which the refresh begins: above 0, below 1.
    /// Default: 0.75.
    #[must_use]
    pub const fn fraction(mut self, fraction: f64) -> Self {
        self.fraction = fraction;
        self.refresh_before = None;
        self
    }

    /// How far the refresh may be moved to either side, as a share of the usable life: 0 to 0.25.
    /// It is drawn once for each token, so that a fleet that started together does not refresh
    /// together. Default: 0.05.
    #[must_use]
    pub const fn jitter(mut self, jitter: f64) -> Self {
        self.jitter = jitter;
        self
    }

    /// Refresh this long before the usable life ends, instead of after a fraction of it. At most
    /// half of the usable life is taken, so that a short life does not mean one refresh after
    /// the other.
    #[must_use]
    pub const fn refresh_before(mut self, lead: Duration) -> Self {
        self.refresh_before = Some(lead);
        self
    }

    /// How long before its end a token counts as expired: room for the way to the server, and for
    /// servers that count in whole seconds. At most a quarter of the life is taken.
    /// Default: 5 s.
    #[must_use]
    pub const fn expiry_margin(mut self, margin: Duration) -> Self {
        self.expiry_margin = margin;
        self
    }

    /// The life that a token is given when neither the server's answer nor the token states one.
    /// Default: 5 minutes.
    #[must_use]
    pub const fn default_lifetime(mut self, life: Duration) -> Self {
        self.default_lifetime = life;
        self
    }

    /// The least time between two refreshes that a 401 from a resource server asks for. It keeps
    /// a resource server that refuses every token from turning each request into an exchange; while
    /// exchanges fail, the delays of [`RetryPolicy`](crate::RetryPolicy) do.
    ///
    /// While the token is good, this is also the least delay before the driver retries a failed refresh
    /// that a 401 or a caller asked for. At most a quarter of the current token's life is taken.
    /// Default: 10 s.
    #[must_use]
    pub const fn min_reject_interval(mut self, pause: Duration) -> Self {
        self.min_reject_interval = pause;
        self
    }

    /// Sets how long a new token is held back while the previous one is good, for resource servers that
    /// learn of new tokens with a delay. Default: 0.
    ///
    /// A first token, and a token that a 401 or a caller asked for, is used at once. A token whose `nbf`
    /// lies ahead is held back until then even without this setting, for a minute at most.
    #[must_use]
    pub const fn settling_time(mut self, time: Duration) -> Self {
        self.settling_time = time;
        self
    }

    /// Exchanges only when someone asks: the first time for the first caller, later for the first
    /// caller after the refresh became due, who is served the token in use. Default: false, which
    /// refreshes whether or not anyone asks.
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
