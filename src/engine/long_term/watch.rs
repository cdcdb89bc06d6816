//! Following what other processes write into the store.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use crate::calls::{guarded_within, working_for};
use crate::engine::shared::Shared;
use crate::machine::Input;
use crate::observe;

/// The least time between two looks at a store that says it has changed.
const BETWEEN_LOOKS: Duration = Duration::from_millis(250);

/// Reports each change of the store by another process, for as long as it is polled.
pub(crate) async fn watch(shared: Arc<Shared>) -> Infallible {
    loop {
        let change = working_for(shared.key(), shared.user_code.store_changed());
        let span = observe::watch_span(&shared.settings.name);
        if guarded_within(span, change).await.is_some() {
            shared.signal(Input::StoreChanged);
        }
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
}
