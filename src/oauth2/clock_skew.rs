//! The difference between the server's clock and this machine's, for assertions.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

/// From this difference on, a clock is taken to be wrong.
const WRONG_CLOCK: Duration = Duration::from_secs(10);

/// How far the server's clock is ahead of this machine's, in seconds, where a refused assertion has shown it.
#[derive(Debug, Default)]
pub(super) struct ClockSkew(AtomicI64);

impl ClockSkew {
    /// Returns the time by which assertions are dated.
    pub(super) fn correct(&self, now: SystemTime) -> SystemTime {
        let seconds = self.0.load(Ordering::Relaxed);
        let by = Duration::from_secs(seconds.unsigned_abs());
        let corrected = if seconds < 0 {
            now.checked_sub(by)
        } else {
            now.checked_add(by)
        };
        corrected.unwrap_or(now)
    }

    /// Compares the clocks after an assertion was refused. Returns what is wrong, if anything: the next assertion is
    /// dated by the server's clock.
    pub(super) fn compare(&self, server: SystemTime, now: SystemTime) -> Option<String> {
        let (difference, is_ahead) = match server.duration_since(now) {
            Ok(ahead) => (ahead, true),
            Err(behind) => (behind.duration(), false),
        };
        let seconds = i64::try_from(difference.as_secs()).unwrap_or_default();
        let is_wrong = difference >= WRONG_CLOCK;
        let skew = if is_ahead { seconds } else { -seconds };
        self.0
            .store(if is_wrong { skew } else { 0 }, Ordering::Relaxed);
        let place = if is_ahead { "ahead of" } else { "behind" };
        is_wrong.then(|| {
            format!(
                "the server's clock is {seconds} s {place} this machine's, and the next assertion is dated by the \
                 server's; set the clock"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn o8_a_refused_assertion_shows_the_difference_of_the_clocks() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let skew = ClockSkew::default();
        assert!(skew.compare(now + Duration::from_secs(9), now).is_none());
        assert_eq!(skew.correct(now), now);
        for (server, text) in [
            (now + Duration::from_secs(75), "75 s ahead of"),
            (now - Duration::from_secs(75), "75 s behind"),
        ] {
            assert!(skew.compare(server, now).unwrap().contains(text));
            assert_eq!(skew.correct(now), server);
        }
        assert!(skew.compare(now, now).is_none());
        assert_eq!(skew.correct(now), now);
    }
}
