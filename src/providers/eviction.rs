//! The task that shuts down idle providers.

use std::sync::{Arc, Weak};

use futures_util::future::join_all;
use tokio::runtime::Handle;

use super::entries::TICKS;
use super::shared::{Settings, Shared};
use crate::provider::TokenProvider;

/// Starts the task on this runtime, unless it runs.
pub(super) fn ensure<K>(shared: &Arc<Shared<K>>, settings: &Settings, runtime: &Handle)
where
    K: Clone + Ord + Send + Sync + 'static,
{
    if shared.entries.begin_sweeping() {
        let running = Running(Arc::downgrade(shared));
        let every = settings.idle_timeout / u32::try_from(TICKS).unwrap_or(1);
        runtime.spawn(async move {
            loop {
                tokio::time::sleep(every).await;
                // Holds the providers only while it looks at them.
                let Some(idle) = running.0.upgrade().map(|it| it.entries.sweep()) else {
                    return;
                };
                join_all(idle.iter().map(TokenProvider::shutdown)).await;
            }
        });
    }
}

/// The task, which a runtime may drop.
struct Running<K: Clone + Ord>(Weak<Shared<K>>);

impl<K: Clone + Ord> Drop for Running<K> {
    fn drop(&mut self) {
        if let Some(shared) = self.0.upgrade() {
            shared.entries.end_sweeping();
        }
    }
}
