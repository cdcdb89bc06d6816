//! The lease: one process at a time asks for a long-term token.

use std::time::Duration;

use super::task::Task;
use crate::clock::Moment;

/// How often a process that waits for the lease tries again.
pub(super) const POLL: Duration = Duration::from_millis(250);
/// The same while a usable token is here, after a while.
const LONGEST_POLL: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LeaseState {
    Free,
    /// Another process held it at the last try.
    Wanted {
        since: Moment,
        /// Since when attempts wait for it that have no usable token, if any do.
        urgent_since: Option<Moment>,
        next_try: Moment,
    },
    Held {
        until: Moment,
        /// Whether the store was read since.
        is_read: bool,
    },
    /// The wait has timed out, or the store has failed: an attempt continues without the lease.
    GivenUp,
}

/// For how long a lease is held, and for how long a process waits for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// The longest hold without a renewal: enough for what is done under the lease.
    pub(super) hold: Duration,
    /// After this, an attempt without a usable token goes on without the lease. Longer than the longest hold, after which
    /// the holder has released it, unless it is stopped.
    pub(super) patience: Duration,
}

impl Times {
    /// Each call of the issuer takes `exchange_timeout` at most, and each call of the store a quarter of that.
    pub(super) fn new(exchange_timeout: Duration) -> Self {
        let hold = exchange_timeout * 3;
        Self {
            hold,
            patience: hold + exchange_timeout,
        }
    }
}

/// What is to be done on the way to the lease, under which the store was read.
pub(super) enum LeaseStep {
    /// The lease is held and the store was read under it, or the lease is forgone.
    Ready,
    Begin(Task),
    /// Wait until this moment.
    Wait(Moment),
}

impl LeaseState {
    /// `is_urgent`: an attempt without a usable token needs it.
    pub(super) fn step(&mut self, is_urgent: bool, times: Times, now: Moment) -> LeaseStep {
        if let Self::Wanted {
            urgent_since,
            next_try,
            ..
        } = self
        {
            // After a break in the wait, another process may hold the lease.
            urgent_since.take_if(|_| *next_try + times.patience < now);
            if is_urgent {
                urgent_since.get_or_insert(now);
            }
        }
        let take = Task::Lease {
            at_most: times.hold,
        };
        match *self {
            Self::GivenUp | Self::Held { is_read: true, .. } => LeaseStep::Ready,
            Self::Held { .. } => LeaseStep::Begin(Task::Load),
            Self::Free => {
                *self = Self::Wanted {
                    since: now,
                    urgent_since: is_urgent.then_some(now),
                    next_try: now,
                };
                LeaseStep::Begin(take)
            }
            Self::Wanted { next_try, .. } if next_try <= now => LeaseStep::Begin(take),
            Self::Wanted { next_try, .. } => LeaseStep::Wait(next_try),
        }
    }

    /// Notes whether the lease was granted. `is_urgent`: an attempt waits for it.
    pub(super) fn tried(&mut self, is_granted: bool, is_urgent: bool, times: Times, now: Moment) {
        if is_granted {
            *self = Self::Held {
                until: now + times.hold,
                is_read: false,
            };
        } else if let Self::Wanted {
            since, next_try, ..
        } = self
        {
            let pause = if is_urgent {
                POLL
            } else {
                (now.since(*since) / 4).clamp(POLL, LONGEST_POLL)
            };
            *next_try = now + pause;
        }
    }

    /// Notes that the store was read.
    pub(super) fn read(&mut self) {
        if let Self::Held { is_read, .. } = self {
            *is_read = true;
        }
    }

    pub(super) const fn is_held(&self) -> bool {
        matches!(self, Self::Held { .. })
    }

    /// Returns whether the longest hold has passed, so that another process may have the lease.
    pub(super) fn is_over(&self, now: Moment) -> bool {
        matches!(self, Self::Held { until, .. } if *until <= now)
    }

    /// Returns whether half of the longest hold has passed.
    pub(super) fn is_to_be_renewed(&self, times: Times, now: Moment) -> bool {
        matches!(self, Self::Held { until, .. } if until.since(now) < times.hold / 2)
    }

    /// Returns whether the lease was waited for as long as a process waits for it.
    pub(super) fn is_out_of_patience(&self, times: Times, now: Moment) -> bool {
        let Self::Wanted {
            urgent_since: Some(since),
            next_try,
            ..
        } = *self
        else {
            return false;
        };
        since + times.patience <= now && now <= next_try + times.patience
    }
}
