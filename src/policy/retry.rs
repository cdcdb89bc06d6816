//! How to go on when an exchange fails.

use std::time::Duration;

use super::limits::{at_most, positive};

/// How to go on when an exchange fails, and how long anything may take.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use everbearer::RetryPolicy;
///
/// let policy = RetryPolicy::default()
///     .backoff(Duration::from_millis(200), Duration::from_secs(30))
///     .wait_timeout(Duration::from_secs(5));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    pub(crate) first_delay: Duration,
    pub(crate) longest_delay: Duration,
    pub(crate) max_retry_after: Duration,
    pub(crate) terminal_backoff: Duration,
    pub(crate) exchange_timeout: Duration,
    pub(crate) wait_timeout: Duration,
    pub(crate) ready_timeout: Duration,
}

impl Default for RetryPolicy {
    /// Delays from 1 s doubling up to 60 s; a `Retry-After` of up to 5 minutes; 30 s of pause
    /// after a terminal error; 30 s for one exchange; 30 s of waiting for a caller; no patience
    /// with failures at the start.
    fn default() -> Self {
        Self {
            first_delay: Duration::from_secs(1),
            longest_delay: Duration::from_secs(60),
            max_retry_after: Duration::from_secs(300),
            terminal_backoff: Duration::from_secs(30),
            exchange_timeout: Duration::from_secs(30),
            wait_timeout: Duration::from_secs(30),
            ready_timeout: Duration::ZERO,
        }
    }
}

impl RetryPolicy {
    /// The upper bound of the delay after the first failure, and the bound that later ones double
    /// up to. Each delay is drawn between a tenth of its bound and the bound. While a good token
    /// is there, delays are cut so that several attempts fit into the rest of its life.
    /// Default: 1 s and 60 s.
    #[must_use]
    pub const fn backoff(mut self, first: Duration, longest: Duration) -> Self {
        self.first_delay = first;
        self.longest_delay = longest;
        self
    }

    /// The longest `Retry-After` that is obeyed; a longer one is cut to this. While a good token
    /// is there, it is also cut so that one attempt falls before the token's end.
    /// Default: 5 minutes.
    #[must_use]
    pub const fn max_retry_after(mut self, longest: Duration) -> Self {
        self.max_retry_after = longest;
        self
    }

    /// How long a terminal error (the server refuses the credential) is handed to callers without
    /// asking the server again. After this pause, a caller in need of a token causes one more
    /// attempt; while there is still a good token, one more is made without anybody asking.
    /// A `Retry-After` with the error lengthens the pause, up to
    /// [`max_retry_after`](Self::max_retry_after). Default: 30 s.
    #[must_use]
    pub const fn terminal_backoff(mut self, pause: Duration) -> Self {
        self.terminal_backoff = pause;
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
    pub const fn ready_timeout(mut self, timeout: Duration) -> Self {
        self.ready_timeout = timeout;
        self
    }

    pub(crate) fn validate(&self) -> Result<(), String> {
        positive("RetryPolicy::backoff (first)", self.first_delay)?;
        positive("RetryPolicy::backoff (longest)", self.longest_delay)?;
        if self.first_delay > self.longest_delay {
            return Err("RetryPolicy::backoff: the first is longer than the longest".to_owned());
        }
        at_most("RetryPolicy::max_retry_after", self.max_retry_after)?;
        positive("RetryPolicy::terminal_backoff", self.terminal_backoff)?;
        positive("RetryPolicy::exchange_timeout", self.exchange_timeout)?;
        positive("RetryPolicy::wait_timeout", self.wait_timeout)?;
        at_most("RetryPolicy::ready_timeout", self.ready_timeout)
    }
}
