//! How a provider retries failed exchanges, and its timeouts.

use std::time::Duration;

use super::limits::{at_most, positive};

/// Sets how a provider retries failed exchanges, and the timeouts of exchanges and callers.
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
    /// Returns a policy with delays that double from 1 s to 60 s, a `Retry-After` of up to 5 minutes, a pause of 30 s
    /// after a terminal error, and timeouts of 30 s for an exchange, 30 s for a caller and 0 s for `ready`.
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
    /// Sets the upper bound of the delay after the first failure, and the highest upper bound. Default: 1 s
    /// and 60 s.
    ///
    /// The upper bound doubles with each failure in a row. Each delay is drawn between a tenth of its upper
    /// bound and the upper bound. While there is a valid token, the provider shortens delays so that several
    /// attempts happen before the token expires.
    ///
    /// ```
    /// # use std::time::Duration;
    /// let policy = everbearer::RetryPolicy::default()
    ///     .backoff(Duration::from_millis(200), Duration::from_secs(30));
    /// ```
    #[must_use]
    pub const fn backoff(mut self, first: Duration, longest: Duration) -> Self {
        self.first_delay = first;
        self.longest_delay = longest;
        self
    }

    /// Sets the longest `Retry-After` that the provider obeys; it shortens a longer one to this. Default: 5
    /// minutes.
    ///
    /// While there is a valid token, the provider also shortens the pause so that one attempt happens before
    /// the token expires.
    ///
    /// ```
    /// # use std::time::Duration;
    /// let policy = everbearer::RetryPolicy::default().max_retry_after(Duration::from_secs(60));
    /// ```
    #[must_use]
    pub const fn max_retry_after(mut self, longest: Duration) -> Self {
        self.max_retry_after = longest;
        self
    }

    /// Sets for how long the provider returns a terminal error, by which the server refuses the credential,
    /// to callers without asking the server again. Default: 30 s.
    ///
    /// After this pause, the next caller that needs a token causes one attempt. While there is a valid token,
    /// the driver makes one attempt without a caller. A `Retry-After` with the error lengthens the pause, up
    /// to [`max_retry_after`](Self::max_retry_after).
    ///
    /// ```
    /// # use std::time::Duration;
    /// let policy = everbearer::RetryPolicy::default().terminal_backoff(Duration::from_secs(10));
    /// ```
    #[must_use]
    pub const fn terminal_backoff(mut self, pause: Duration) -> Self {
        self.terminal_backoff = pause;
        self
    }

    /// Sets the timeout of one exchange, including obtaining a long-term token. After it, the exchange has
    /// failed. Default: 30 s.
    ///
    /// ```
    /// # use std::time::Duration;
    /// let policy = everbearer::RetryPolicy::default().exchange_timeout(Duration::from_secs(10));
    /// ```
    #[must_use]
    pub const fn exchange_timeout(mut self, timeout: Duration) -> Self {
        self.exchange_timeout = timeout;
        self
    }

    /// Sets how long a caller waits for a token before it gets an error. The exchange that it waits for
    /// continues. Default: 30 s.
    ///
    /// ```
    /// # use std::time::Duration;
    /// let policy = everbearer::RetryPolicy::default().wait_timeout(Duration::from_secs(5));
    /// ```
    #[must_use]
    pub const fn wait_timeout(mut self, timeout: Duration) -> Self {
        self.wait_timeout = timeout;
        self
    }

    /// Sets for how long after a first failure [`TokenProvider::ready`](crate::TokenProvider::ready) waits
    /// for the first token, while exchanges fail with retryable errors. Default: 0, so that `ready` returns
    /// the first failure.
    ///
    /// ```
    /// # use std::time::Duration;
    /// let policy = everbearer::RetryPolicy::default().ready_timeout(Duration::from_secs(60));
    /// ```
    #[must_use]
    pub const fn ready_timeout(mut self, timeout: Duration) -> Self {
        self.ready_timeout = timeout;
        self
    }

    pub(crate) fn validate(&self) -> Result<(), String> {
        positive("RetryPolicy::backoff (first)", self.first_delay)?;
        positive("RetryPolicy::backoff (longest)", self.longest_delay)?;
        if self.first_delay > self.longest_delay {
            return Err(
                "RetryPolicy::backoff: the first delay is longer than the longest".to_owned(),
            );
        }
        at_most("RetryPolicy::max_retry_after", self.max_retry_after)?;
        positive("RetryPolicy::terminal_backoff", self.terminal_backoff)?;
        positive("RetryPolicy::exchange_timeout", self.exchange_timeout)?;
        positive("RetryPolicy::wait_timeout", self.wait_timeout)?;
        at_most("RetryPolicy::ready_timeout", self.ready_timeout)
    }
}
