//! Waits until the file may have changed.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

/// How often the file is polled without a notification.
const POLL: Duration = Duration::from_secs(10);

/// The pause after a notification, since an editor empties a file before it fills it.
const SETTLE: Duration = Duration::from_millis(75);

/// The notifications of the system about the file's directory, if it sends them.
#[derive(Default)]
pub(super) struct Watch {
    sign: Arc<Notify>,
    watching: Mutex<Watching>,
}

#[derive(Default)]
enum Watching {
    #[default]
    NotYet,
    /// Dropping the watcher ends its thread.
    Begun {
        _watcher: RecommendedWatcher,
    },
    InVain,
}

impl Watch {
    /// Begins to watch unless that has begun. Returns the error of the first attempt. Blocks the thread.
    pub(super) fn begin(&self, path: &Path) -> Option<notify::Error> {
        let mut watching = self.watching.lock().unwrap_or_else(PoisonError::into_inner);
        if !matches!(*watching, Watching::NotYet) {
            return None;
        }
        match self.watcher(path) {
            Ok(watcher) => {
                *watching = Watching::Begun { _watcher: watcher };
                None
            }
            Err(error) => {
                *watching = Watching::InVain;
                Some(error)
            }
        }
    }

    /// Waits for a notification and [`SETTLE`] after it, for at most [`POLL`].
    ///
    /// # Cancel safety
    ///
    /// A notification may be lost, so the caller reads the file before it waits again.
    pub(super) async fn next(&self) {
        if timeout(POLL, self.sign.notified()).await.is_ok() {
            sleep(SETTLE).await;
        }
    }

    /// Watches the directory and not the file, since another file may replace the file.
    fn watcher(&self, path: &Path) -> notify::Result<RecommendedWatcher> {
        let sign = Arc::clone(&self.sign);
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            if event.is_ok_and(|event| is_reading(event.kind)) {
                return;
            }
            sign.notify_one();
        })?;
        let directory = path.parent().unwrap_or(path);
        watcher.watch(directory, RecursiveMode::NonRecursive)?;
        Ok(watcher)
    }
}

/// Returns whether reading a file causes this event. Such events are ignored, since each poll would cause the next.
fn is_reading(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => false,
        EventKind::Access(_) => true,
        _ => false,
    }
}
