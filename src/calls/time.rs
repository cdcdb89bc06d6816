//! Reads the provider's clock, and catches its panics.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use crate::clock::{Clock, Moment};
use crate::policy::LONGEST;
use crate::unwind::caught;

/// A reading from here on is a failed one: moments that are computed from it could reach the end of the
/// representable time, where deadlines no longer lie ahead.
const END: Moment = Moment::from_origin(LONGEST.saturating_mul(4));

/// Reads the clock. A reading that panics, or that lies beyond [`END`], is a failed one.
pub(crate) struct Time {
    clock: Arc<dyn Clock>,
    /// The last reading that did not fail, in nanoseconds.
    last: AtomicU64,
    /// The last reading of the wall clock that did not fail, in nanoseconds since 1970.
    last_wall: AtomicU64,
}

impl Time {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            last: AtomicU64::new(0),
            last_wall: AtomicU64::new(0),
        }
    }

    /// Returns the current moment, by which a token may be served, or `None` if the reading fails.
    pub(crate) fn now(&self) -> Option<Moment> {
        let now = caught(|| self.clock.now()).filter(|now| *now < END)?;
        self.last.fetch_max(now.nanos(), Ordering::Relaxed);
        Some(now)
    }

    /// Returns the last successful reading. Runs no user code.
    pub(crate) fn last(&self) -> Moment {
        Moment::from_nanos(self.last.load(Ordering::Relaxed))
    }

    /// Returns the current moment, or the last reading if the clock fails, for uses that tolerate delay.
    pub(crate) fn now_or_last(&self) -> Moment {
        self.now().unwrap_or_else(|| self.last())
    }

    /// Returns the current moment for the hot path. A failed reading lies after the end of every token, so
    /// that the caller takes the slow path.
    #[inline]
    pub(crate) fn coarse_now(&self) -> Moment {
        caught(|| self.clock.coarse_now()).unwrap_or(const { Moment::from_origin(Duration::MAX) })
    }

    /// Returns the current wall time, or the last reading if the clock fails.
    pub(crate) fn wall(&self) -> SystemTime {
        if let Some(wall) = caught(|| self.clock.wall()) {
            let since_1970 = wall.duration_since(SystemTime::UNIX_EPOCH);
            let since_1970 = since_1970.unwrap_or_default();
            self.last_wall.store(nanos(since_1970), Ordering::Relaxed);
            return wall;
        }
        SystemTime::UNIX_EPOCH + Duration::from_nanos(self.last_wall.load(Ordering::Relaxed))
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
