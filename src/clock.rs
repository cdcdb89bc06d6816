//! The only place of the crate that reads a clock.
//!
//! The engine counts in [`Moment`]s: readings of a clock that never steps and that goes on while
//! the machine sleeps. Wall time steps and drifts, so it is used for two things only: to show
//! people when a token ends, and to read the dates that a server sends.

use std::ops::Add;
use std::time::{Duration, SystemTime};

#[cfg(unix)]
use rustix::time::ClockId;

/// A reading of a [`Clock`]: the time since an origin that stays the same for one clock.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use everbearer::Moment;
///
/// let start = Moment::from_origin(Duration::from_secs(10));
/// let later = start + Duration::from_secs(5);
/// assert_eq!(later.since(start), Duration::from_secs(5));
/// assert_eq!(start.since(later), Duration::ZERO);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment {
    nanos: u64,
}

impl Moment {
    /// The moment that lies `elapsed` after the clock's origin. Past 584 years it stays there.
    pub const fn from_origin(elapsed: Duration) -> Self {
        let nanos = elapsed.as_nanos();
        Self {
            nanos: if nanos > u64::MAX as u128 {
                u64::MAX
            } else {
                #[allow(
                    clippy::cast_possible_truncation,
                    reason = "the branch above has checked that it fits"
                )]
                let nanos = nanos as u64;
                nanos
            },
        }
    }

    #[inline]
    pub(crate) const fn from_nanos(nanos: u64) -> Self {
        Self { nanos }
    }

    /// Returns the nanoseconds since the clock's origin.
    #[inline]
    pub(crate) const fn nanos(self) -> u64 {
        self.nanos
    }

    /// How long after `earlier` this moment is; zero if it is not after it.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.nanos.saturating_sub(earlier.nanos))
    }

    /// This much earlier, but not before the origin.
    pub(crate) const fn back_by(self, duration: Duration) -> Self {
        Self {
            nanos: self.nanos.saturating_sub(Self::from_origin(duration).nanos),
        }
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    /// Saturates at the end of the representable time, 584 years after the origin.
    fn add(self, duration: Duration) -> Self {
        Self {
            nanos: self.nanos.saturating_add(Self::from_origin(duration).nanos),
        }
    }
}

/// By so much [`Clock::coarse_now`] may lag: a tick of a kernel that counts 100 a second.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// Where the crate learns what time it is.
///
/// Every [`TokenProvider`](crate::TokenProvider) uses [`SystemClock`] unless its builder was given
/// another one; `testkit::ManualClock` is one that a test can move.
pub trait Clock: Send + Sync + 'static {
    /// The present moment. It must never go back, and it must go on while the machine sleeps: a
    /// token ends whether or not anyone was awake.
    fn now(&self) -> Moment;

    /// The present moment as the hot path asks for it, once for each request: it may lag behind
    /// [`now`](Self::now) by up to 10 milliseconds, but not by time that the machine has slept.
    ///
    /// It must not run ahead of [`now`](Self::now), nor go back on one thread. The default is
    /// [`now`](Self::now); a clock that wraps another one forwards both.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use everbearer::{Clock, SystemClock};
    ///
    /// let clock = SystemClock::default();
    /// let before = clock.now();
    /// let reading = clock.coarse_now();
    /// assert!(reading <= clock.now());
    /// assert!(before.since(reading) < Duration::from_secs(1));
    /// ```
    fn coarse_now(&self) -> Moment {
        self.now()
    }

    /// The present wall time, which may step in both directions.
    fn wall(&self) -> SystemTime;
}

/// The machine's own clocks.
///
/// Moments come from `CLOCK_BOOTTIME` on Linux and Android, from `CLOCK_MONOTONIC` on Apple
/// systems and other Unixes, and from [`std::time::Instant`] elsewhere. On Linux, Apple systems
/// and Windows these count the time that the machine spends suspended. On Linux and Android the hot
/// path reads the coarse clock, and elsewhere the same one.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Moment {
        monotonic_now()
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn coarse_now(&self) -> Moment {
        coarse::now()
    }

    #[allow(
        clippy::disallowed_methods,
        reason = "this is the one place that may read it"
    )]
    fn wall(&self) -> SystemTime {
        SystemTime::now()
    }
}

/// The time by which tokio's timers go, which a test can pause.
#[cfg(feature = "testkit")]
#[allow(
    clippy::disallowed_methods,
    reason = "this is the one place that may read it"
)]
pub(crate) fn timer_now() -> tokio::time::Instant {
    tokio::time::Instant::now()
}

#[cfg(any(target_os = "linux", target_os = "android"))]
const PRECISE: ClockId = ClockId::Boottime;
#[cfg(all(unix, not(any(target_os = "linux", target_os = "android"))))]
const PRECISE: ClockId = ClockId::Monotonic;

#[cfg(unix)]
fn monotonic_now() -> Moment {
    Moment {
        nanos: nanos(PRECISE),
    }
}

/// Enough for 292 years.
#[cfg(unix)]
#[inline]
#[allow(
    clippy::useless_conversion,
    reason = "the nanoseconds are of another size on other systems"
)]
fn nanos(clock: ClockId) -> u64 {
    let reading = rustix::time::clock_gettime(clock);
    let nanos = reading.tv_sec * 1_000_000_000 + i64::from(reading.tv_nsec);
    nanos.cast_unsigned()
}

/// A coarse clock costs a quarter of a precise one, but the only ones that there are either stand
/// still while the machine sleeps or step with the wall clock. So the precise reading is kept for
/// each thread, for as long as the coarse clock shows the same tick. No tick outlasts a sleep:
/// processes are frozen before the clocks are stopped, and thawed long after they go on.
#[cfg(any(target_os = "linux", target_os = "android"))]
mod coarse {
    use std::cell::Cell;

    use rustix::time::ClockId;

    use super::{Moment, nanos};

    thread_local! {
        static TICK: Cell<u64> = const { Cell::new(u64::MAX) };
        static PRECISE: Cell<u64> = const { Cell::new(0) };
    }

    #[inline]
    pub(super) fn now() -> Moment {
        let tick = nanos(ClockId::MonotonicCoarse);
        if TICK.get() != tick {
            PRECISE.set(nanos(super::PRECISE));
            TICK.set(tick);
        }
        Moment {
            nanos: PRECISE.get(),
        }
    }
}

#[cfg(not(unix))]
#[allow(
    clippy::disallowed_methods,
    reason = "this is the one place that may read it"
)]
fn monotonic_now() -> Moment {
    use std::sync::LazyLock;
    use std::time::Instant;

    static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);
    let origin = *ORIGIN;
    Moment::from_origin(Instant::now().saturating_duration_since(origin))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_saturate_instead_of_overflowing() {
        let end = Moment::from_origin(Duration::MAX);
        assert_eq!(end + Duration::from_secs(1), end);
        assert_eq!(end + Duration::MAX, end);
        assert_eq!(
            Moment::from_origin(Duration::ZERO).since(end),
            Duration::ZERO
        );
    }

    #[test]
    fn the_hot_path_s_clock_lags_by_no_more_than_a_tick() {
        for _ in 0..1_000 {
            let before = SystemClock.now();
            let reading = SystemClock.coarse_now();
            // A tick is 10 ms at most, unless the machine is kept from counting it.
            assert!(before.since(reading) <= Duration::from_secs(1));
            assert!(reading <= SystemClock.now());
        }
    }

    #[test]
    fn the_system_clock_does_not_go_back() {
        let readings: Vec<Moment> = (0..1_000).map(|_| SystemClock.now()).collect();
        assert!(readings.is_sorted());
    }
}
