//! A clock that a test moves.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use crate::clock::{Clock, Moment, timer_now};

/// 2026-01-01T00:00:00Z, where the wall clock of every [`ManualClock`] begins.
const WALL_ORIGIN: Duration = Duration::from_secs(1_767_225_600);

/// A clock that follows tokio's timers, which a test can pause, and that can do what no timer
/// does: go on while the machine sleeps, and step.
///
/// In a test with `#[tokio::test(start_paused = true)]`, time passes only while the test waits,
/// and then at once. A clone is another handle to the same clock.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use everbearer::testkit::{ManualClock, ScriptedIssuer};
/// use everbearer::{LongTermToken, TokenProvider};
///
/// # fn main() -> Result<(), everbearer::Error> {
/// # let runtime = tokio::runtime::Builder::new_current_thread()
/// #     .enable_all().start_paused(true).build().unwrap();
/// # runtime.block_on(async {
/// let clock = ManualClock::new();
/// let issuer = ScriptedIssuer::new();
/// let provider = TokenProvider::builder(issuer.clone(), LongTermToken::new("secret")?)
///     .clock(clock.clone())
///     .build()?;
///
/// provider.token().await?;
/// clock.advance(Duration::from_secs(24 * 60 * 60)).await;
/// assert!(provider.current().is_some(), "refreshed all day, with nobody asking");
/// assert!(issuer.exchanges() > 90);
/// # Ok(()) })
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
    /// A clock that begins now. Make it within the runtime whose timers it is to follow.
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

    /// Lets this much time pass. With paused timers that takes no time, and everything that is due
    /// in between happens in its order.
    pub async fn advance(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    /// The machine sleeps for this long: the clock and the wall go on, timers do not.
    pub fn suspend(&self, duration: Duration) {
        self.moved().slept += duration;
    }

    /// Someone sets the wall clock forward.
    pub fn step_wall_forward(&self, by: Duration) {
        self.moved().wall_ahead += by;
    }

    /// Someone sets the wall clock back.
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
