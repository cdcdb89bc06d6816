//! How many scope sets a provider keeps tokens for.

use std::time::Duration;

use super::limits::positive;

/// Sets how many scope sets a provider keeps tokens for, and for how long.
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
///     .max_sets(8)
///     .idle_timeout(Duration::from_secs(60));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScopePolicy {
    pub(crate) max_sets: usize,
    pub(crate) idle_timeout: Duration,
}

impl Default for ScopePolicy {
    /// Returns a policy with at most 64 scope sets, each of which is retired after it has been idle for 10 minutes.
    fn default() -> Self {
        Self {
            max_sets: 64,
            idle_timeout: Duration::from_secs(600),
        }
    }
}

impl ScopePolicy {
    /// Sets how many scope sets may have tokens at the same time, besides the provider's own. Default: 64.
    ///
    /// If a caller uses one more scope set, the provider evicts the set that has been idle longest, for at
    /// least 30 s. It revokes the tokens of the evicted set 30 s later, except those that another set uses.
    /// If every set is in use, or in a pause that the server requested, the caller gets
    /// [`ErrorKind::TooManyScopeSets`](crate::ErrorKind::TooManyScopeSets).
    ///
    /// ```
    /// let policy = everbearer::ScopePolicy::default().max_sets(8);
    /// ```
    #[must_use]
    pub const fn max_sets(mut self, max_sets: usize) -> Self {
        self.max_sets = max_sets;
        self
    }

    /// Sets how long a scope set may be idle before the provider stops refreshing it and revokes its tokens,
    /// except those that another set uses. The next use causes an exchange. Default: 10 minutes.
    ///
    /// The provider records the last use to the second. A scope set is in use while a caller waits for its
    /// token, while its exchange is in flight, and for as long as a caller has requested with
    /// [`TokenProvider::token_valid_for`](crate::TokenProvider::token_valid_for).
    ///
    /// ```
    /// # use std::time::Duration;
    /// let policy = everbearer::ScopePolicy::default().idle_timeout(Duration::from_secs(60));
    /// ```
    #[must_use]
    pub const fn idle_timeout(mut self, idle_timeout: Duration) -> Self {
        self.idle_timeout = idle_timeout;
        self
    }

    pub(crate) fn validate(&self) -> Result<(), String> {
        positive("ScopePolicy::idle_timeout", self.idle_timeout)
    }
}
