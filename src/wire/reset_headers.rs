//! The headers with which servers state when a rate limit or a quota resets, where they send no `Retry-After`.

use std::time::{Duration, SystemTime};

use http::HeaderMap;

/// Headers with seconds, or with a Unix time, which is larger.
const RESETS: [&str; 3] = ["ratelimit-reset", "x-ratelimit-reset", "x-rate-limit-reset"];
/// The largest number that is a duration: a Unix time is larger.
const LONGEST: u64 = 1_000_000_000;
/// Auth0's quotas for clients, such as `b=per_hour;q=100;r=0;t=1200,b=per_day;q=900;r=3;t=60000`.
const QUOTA: &str = "auth0-client-quota-limit";

/// Returns how long after `now`, the server's time, the limit resets.
pub(super) fn pause(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = |name: &str| headers.get(name)?.to_str().ok();
    let reset = RESETS.iter().find_map(|name| {
        let number: u64 = value(name)?.trim().parse().ok()?;
        if number < LONGEST {
            return Some(Duration::from_secs(number));
        }
        let at = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(number))?;
        at.duration_since(now).ok()
    });
    reset.or_else(|| quota(value(QUOTA)?))
}

/// Returns when the last quota that is used up resets.
fn quota(value: &str) -> Option<Duration> {
    let used_up = value.split(',').filter_map(|quota| {
        let member = |name: &str| {
            let mut members = quota.split(';').filter_map(|it| it.trim().split_once('='));
            let (_, value) = members.find(|(key, _)| *key == name)?;
            value.parse::<u64>().ok()
        };
        (member("r")? == 0).then(|| member("t"))?
    });
    used_up.max().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pause_of(name: &'static str, value: &'static str) -> Option<u64> {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let headers = HeaderMap::from_iter([(name.parse().unwrap(), value.parse().unwrap())]);
        pause(&headers, now).map(|pause| pause.as_secs())
    }

    #[test]
    fn o14_a_limit_states_when_it_resets() {
        assert_eq!(pause_of("ratelimit-reset", "30"), Some(30));
        assert_eq!(pause_of("x-rate-limit-reset", "1800000040"), Some(40));
        assert_eq!(pause_of("x-rate-limit-reset", "1700000040"), None);
        assert_eq!(pause_of("x-ratelimit-reset", "soon"), None);
        let quota = "b=per_hour;q=100;r=0;t=1200, b=per_day;q=900;r=0;t=60000,b=x;q=1;r=1;t=99999";
        assert_eq!(pause_of(QUOTA, quota), Some(60_000));
        assert_eq!(pause_of(QUOTA, "b=per_hour;q=100;r=3;t=1200"), None);
    }
}
