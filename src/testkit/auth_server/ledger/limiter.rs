//! At most so many exchanges in so much time.

use std::collections::VecDeque;
use std::time::Duration;

use crate::testkit::auth_server::clock::UnixTime;
use crate::testkit::auth_server::refusal::{Reason, Refusal};

pub(super) struct Limiter {
    max: usize,
    per: Duration,
    admitted: VecDeque<UnixTime>,
}

impl Limiter {
    pub(super) fn new(max: u32, per: Duration) -> Self {
        Self {
            max: usize::try_from(max).unwrap_or(usize::MAX),
            per,
            admitted: VecDeque::new(),
        }
    }

    pub(super) fn admit(&mut self, now: UnixTime) -> Result<(), Refusal> {
        let per = self.per;
        self.admitted
            .retain(|earlier| *earlier <= now && now < earlier.plus(per));
        if self.admitted.len() < self.max {
            self.admitted.push_back(now);
            return Ok(());
        }
        let next_place = self.admitted.front().unwrap_or(&now).plus(per);
        Err(Refusal::new(
            Reason::RateLimited {
                retry_after_seconds: whole_seconds_rounded_up(next_place.since(now)).max(1),
            },
            "Too many exchanges.",
        ))
    }
}

fn whole_seconds_rounded_up(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}
