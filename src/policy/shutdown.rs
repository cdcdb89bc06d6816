//! How a provider shuts down.

use std::time::Duration;

use super::limits::positive;

/// Sets which tokens [`TokenProvider::shutdown`](crate::TokenProvider::shutdown) revokes, and how long it may
/// take.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use everbearer::ShutdownPolicy;
///
/// // For a daemon that its supervisor kills after 10 seconds, and that has its own long-term token.
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
    /// Returns a policy with a deadline of 5 s that revokes short-term tokens and keeps the long-term token.
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(5),
            revoke_short_term: true,
            revoke_long_term: false,
        }
    }
}

impl ShutdownPolicy {
    /// Sets how long the shutdown may take, counted from the first call. Default: 5 s.
    ///
    /// ```
    /// # use std::time::Duration;
    /// let policy = everbearer::ShutdownPolicy::default().deadline(Duration::from_secs(8));
    /// ```
    #[must_use]
    pub const fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Sets whether the shutdown revokes the short-term tokens that have not expired, including those that
    /// newer ones have replaced. Default: true.
    ///
    /// ```
    /// let policy = everbearer::ShutdownPolicy::default().revoke_short_term(false);
    /// ```
    #[must_use]
    pub const fn revoke_short_term(mut self, revoke: bool) -> Self {
        self.revoke_short_term = revoke;
        self
    }

    /// Sets whether the shutdown also revokes the long-term token, after the short-term tokens, or before them if the
    /// [client authorizes revocations](crate::IssuerProfile::client_revokes). Default: false.
    ///
    /// If true, the next start needs another long-term token, and so do all other processes that share the
    /// store, since the stored token is then revoked.
    ///
    /// ```
    /// let policy = everbearer::ShutdownPolicy::default().revoke_long_term(true);
    /// ```
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
