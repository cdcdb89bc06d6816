//! How many sets of scopes are kept.

use std::time::Duration;

use super::limits::positive;

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
///     .max_sets(8)
///     .idle_timeout(Duration::from_secs(60));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScopePolicy {
    pub(crate) max_sets: usize,
    pub(crate) idle_timeout: Duration,
}

impl Default for ScopePolicy {
    /// At most 64 sets, each retired when no caller has used it for 10 minutes.
    fn default() -> Self {
        Self {
            max_sets: 64,
            idle_timeout: Duration::from_secs(600),
        }
    }
}

impl ScopePolicy {
    /// Sets how many scope sets beside the provider's own may have tokens at the same time. Default: 64.
    ///
    /// One more scope set evicts the one that has been idle longest, for 30 s at least. The tokens of the
    /// evicted set are revoked 30 s later, except those that another set uses. If every set is in use, or in
    /// a pause that the server requested, the caller gets
    /// [`ErrorKind::TooManyScopeSets`](crate::ErrorKind::TooManyScopeSets).
    #[must_use]
    pub const fn max_sets(mut self, max_sets: usize) -> Self {
        self.max_sets = max_sets;
        self
    }

    /// Sets how long a scope set may be idle before the provider stops refreshing it and revokes its
    /// tokens, except those that another set uses. The next use begins anew. The provider knows the last use
    /// to the second. Default: 10 minutes.
    ///
    /// A scope set is in use while a caller waits for its token, while its exchange is in flight, and for
    /// as long as a caller has asked for with
    /// [`TokenProvider::token_valid_for`](crate::TokenProvider::token_valid_for).
    #[must_use]
    pub const fn idle_timeout(mut self, idle_timeout: Duration) -> Self {
        self.idle_timeout = idle_timeout;
        self
    }

    pub(crate) fn validate(&self) -> Result<(), String> {
        positive("ScopePolicy::idle_timeout", self.idle_timeout)
    }
}
