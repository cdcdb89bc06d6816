//! When to refresh, how to go on when refreshing fails, how to stop: plain data.
//!
//! Each policy is built from its default by methods that replace one value. Values that make no
//! sense are refused by [`TokenProviderBuilder::build`](crate::TokenProviderBuilder::build), all
//! in one place, with an error that names the value.

mod rotation;

use std::time::Duration;

pub use rotation::RotationPolicy;

/// The longest duration that a policy or a token's life may have: 100 years. It keeps all
/// arithmetic far from overflow.
pub(crate) const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// When a short-term token is replaced.
///
/// All of it scales with the token's life, so that one policy suits a life of five seconds and a
/// life of a day. The *usable* life is the token's life less the [margin](Self::margin); the
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
///     .margin(Duration::from_secs(20));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct RefreshPolicy {
    pub(crate) fraction: f64,
    pub(crate) jitter: f64,
    pub(crate) before_end: Option<Duration>,
    pub(crate) margin: Duration,
    pub(crate) life_if_unknown: Duration,
    pub(crate) between_denials: Duration,
    pub(crate) lazy: bool,
}

impl Default for RefreshPolicy {
    /// Refresh at 75 % of the usable life, give or take 5 %; a margin of 5 s; 5 minutes of life
    /// for a token whose end nobody states; 10 s between refreshes that a 401 asks for.
    fn default() -> Self {
        Self {
            fraction: 0.75,
            jitter: 0.05,
            before_end: None,
            margin: Duration::from_secs(5),
            life_if_unknown: Duration::from_secs(300),
            between_denials: Duration::from_secs(10),
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
        self.before_end = None;
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
    pub const fn before_end(mut self, lead: Duration) -> Self {
        self.before_end = Some(lead);
        self
    }

    /// How long before its end a token counts as expired: room for the way to the server, and for
    /// servers that count in whole seconds. At most a quarter of the life is taken.
    /// Default: 5 s.
    #[must_use]
    pub const fn margin(mut self, margin: Duration) -> Self {
        self.margin = margin;
        self
    }

    /// The life that a token is given when neither the server's answer nor the token states one.
    /// Default: 5 minutes.
    #[must_use]
    pub const fn life_if_unknown(mut self, life: Duration) -> Self {
        self.life_if_unknown = life;
        self
    }

    /// The least time between two refreshes that a 401 from a resource server asks for. It keeps
    /// a resource server that refuses every token from turning each request into an exchange; while
    /// exchanges fail, the delays of [`RetryPolicy`] do. At
    /// most a quarter of the current token's life is taken. Default: 10 s.
    #[must_use]
    pub const fn between_denials(mut self, pause: Duration) -> Self {
        self.between_denials = pause;
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
        if let Some(lead) = self.before_end {
            positive("RefreshPolicy::before_end", lead)?;
        }
        at_most("RefreshPolicy::margin", self.margin)?;
        positive("RefreshPolicy::life_if_unknown", self.life_if_unknown)?;
        at_most("RefreshPolicy::between_denials", self.between_denials)
    }
}

/// How to go on when an exchange fails, and how long anything may take.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use everbearer::RetryPolicy;
///
/// let policy = RetryPolicy::default()
///     .delays(Duration::from_millis(200), Duration::from_secs(30))
///     .wait_timeout(Duration::from_secs(5));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    pub(crate) first_delay: Duration,
    pub(crate) longest_delay: Duration,
    pub(crate) longest_retry_after: Duration,
    pub(crate) terminal_pause: Duration,
    pub(crate) exchange_timeout: Duration,
    pub(crate) wait_timeout: Duration,
    pub(crate) start_timeout: Duration,
}

impl Default for RetryPolicy {
    /// Delays from 1 s doubling up to 60 s; a `Retry-After` of up to 5 minutes; 30 s of pause
    /// after a terminal error; 30 s for one exchange; 30 s of waiting for a caller; no patience
    /// with failures at the start.
    fn default() -> Self {
        Self {
            first_delay: Duration::from_secs(1),
            longest_delay: Duration::from_secs(60),
            longest_retry_after: Duration::from_secs(300),
            terminal_pause: Duration::from_secs(30),
            exchange_timeout: Duration::from_secs(30),
            wait_timeout: Duration::from_secs(30),
            start_timeout: Duration::ZERO,
        }
    }
}

impl RetryPolicy {
    /// The upper bound of the delay after the first failure, and the bound that later ones double
    /// up to. Each delay is drawn between a tenth of its bound and the bound. While a good token
    /// is there, delays are cut so that several attempts fit into the rest of its life.
    /// Default: 1 s and 60 s.
    #[must_use]
    pub const fn delays(mut self, first: Duration, longest: Duration) -> Self {
        self.first_delay = first;
        self.longest_delay = longest;
        self
    }

    /// The longest `Retry-After` that is obeyed; a longer one is cut to this. While a good token
    /// is there, it is also cut so that one attempt falls before the token's end.
    /// Default: 5 minutes.
    #[must_use]
    pub const fn longest_retry_after(mut self, longest: Duration) -> Self {
        self.longest_retry_after = longest;
        self
    }

    /// How long a terminal error (the server refuses the credential) is handed to callers without
    /// asking the server again. After this pause, a caller in need of a token causes one more
    /// attempt; while there is still a good token, one more is made without anybody asking.
    /// Default: 30 s.
    #[must_use]
    pub const fn terminal_pause(mut self, pause: Duration) -> Self {
        self.terminal_pause = pause;
        self
    }

    /// How long one exchange may take, from its beginning to its decoded answer, before it is
    /// given up and counts as failed. Default: 30 s.
    #[must_use]
    pub const fn exchange_timeout(mut self, timeout: Duration) -> Self {
        self.exchange_timeout = timeout;
        self
    }

    /// How long a caller waits for a token before it is given an error. The exchange that it
    /// waited for goes on. Default: 30 s.
    #[must_use]
    pub const fn wait_timeout(mut self, timeout: Duration) -> Self {
        self.wait_timeout = timeout;
        self
    }

    /// For how long after a first failure [`TokenProvider::ready`](crate::TokenProvider::ready)
    /// goes on waiting for the first token, while exchanges fail in a way that may pass.
    /// Default: 0, which fails with the first failure.
    #[must_use]
    pub const fn start_timeout(mut self, timeout: Duration) -> Self {
        self.start_timeout = timeout;
        self
    }

    pub(crate) fn validate(&self) -> Result<(), String> {
        positive("RetryPolicy::delays (first)", self.first_delay)?;
        positive("RetryPolicy::delays (longest)", self.longest_delay)?;
        if self.first_delay > self.longest_delay {
            return Err("RetryPolicy::delays: the first is longer than the longest".to_owned());
        }
        at_most("RetryPolicy::longest_retry_after", self.longest_retry_after)?;
        positive("RetryPolicy::terminal_pause", self.terminal_pause)?;
        positive("RetryPolicy::exchange_timeout", self.exchange_timeout)?;
        positive("RetryPolicy::wait_timeout", self.wait_timeout)?;
        at_most("RetryPolicy::start_timeout", self.start_timeout)
    }
}

/// How many narrower sets of scopes a provider keeps tokens for, and for how long.
///
/// See [`TokenProvider::scoped`](crate::TokenProvider::scoped).
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use everbearer::ScopePolicy;
///
/// let policy = ScopePolicy::default()
///     .most(8)
///     .idle(Duration::from_secs(60));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScopePolicy {
    pub(crate) most: usize,
    pub(crate) idle: Duration,
}

impl Default for ScopePolicy {
    /// At most 64 sets, each dropped when nobody has used it for 10 minutes.
    fn default() -> Self {
        Self {
            most: 64,
            idle: Duration::from_secs(600),
        }
    }
}

impl ScopePolicy {
    /// The most sets beside the provider's own that have tokens at the same time. A token of one
    /// more is refused with [`ErrorKind::TooManyScopeSets`](crate::ErrorKind::TooManyScopeSets).
    /// Default: 64.
    #[must_use]
    pub const fn most(mut self, most: usize) -> Self {
        self.most = most;
        self
    }

    /// A set whose tokens nobody has used for this long is no longer refreshed, and its tokens are
    /// revoked. The next use begins anew. Uses are noted at each refresh and at least every 30 s,
    /// so a set may live that much longer. Default: 10 minutes.
    #[must_use]
    pub const fn idle(mut self, idle: Duration) -> Self {
        self.idle = idle;
        self
    }

    pub(crate) fn validate(&self) -> Result<(), String> {
        positive("ScopePolicy::idle", self.idle)
    }
}

/// How [`TokenProvider::shutdown`](crate::TokenProvider::shutdown) goes about its work.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use everbearer::ShutdownPolicy;
///
/// // A daemon that its supervisor kills after 10 seconds, with a long-term token of its own.
/// let policy = ShutdownPolicy::default()
///     .deadline(Duration::from_secs(8))
///     .revoke_long_term(true);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShutdownPolicy {
    pub(crate) deadline: Duration,
    pub(crate) revoke_short_term: bool,
    pub(crate) revoke_long_term: bool,
}

impl Default for ShutdownPolicy {
    /// A deadline of 5 s; short-term tokens are revoked, the long-term token is not.
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(5),
            revoke_short_term: true,
            revoke_long_term: false,
        }
    }
}

impl ShutdownPolicy {
    /// How long the whole shutdown may take, counted from the first call. Default: 5 s.
    #[must_use]
    pub const fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Whether the short-term tokens that still live are revoked, superseded ones too.
    /// Default: true.
    #[must_use]
    pub const fn revoke_short_term(mut self, revoke: bool) -> Self {
        self.revoke_short_term = revoke;
        self
    }

    /// Whether the long-term token is revoked as well, after the short-term ones. Whoever starts
    /// the daemon again then needs another one, and so does everybody who shares the store: what it
    /// holds is of no use any more. Default: false.
    #[must_use]
    pub const fn revoke_long_term(mut self, revoke: bool) -> Self {
        self.revoke_long_term = revoke;
        self
    }

    pub(crate) const fn revokes_nothing(&self) -> bool {
        !self.revoke_short_term && !self.revoke_long_term
    }

    pub(crate) fn validate(&self) -> Result<(), String> {
        positive("ShutdownPolicy::deadline", self.deadline)
    }
}

fn within(name: &str, value: f64, least: f64, most: f64) -> Result<(), String> {
    if (least..=most).contains(&value) {
        Ok(())
    } else {
        Err(format!(
            "{name} is {value}; it must lie between {least} and {most}"
        ))
    }
}

fn positive(name: &str, value: Duration) -> Result<(), String> {
    if value.is_zero() {
        return Err(format!("{name} is zero; it must be longer"));
    }
    at_most(name, value)
}

fn at_most(name: &str, value: Duration) -> Result<(), String> {
    if value > LONGEST {
        return Err(format!("{name} is {value:?}; it must be at most 100 years"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid() {
        assert_eq!(RefreshPolicy::default().validate(), Ok(()));
        assert_eq!(RetryPolicy::default().validate(), Ok(()));
        assert_eq!(ScopePolicy::default().validate(), Ok(()));
        assert_eq!(ShutdownPolicy::default().validate(), Ok(()));
        assert_eq!(RotationPolicy::default().validate(), Ok(()));
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        let refusals = [
            RefreshPolicy::default().fraction(1.0).validate(),
            RefreshPolicy::default().fraction(f64::NAN).validate(),
            RefreshPolicy::default().jitter(-0.1).validate(),
            RefreshPolicy::default()
                .before_end(Duration::ZERO)
                .validate(),
            RefreshPolicy::default().margin(Duration::MAX).validate(),
            RetryPolicy::default()
                .delays(Duration::from_secs(2), Duration::from_secs(1))
                .validate(),
            RetryPolicy::default()
                .wait_timeout(Duration::ZERO)
                .validate(),
            ShutdownPolicy::default()
                .deadline(Duration::ZERO)
                .validate(),
            RotationPolicy::default().fraction(1.0).validate(),
            RotationPolicy::default().grace(Duration::MAX).validate(),
        ];
        for refusal in refusals {
            let text = refusal.unwrap_err();
            assert!(text.contains("Policy::"), "{text}");
        }
    }
}
