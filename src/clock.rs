//! The clocks of the crate. No other file reads the time.
//!
//! The provider counts in [`Moment`]s: readings of a clock that never steps and that counts the time that the
//! machine spends suspended. Wall time steps and drifts, so the provider uses it only to show when a token
//! expires and to compare it with dates that a server sends.

use std::fmt;
use std::num::NonZeroU64;
use std::ops::Add;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime};

#[cfg(unix)]
use rustix::time::ClockId;

/// Represents a reading of a [`Clock`]: the time since the clock's origin, which never changes.
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
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment {
    /// One more than the nanoseconds since the origin, so that an `Option` of a moment needs no more memory than a moment.
    after: NonZeroU64,
}

impl Moment {
    /// Returns the moment that lies `elapsed` after the clock's origin. It saturates at 584 years.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use everbearer::Moment;
    ///
    /// let moment = Moment::from_origin(Duration::from_secs(10));
    /// assert!(moment > Moment::from_origin(Duration::ZERO));
    /// ```
    pub const fn from_origin(elapsed: Duration) -> Self {
        Self::from_nanos(nanos_of(elapsed))
    }

    #[inline]
    pub(crate) const fn from_nanos(nanos: u64) -> Self {
        Self {
            after: NonZeroU64::MIN.saturating_add(nanos),
        }
    }

    /// Returns the nanoseconds since the clock's origin.
    #[inline]
    pub(crate) const fn nanos(self) -> u64 {
        self.after.get() - 1
    }

    /// Returns how long this moment is after `earlier`; zero if it is not after it.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use everbearer::Moment;
    ///
    /// let start = Moment::from_origin(Duration::from_secs(10));
    /// assert_eq!((start + Duration::from_secs(5)).since(start), Duration::from_secs(5));
    /// ```
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.after.get().saturating_sub(earlier.after.get()))
    }

    /// This much earlier, but not before the origin.
    pub(crate) const fn back_by(self, duration: Duration) -> Self {
        Self::from_nanos(self.nanos().saturating_sub(nanos_of(duration)))
    }
}

const fn nanos_of(duration: Duration) -> u64 {
    let nanos = duration.as_nanos();
    if nanos > u64::MAX as u128 {
        return u64::MAX;
    }
    #[allow(
        clippy::cast_possible_truncation,
        reason = "the branch above has checked that it fits"
    )]
    let nanos = nanos as u64;
    nanos
}

impl fmt::Debug for Moment {
    /// Shows the time since the clock's origin.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let elapsed = Duration::from_nanos(self.nanos());
        f.debug_tuple("Moment").field(&elapsed).finish()
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    /// Saturates at the end of the representable time, 584 years after the origin.
    fn add(self, duration: Duration) -> Self {
        Self {
            after: self.after.saturating_add(nanos_of(duration)),
        }
    }
}

/// A reading of both clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    pub(crate) at: Moment,
    pub(crate) wall: SystemTime,
}

/// By so much [`Clock::coarse_now`] may lag: a tick of a kernel that counts 100 a second.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// Tells a provider what time it is.
///
/// A [`TokenProvider`](crate::TokenProvider) uses [`SystemClock`] unless its builder sets [another
/// clock](crate::TokenProviderBuilder::clock). Tests use `testkit::ManualClock`. Implement it for a system
/// whose clock stops while the machine is suspended, or for wall time from another source.
///
/// # Examples
///
/// A clock whose wall time comes from another source:
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use everbearer::{Clock, Moment, SystemClock};
///
/// struct Corrected {
///     system: SystemClock,
///     slow_by: Duration,
/// }
///
/// impl Clock for Corrected {
///     fn now(&self) -> Moment {
///         self.system.now()
///     }
///
///     fn coarse_now(&self) -> Moment {
///         self.system.coarse_now()
///     }
///
///     fn wall(&self) -> SystemTime {
///         self.system.wall() + self.slow_by
///     }
/// }
///
/// let clock = Corrected { system: SystemClock::default(), slow_by: Duration::from_secs(90) };
/// assert!(clock.wall() > SystemClock::default().wall());
/// ```
pub trait Clock: Send + Sync + 'static {
    /// Returns the current moment.
    ///
    /// It must never go back, and it must count the time that the machine spends suspended, since tokens
    /// expire meanwhile.
    fn now(&self) -> Moment;

    /// Returns the current moment for the hot path, which calls this method once for each request. It may lag
    /// behind [`now`](Self::now) by up to 10 milliseconds, but must include the time that the machine was
    /// suspended.
    ///
    /// It must not run ahead of [`now`](Self::now), nor go back on one thread. By default it returns
    /// [`now`](Self::now). A clock that wraps another one should forward both methods.
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

    /// Returns the current wall time, which may step in both directions.
    fn wall(&self) -> SystemTime;
}

/// Reads the clocks of the machine.
///
/// Moments come from `CLOCK_BOOTTIME` on Linux and Android, from `CLOCK_MONOTONIC` on Apple systems and other
/// Unix systems, and from [`std::time::Instant`] elsewhere. On Linux, Android, Apple systems and Windows,
/// these clocks count the time that the machine spends suspended. On Linux and Android,
/// [`coarse_now`](Clock::coarse_now) reads the clock once in a tick; elsewhere it equals [`now`](Clock::now).
///
/// # Examples
///
/// ```
/// use everbearer::{Clock, SystemClock};
///
/// let clock = SystemClock::default();
/// let start = clock.now();
/// assert!(clock.now() >= start);
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct SystemClock;

impl SystemClock {
    /// Returns the clock that all providers without another one share.
    pub(crate) fn shared() -> Arc<Self> {
        static SHARED: LazyLock<Arc<SystemClock>> = LazyLock::new(|| Arc::new(SystemClock));
        Arc::clone(&SHARED)
    }
}

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
    Moment::from_nanos(nanos(PRECISE))
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
        static PRECISE: Cell<Moment> = const { Cell::new(Moment::from_nanos(0)) };
    }

    #[inline]
    pub(super) fn now() -> Moment {
        let tick = nanos(ClockId::MonotonicCoarse);
        if TICK.get() != tick {
            PRECISE.set(super::monotonic_now());
            TICK.set(tick);
        }
        PRECISE.get()
    }
}

#[cfg(not(unix))]
#[allow(
    clippy::disallowed_methods,
    reason = "this is the one place that may read it"
)]
fn monotonic_now() -> Moment {
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
