//! Following what other hands write into the store.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use crate::calls::{guarded_within, working_for};
use crate::engine::shared::Shared;
use crate::observe;

/// The least time between two looks at a store that says it has changed.
const BETWEEN_RELOADS: Duration = Duration::from_millis(250);

/// Takes up each change of the store by another hand, for as long as it is polled.
pub(in crate::engine) async fn watch(shared: Arc<Shared>) -> Infallible {
    loop {
        let change = working_for(shared.key(), async {
            shared.user_code.store_changed().await;
            shared.keeper.lock().await.reload(&shared).await
        });
        // A failure was told already, and what is here stays in use.
        let span = observe::watch_span(&shared.settings.name);
        let _ = guarded_within(span, change).await;
        tokio::time::sleep(BETWEEN_RELOADS).await;
    }
}
