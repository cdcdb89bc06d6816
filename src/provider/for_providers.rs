//! What `TokenProviders` needs from a provider and its builder.

use std::sync::Arc;

use super::{TokenProvider, TokenProviderBuilder};

impl TokenProvider {
    /// Returns whether there are other handles, to this scope set or to another one.
    pub(crate) fn has_other_handles(&self) -> bool {
        Arc::strong_count(&self.stop_on_drop) > 1
    }

    /// Returns whether the shutdown has ended.
    pub(crate) fn has_stopped(&self) -> bool {
        self.shared.report.get().is_some()
    }
}

impl TokenProviderBuilder {
    /// Counts the provider under this name in metrics, together with others.
    pub(crate) fn counted_as(mut self, name: Arc<str>) -> Self {
        self.counted_as = Some(name);
        self
    }
}
