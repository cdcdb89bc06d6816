//! How long a token lives, from all that states it.
//!
//! The server's clock and ours differ, so a life is counted from the moment when the request was
//! sent, and an end that is stated as a date is compared with dates of the same clock.

use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::policy::LONGEST;

/// How long a token lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lifetime {
    /// This long from when the request for it was sent.
    For(Duration),
    /// Until this date of a clock of which nothing is known.
    Until(UnixMillis),
    /// Nobody says.
    Unknown,
}

/// All that states an end.
pub(super) struct Stated {
    pub(super) expires_in: Option<Duration>,
    pub(super) expires_at: Option<UnixMillis>,
    pub(super) server_time: Option<UnixMillis>,
    pub(super) exp: Option<UnixMillis>,
    pub(super) iat: Option<UnixMillis>,
}

impl From<Stated> for Lifetime {
    fn from(stated: Stated) -> Self {
        let on_servers_clock = |end: Option<UnixMillis>| Some(end?.since(stated.server_time?));
        let lives = [
            stated.expires_in,
            on_servers_clock(stated.exp),
            on_servers_clock(stated.expires_at),
            // The whole life: an upper bound, since the token may have been minted earlier.
            stated.exp.zip(stated.iat).map(|(exp, iat)| exp.since(iat)),
        ];
        if let Some(life) = lives.into_iter().flatten().min() {
            return Self::For(life.min(LONGEST));
        }
        match [stated.exp, stated.expires_at].into_iter().flatten().min() {
            Some(end) => Self::Until(end),
            None => Self::Unknown,
        }
    }
}

/// A date of a server's, in milliseconds since 1970 (negative before); what lies beyond the
/// range is its nearest end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct UnixMillis(i64);

impl UnixMillis {
    /// How long after `earlier` this is; zero if it is not after it.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        u64::try_from(self.0.saturating_sub(earlier.0))
            .map_or(Duration::ZERO, Duration::from_millis)
    }

    /// The same as a [`SystemTime`], if the platform can represent it.
    pub(crate) fn to_system_time(self) -> Option<SystemTime> {
        let distance = Duration::from_millis(self.0.unsigned_abs());
        if self.0 < 0 {
            SystemTime::UNIX_EPOCH.checked_sub(distance)
        } else {
            SystemTime::UNIX_EPOCH.checked_add(distance)
        }
    }

    /// A `NumericDate`: seconds, whole or not, or a string that holds them. Anything else states
    /// no date.
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

/// A duration stated in seconds, whole or not, or as a string that holds them; a negative one is
/// over at once. Anything else states none.
pub(crate) fn duration_from_json(value: &Value) -> Option<Duration> {
    let seconds = seconds(value)?.max(0.0);
    Some(Duration::try_from_secs_f64(seconds).map_or(LONGEST, |duration| duration.min(LONGEST)))
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

    const NOTHING: Stated = Stated {
        expires_in: None,
        expires_at: None,
        server_time: None,
        exp: None,
        iat: None,
    };

    #[allow(
        clippy::unnecessary_wraps,
        reason = "every place that takes one takes an option"
    )]
    fn at(seconds: i64) -> Option<UnixMillis> {
        Some(UnixMillis(seconds * 1_000))
    }

    fn lives(seconds: u64) -> Lifetime {
        Lifetime::For(Duration::from_secs(seconds))
    }

    #[test]
    fn the_earliest_end_counts() {
        let all = || Stated {
            expires_in: Some(Duration::from_secs(900)),
            expires_at: at(1_900),
            server_time: at(1_000),
            exp: at(1_900),
            iat: at(1_000),
        };
        assert_eq!(Lifetime::from(all()), lives(900));
        let expires_in = Some(Duration::from_secs(60));
        assert_eq!(
            Lifetime::from(Stated {
                expires_in,
                ..all()
            }),
            lives(60)
        );
        assert_eq!(
            Lifetime::from(Stated {
                exp: at(1_070),
                ..all()
            }),
            lives(70)
        );
        assert_eq!(
            Lifetime::from(Stated {
                expires_at: at(1_080),
                ..all()
            }),
            lives(80)
        );
        // Minted earlier, with 50 s left when it is handed out.
        let (server_time, iat) = (at(1_850), at(1_000));
        assert_eq!(
            Lifetime::from(Stated {
                server_time,
                iat,
                ..all()
            }),
            lives(50)
        );
        // A `Date` that is behind: the whole life is still an upper bound.
        assert_eq!(
            Lifetime::from(Stated {
                server_time: at(0),
                ..all()
            }),
            lives(900)
        );
    }

    #[test]
    fn a_date_alone_is_left_to_the_local_clock() {
        assert_eq!(
            Lifetime::from(Stated {
                exp: at(50),
                expires_at: at(40),
                ..NOTHING
            }),
            Lifetime::Until(UnixMillis(40_000))
        );
        assert_eq!(Lifetime::from(NOTHING), Lifetime::Unknown);
    }

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
