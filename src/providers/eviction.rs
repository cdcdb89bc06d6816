//! The task that shuts down idle providers.

use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use tokio::runtime::Handle;

use super::entries::TICKS;
use super::shared::{MOST_SHUT_DOWN_AT_ONCE, Settings, Shared};
use crate::provider::TokenProvider;

const SHORTEST_TICK: Duration = Duration::from_millis(100);

/// Starts the task on this runtime, unless it runs.
pub(super) fn ensure<K>(shared: &Arc<Shared<K>>, settings: &Settings, runtime: &Handle)
where
    K: Clone + Ord + Send + Sync + 'static,
{
    if shared.entries.begin_sweeping() {
        let running = Running(Arc::downgrade(shared));
        let every = settings.idle_timeout / u32::try_from(TICKS).unwrap_or(1);
        let every = every.max(SHORTEST_TICK);
        runtime.spawn(async move {
            loop {
                tokio::time::sleep(every).await;
                // Holds the providers only while it looks at them.
                let Some(idle) = running.0.upgrade().map(|it| it.entries.sweep()) else {
                    return;
                };
                let shut_down = |provider: TokenProvider| async move {
                    provider.shutdown().await;
                };
                stream::iter(idle)
                    .for_each_concurrent(MOST_SHUT_DOWN_AT_ONCE, shut_down)
                    .await;
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
