//! How many sets of scopes are kept.

use std::time::Duration;

use super::positive;

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
    /// The most sets beside the provider's own that have tokens at the same time. For one more, the set
    /// that was idle for longest makes room, if it was idle for 30 s at least: it is retired at once, and
    /// its tokens are revoked 30 s later. If all sets are in use, a token of one more is refused with
    /// [`ErrorKind::TooManyScopeSets`](crate::ErrorKind::TooManyScopeSets). Default: 64.
    #[must_use]
    pub const fn most(mut self, most: usize) -> Self {
        self.most = most;
        self
    }

    /// A set whose tokens no caller has used for this long is no longer refreshed, and its tokens are
    /// revoked. The next use begins anew. Uses are noted at each refresh and at least every 30 s,
    /// so a set may live that much longer.
    ///
    /// A set is in use while a caller waits for its token, while an exchange of it is under way, and for
    /// as long as a caller has asked for with
    /// [`TokenProvider::token_with`](crate::TokenProvider::token_with). Default: 10 minutes.
    #[must_use]
    pub const fn idle(mut self, idle: Duration) -> Self {
        self.idle = idle;
        self
    }

    pub(crate) fn validate(&self) -> Result<(), String> {
        positive("ScopePolicy::idle", self.idle)
    }
}
