//! The fencing numbers of the leases: a process whose lease was taken away writes nothing under it any more.

use std::fs;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::UNIX_EPOCH;

use super::lock::Locked;
use super::target::Target;
use crate::clock::{Clock as _, SystemClock};

/// The number of the lease that is held through this store, or 0.
#[derive(Debug, Default)]
pub(super) struct Fence(AtomicU64);

/// A lease that is held. Released when this is dropped.
pub(super) struct Held {
    _locked: Locked,
    fence: Arc<Fence>,
    number: u64,
}

impl Drop for Held {
    fn drop(&mut self) {
        // Keeps the number of a later lease.
        let _ = self
            .fence
            .0
            .compare_exchange(self.number, 0, Ordering::AcqRel, Ordering::Relaxed);
    }
}

impl Fence {
    /// Notes that the lease of this number is held.
    pub(super) fn hold(self: &Arc<Self>, locked: Locked, number: u64) -> Held {
        self.0.store(number, Ordering::Release);
        Held {
            _locked: locked,
            fence: Arc::clone(self),
            number,
        }
    }

    /// Returns whether a later lease was granted than the one that is held: another program has removed the lock file, perhaps
    /// while this process was stopped.
    pub(super) fn is_lost(&self, target: &Target) -> bool {
        let held = self.0.load(Ordering::Acquire);
        let last = || {
            fs::read_to_string(target.beside("lease"))
                .ok()?
                .trim()
                .parse()
                .ok()
        };
        held != 0 && last().is_some_and(|last: u64| last > held)
    }
}

/// Writes the number of the next lease into the locked file, and returns it. It follows the wall clock, so that it grows
/// also where the file was removed.
pub(super) fn next(locked: &Locked) -> io::Result<u64> {
    let mut file = locked.file();
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    let last: u64 = text.trim().parse().unwrap_or_default();
    let now = SystemClock
        .wall()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let now = u64::try_from(now.as_micros()).unwrap_or_default();
    let next = now.max(last.saturating_add(1));
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{next}")?;
    Ok(next)
}
