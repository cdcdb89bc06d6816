//! Waiting for a sign that the file may have changed.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

/// How often the file is looked at when nothing is heard of it.
const POLL: Duration = Duration::from_secs(10);

/// How long a burst of signs is given to end: an editor empties a file before it fills it.
const SETTLE: Duration = Duration::from_millis(75);

/// The system's word on the file's directory, if it gives one.
#[derive(Default)]
pub(super) struct Watch {
    sign: Arc<Notify>,
    watching: Mutex<Watching>,
}

#[derive(Default)]
enum Watching {
    #[default]
    NotYet,
    /// Ends when it is dropped, and its thread with it.
    Begun {
        _watcher: RecommendedWatcher,
    },
    InVain,
}

impl Watch {
    /// Begins to watch, unless it has. Returns why that cannot be done, the first time. Blocks.
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

    /// Waits for a sign and until it has settled, or for a while.
    ///
    /// # Cancel safety
    ///
    /// A sign may be lost: whoever comes back looks at the file first.
    pub(super) async fn next(&self) {
        if timeout(POLL, self.sign.notified()).await.is_ok() {
            sleep(SETTLE).await;
        }
    }

    /// The directory is watched and not the file, whose name another file may take.
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

/// Whether this happens when files are read: if that were a sign, each look would cause the next.
fn is_reading(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => false,
        EventKind::Access(_) => true,
        _ => false,
    }
}
