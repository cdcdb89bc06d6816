//! How a shutdown goes about its work.

use std::time::Duration;

use super::limits::positive;

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
    /// holds no longer works. Default: false.
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
