//! Policies: when to refresh, how to retry, when to rotate, how to shut down. They are plain data.
//!
//! Each policy starts with its default, and each method replaces one value.
//! [`TokenProviderBuilder::build`](crate::TokenProviderBuilder::build) validates all values, and its error
//! names the invalid one.

mod limits;
mod refresh;
mod retry;
mod rotation;
mod scopes;
mod shutdown;

use std::sync::{Arc, LazyLock};

pub(crate) use limits::LONGEST;
pub use refresh::RefreshPolicy;
pub use retry::RetryPolicy;
pub use rotation::RotationPolicy;
pub use scopes::ScopePolicy;
pub use shutdown::ShutdownPolicy;

/// All policies of the engine.
#[derive(Clone, Debug, Default)]
pub(crate) struct Policies {
    pub(crate) refresh: RefreshPolicy,
    pub(crate) retry: RetryPolicy,
    pub(crate) scopes: ScopePolicy,
    pub(crate) rotation: RotationPolicy,
}

impl Policies {
    /// Returns the default policies. Providers that set no policy share them.
    pub(crate) fn shared_default() -> Arc<Self> {
        static DEFAULT: LazyLock<Arc<Policies>> = LazyLock::new(Arc::default);
        Arc::clone(&DEFAULT)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

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
                .refresh_before(Duration::ZERO)
                .validate(),
            RefreshPolicy::default()
                .expiry_margin(Duration::MAX)
                .validate(),
            RetryPolicy::default()
                .backoff(Duration::from_secs(2), Duration::from_secs(1))
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
