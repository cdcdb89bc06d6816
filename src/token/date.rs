//! Dates and durations as servers state them.

use std::time::{Duration, SystemTime};

use serde_json::Value;

#[cfg(any(feature = "auth-api", feature = "oauth2", test))]
use crate::policy::LONGEST;

/// A date of a server, in milliseconds since 1970 (negative before). A date outside of the range becomes its nearest
/// end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct UnixMillis(i64);

impl UnixMillis {
    #[cfg(test)]
    pub(super) const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Returns how long after `earlier` this is; zero if it is not later.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        u64::try_from(self.0.saturating_sub(earlier.0))
            .map_or(Duration::ZERO, Duration::from_millis)
    }

    /// Returns the date as a [`SystemTime`], if the platform can represent it.
    pub(crate) fn to_system_time(self) -> Option<SystemTime> {
        let distance = Duration::from_millis(self.0.unsigned_abs());
        if self.0 < 0 {
            SystemTime::UNIX_EPOCH.checked_sub(distance)
        } else {
            SystemTime::UNIX_EPOCH.checked_add(distance)
        }
    }

    /// Reads a `NumericDate`: seconds, whole or not, or a string that holds them. Returns `None` for anything else.
    pub(crate) fn from_json(value: &Value) -> Option<Self> {
        let seconds = seconds(value)?;
        #[allow(
            clippy::cast_possible_truncation,
            reason = "a cast from float saturates, which is what is wanted"
        )]
        let millis = (seconds * 1_000.0) as i64;
        Some(Self(millis))
    }
}

impl From<SystemTime> for UnixMillis {
    fn from(time: SystemTime) -> Self {
        let millis = |distance: Duration| i64::try_from(distance.as_millis()).unwrap_or(i64::MAX);
        Self(match time.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(after) => millis(after),
            Err(before) => -millis(before.duration()),
        })
    }
}

/// Reads a duration in seconds, whole or not, or a string that holds them. A negative duration becomes zero. Returns
/// `None` for anything else.
#[cfg(any(feature = "auth-api", feature = "oauth2", test))]
pub(crate) fn duration_from_json(value: &Value) -> Option<Duration> {
    let seconds = seconds(value)?.max(0.0);
    Some(Duration::try_from_secs_f64(seconds).map_or(LONGEST, |duration| duration.min(LONGEST)))
}

/// Reads a date of RFC 3339. Returns `None` for anything else.
#[cfg(any(feature = "auth-api", feature = "oauth2"))]
pub(crate) fn timestamp_from_json(value: &Value) -> Option<SystemTime> {
    let time: jiff::Timestamp = value.as_str()?.parse().ok()?;
    SystemTime::try_from(time).ok()
}

/// Reads a `NumericDate` or a date of RFC 3339. Returns `None` for anything else.
#[cfg(feature = "oauth2")]
pub(crate) fn date_from_json(value: &Value) -> Option<SystemTime> {
    let date = UnixMillis::from_json(value).and_then(UnixMillis::to_system_time);
    date.or_else(|| timestamp_from_json(value))
}

fn seconds(value: &Value) -> Option<f64> {
    let seconds = match value {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    seconds.is_finite().then_some(seconds)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn w11_any_exp_has_a_defined_meaning() {
        let millis = |value| UnixMillis::from_json(&value).map(|UnixMillis(millis)| millis);
        assert_eq!(millis(json!(12)), Some(12_000));
        assert_eq!(millis(json!(12.75)), Some(12_750));
        assert_eq!(millis(json!(-12)), Some(-12_000));
        assert_eq!(millis(json!("12.5")), Some(12_500));
        assert_eq!(millis(json!(u64::MAX)), Some(i64::MAX));
        assert_eq!(millis(json!(1e300)), Some(i64::MAX));
        assert_eq!(millis(json!(-1e300)), Some(i64::MIN));
        for no_date in [
            json!(null),
            json!("soon"),
            json!("NaN"),
            json!("inf"),
            json!([12]),
            json!(true),
        ] {
            assert_eq!(millis(no_date), None);
        }
        for extreme in [i64::MIN, -1, 0, 1, i64::MAX] {
            let end = UnixMillis(extreme);
            let _ = end.to_system_time();
            let _ = end.since(UnixMillis(i64::MIN));
            let _ = end.since(UnixMillis(i64::MAX));
        }
    }

    #[test]
    fn w12_expires_in_may_be_a_string() {
        assert_eq!(
            duration_from_json(&json!("900")),
            Some(Duration::from_secs(900))
        );
        assert_eq!(
            duration_from_json(&json!(900)),
            Some(Duration::from_secs(900))
        );
        assert_eq!(
            duration_from_json(&json!(0.5)),
            Some(Duration::from_millis(500))
        );
        assert_eq!(duration_from_json(&json!(-5)), Some(Duration::ZERO));
        assert_eq!(duration_from_json(&json!(1e300)), Some(LONGEST));
        assert_eq!(duration_from_json(&json!(null)), None);
        assert_eq!(duration_from_json(&json!("a while")), None);
    }
}
