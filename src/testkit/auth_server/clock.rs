//! The server's clock: the machine's, wrong by as much as the test wants.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::fmt::rfc2822;

use crate::clock::{Clock as _, SystemClock};

/// The end of the year 9998: the last that every format of a timestamp can still write.
const LATEST_MILLIS: u64 = 253_370_764_799_000;

pub(super) struct ServerClock {
    offset_seconds: AtomicI64,
}

impl ServerClock {
    pub(super) fn new(offset_seconds: i64) -> Self {
        Self {
            offset_seconds: AtomicI64::new(offset_seconds),
        }
    }

    pub(super) fn set_offset(&self, seconds: i64) {
        self.offset_seconds.store(seconds, Ordering::SeqCst);
    }

    pub(super) fn now(&self) -> UnixTime {
        let true_time = UnixTime::from(SystemClock.wall());
        let offset = self.offset_seconds.load(Ordering::SeqCst);
        let size = Duration::from_secs(offset.unsigned_abs());
        if offset < 0 {
            true_time.minus(size)
        } else {
            true_time.plus(size)
        }
    }
}

/// A moment, in milliseconds since 1970. Arithmetic saturates at 1970 and at the year 9998.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct UnixTime {
    millis: u64,
}

impl UnixTime {
    pub(super) fn plus(self, duration: Duration) -> Self {
        let millis = self.millis.saturating_add(millis_of(duration));
        Self {
            millis: millis.min(LATEST_MILLIS),
        }
    }

    pub(super) fn minus(self, duration: Duration) -> Self {
        Self {
            millis: self.millis.saturating_sub(millis_of(duration)),
        }
    }

    /// Zero where `earlier` is the later one.
    pub(super) fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.millis.saturating_sub(earlier.millis))
    }

    pub(super) fn whole_seconds(self) -> Self {
        Self {
            millis: self.millis - self.millis % 1000,
        }
    }

    pub(super) fn to_system_time(self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.millis)
    }

    pub(super) fn to_rfc3339(self) -> String {
        self.to_timestamp().to_string()
    }

    pub(super) fn to_http_date(self) -> String {
        let date =
            rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&self.to_timestamp());
        date.unwrap_or_default()
    }

    fn to_timestamp(self) -> Timestamp {
        let millis = i64::try_from(self.millis).unwrap_or(i64::MAX);
        Timestamp::from_millisecond(millis).unwrap_or(Timestamp::MAX)
    }

    /// Seconds since 1970, as the claims of a JWT count.
    #[expect(
        clippy::cast_precision_loss,
        reason = "milliseconds up to the year 9998 need 48 bits, a double holds 53"
    )]
    pub(super) fn to_numeric_date(self) -> serde_json::Value {
        if self == self.whole_seconds() {
            (self.millis / 1000).into()
        } else {
            (self.millis as f64 / 1000.0).into()
        }
    }

    /// `None` for what is no time since 1970.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the range is checked in the line above, and fractions of a millisecond may go"
    )]
    pub(super) fn from_numeric_date(seconds: f64) -> Option<Self> {
        let millis = seconds * 1000.0;
        (0.0..9e18).contains(&millis).then(|| Self {
            millis: (millis as u64).min(LATEST_MILLIS),
        })
    }
}

impl From<SystemTime> for UnixTime {
    fn from(time: SystemTime) -> Self {
        let since_1970 = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { millis: 0 }.plus(since_1970)
    }
}

fn millis_of(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
