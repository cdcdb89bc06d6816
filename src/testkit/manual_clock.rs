//! A clock that a test moves.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use crate::clock::{Clock, Moment, timer_now};

/// 2026-01-01T00:00:00Z, where the wall clock of every [`ManualClock`] begins.
const WALL_ORIGIN: Duration = Duration::from_secs(1_767_225_600);

/// Follows tokio's timers, which a test can pause, and can be suspended and stepped.
///
/// In a test with `#[tokio::test(start_paused = true)]`, time passes only while the test waits, and then at
/// once. A clone is another handle to the same clock.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use everbearer::testkit::{ManualClock, ScriptedIssuer};
/// use everbearer::{LongTermToken, TokenProvider};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), everbearer::Error> {
/// let clock = ManualClock::new();
/// let issuer = ScriptedIssuer::new();
/// let provider = TokenProvider::builder(issuer.clone(), LongTermToken::new("secret")?)
///     .clock(clock.clone())
///     .build()?;
///
/// provider.token().await?;
/// clock.advance(Duration::from_secs(24 * 60 * 60)).await;
/// assert!(provider.current().is_some(), "the provider refreshes without callers");
/// assert!(issuer.exchanges() > 90);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ManualClock {
    origin: tokio::time::Instant,
    moved: Arc<Mutex<Moved>>,
}

/// By how much the clocks are apart from tokio's timers.
#[derive(Debug, Default)]
struct Moved {
    slept: Duration,
    wall_ahead: Duration,
    wall_behind: Duration,
}

impl ManualClock {
    /// Creates a clock that begins now. Call it within the runtime whose timers the clock should follow.
    ///
    /// # Examples
    ///
    /// ```
    /// use everbearer::Clock;
    /// use everbearer::testkit::ManualClock;
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// let clock = ManualClock::new();
    /// let start = clock.now();
    /// # assert_eq!(start, clock.now());
    /// # }
    /// ```
    #[allow(
        clippy::new_without_default,
        reason = "it depends on the runtime that it is made in"
    )]
    pub fn new() -> Self {
        Self {
            origin: timer_now(),
            moved: Arc::default(),
        }
    }

    /// Waits until this much time has passed. With paused timers, that takes no time, and everything that is
    /// due meanwhile happens in order.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, only the time until then has passed.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use everbearer::Clock;
    /// use everbearer::testkit::ManualClock;
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// let clock = ManualClock::new();
    /// let start = clock.now();
    /// clock.advance(Duration::from_secs(60)).await;
    /// assert!(clock.now().since(start) >= Duration::from_secs(60));
    /// # }
    /// ```
    pub async fn advance(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    /// Simulates that the machine was suspended for this long: this clock and its wall time advance, and
    /// tokio's timers do not.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use everbearer::Clock;
    /// use everbearer::testkit::ManualClock;
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// let clock = ManualClock::new();
    /// let start = clock.now();
    /// clock.suspend(Duration::from_secs(60));
    /// assert_eq!(clock.now().since(start), Duration::from_secs(60));
    /// # }
    /// ```
    pub fn suspend(&self, duration: Duration) {
        self.moved().slept += duration;
    }

    /// Sets the wall time forward.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use everbearer::Clock;
    /// use everbearer::testkit::ManualClock;
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// let clock = ManualClock::new();
    /// let before = clock.wall();
    /// clock.step_wall_forward(Duration::from_secs(60));
    /// assert_eq!(clock.wall(), before + Duration::from_secs(60));
    /// # }
    /// ```
    pub fn step_wall_forward(&self, by: Duration) {
        self.moved().wall_ahead += by;
    }

    /// Sets the wall time back.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use everbearer::Clock;
    /// use everbearer::testkit::ManualClock;
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// let clock = ManualClock::new();
    /// let before = clock.wall();
    /// clock.step_wall_back(Duration::from_secs(60));
    /// assert_eq!(clock.wall(), before - Duration::from_secs(60));
    /// # }
    /// ```
    pub fn step_wall_back(&self, by: Duration) {
        self.moved().wall_behind += by;
    }

    fn moved(&self) -> MutexGuard<'_, Moved> {
        self.moved.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn elapsed(&self, moved: &Moved) -> Duration {
        timer_now().duration_since(self.origin) + moved.slept
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Moment {
        Moment::from_origin(self.elapsed(&self.moved()))
    }

    fn wall(&self) -> SystemTime {
        let moved = self.moved();
        SystemTime::UNIX_EPOCH + WALL_ORIGIN + self.elapsed(&moved) + moved.wall_ahead
            - moved.wall_behind
    }
}
