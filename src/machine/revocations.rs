//! The tokens that a shutdown revokes: which is next, how many at once, and which is tried again.

use std::collections::{BTreeMap, BTreeSet};

use super::backoff::retry_delay;
use super::input::Failure;
use crate::clock::Moment;
use crate::policy::RetryPolicy;

/// How many revocations are in flight at most.
pub(crate) const MOST_IN_FLIGHT: usize = 16;

/// The tokens to revoke, each by a number of the caller's.
#[derive(Debug, Default)]
pub(crate) struct Revocations {
    /// The token that is revoked before all others. The other tokens wait for the outcome of its first call, at most
    /// until this moment.
    first: Option<(usize, Moment)>,
    /// The last one is the next, since the newest tokens live longest.
    due: Vec<usize>,
    in_flight: BTreeSet<usize>,
    /// What is tried again, and when.
    retries: BTreeSet<(Moment, usize)>,
    failures: BTreeMap<usize, u32>,
    /// What was in flight when its call was dropped: the outcome is unknown, and it is not tried again.
    dropped: BTreeSet<usize>,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Revoke this one.
    Revoke(usize),
    /// Wait for a call to end, or until this moment.
    Wait(Option<Moment>),
    /// Nothing is left to revoke.
    Done,
}

impl Revocations {
    pub(crate) fn add(&mut self, number: usize) {
        self.due.push(number);
    }

    /// Moves the token that was added last to the front. The others wait for it until this moment at most.
    pub(crate) fn put_first(&mut self, until: Moment) {
        self.first = self.due.pop().map(|number| (number, until));
    }

    /// Returns how many wait for their first or next call.
    pub(crate) fn waiting(&self) -> usize {
        let first = self.first.filter(|(it, _)| !self.in_flight.contains(it));
        usize::from(first.is_some()) + self.due.len() + self.retries.len()
    }

    pub(crate) fn next(&mut self, now: Moment) -> Next {
        while let Some(&(at, number)) = self.retries.first()
            && at <= now
        {
            self.retries.pop_first();
            self.due.push(number);
        }
        let waits_for = |(first, until)| self.in_flight.contains(&first) && now < until;
        let until = self
            .first
            .filter(|it| waits_for(*it))
            .map(|(_, until)| until);
        let first = self.first.filter(|(it, _)| !self.in_flight.contains(it));
        let number = match first {
            Some((first, _)) => Some(first),
            None if until.is_some() => None,
            None => self.due.last().copied(),
        };
        if self.in_flight.len() < MOST_IN_FLIGHT
            && let Some(number) = number
        {
            self.due.pop_if(|due| *due == number);
            self.in_flight.insert(number);
            return Next::Revoke(number);
        }
        if self.in_flight.is_empty() && self.retries.is_empty() {
            return Next::Done;
        }
        let retry_at = self.retries.first().map(|&(at, _)| at);
        Next::Wait(retry_at.into_iter().chain(until).min())
    }

    /// Notes that the revocation has ended for good.
    pub(crate) fn ended(&mut self, number: usize) {
        self.land(number);
        self.failures.remove(&number);
    }

    /// Notes a failure. Returns whether the revocation is tried again, which takes a retryable failure and time
    /// before the deadline. `draw` is a random number between 0 and 1.
    pub(crate) fn failed(
        &mut self,
        number: usize,
        failure: Failure,
        policy: &RetryPolicy,
        draw: f64,
        (now, deadline): (Moment, Moment),
    ) -> bool {
        self.land(number);
        let failures = self.failures.entry(number).or_default();
        *failures += 1;
        let at = now + retry_delay(policy, failure, *failures, None, draw);
        let is_retried = matches!(failure, Failure::Transient { .. }) && at < deadline;
        if is_retried {
            self.retries.insert((at, number));
        } else {
            self.failures.remove(&number);
        }
        is_retried
    }

    /// Notes that the call has ended, with any outcome.
    fn land(&mut self, number: usize) {
        self.in_flight.remove(&number);
        self.first = self.first.filter(|(first, _)| *first != number);
    }

    /// Notes that the calls in flight were dropped.
    pub(crate) fn drop_in_flight(&mut self) {
        self.first = (self.first).filter(|(first, _)| !self.in_flight.contains(first));
        self.dropped.append(&mut self.in_flight);
    }

    /// Gives up all that have not ended: the authority for them is about to be revoked.
    pub(crate) fn drop_all(&mut self) {
        self.dropped = self.unfinished();
        self.first = None;
        self.in_flight.clear();
        self.due.clear();
        self.retries.clear();
    }

    /// Returns the numbers whose revocation has not ended, in order.
    pub(crate) fn unfinished(&self) -> BTreeSet<usize> {
        let retries = self.retries.iter().map(|(_, number)| number);
        let first = self.first.iter().map(|(first, _)| first);
        let all = first.chain(&self.due).chain(&self.in_flight);
        all.chain(retries).chain(&self.dropped).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const TRANSIENT: Failure = Failure::Transient { retry_after: None };
    const TERMINAL: Failure = Failure::Terminal { retry_after: None };

    fn at(millis: u64) -> Moment {
        Moment::from_origin(Duration::from_millis(millis))
    }

    #[test]
    fn the_newest_token_is_revoked_first() {
        let mut revocations = Revocations::default();
        (0..3).for_each(|number| revocations.add(number));
        for number in [2, 1, 0] {
            assert_eq!(revocations.next(at(0)), Next::Revoke(number));
        }
        assert_eq!(revocations.next(at(0)), Next::Wait(None));
    }

    /// It is tried again like the others if its first call has failed.
    #[test]
    fn o19_the_others_wait_for_the_first_call_of_the_first_token() {
        for is_revoked in [true, false] {
            let mut revocations = Revocations::default();
            revocations.add(0);
            revocations.add(1);
            revocations.put_first(at(5_000));
            assert_eq!(revocations.waiting(), 2);
            assert_eq!(revocations.next(at(0)), Next::Revoke(1));
            revocations.add(2);
            assert_eq!(revocations.next(at(0)), Next::Wait(Some(at(5_000))));
            if is_revoked {
                revocations.ended(1);
            } else {
                let times = (at(0), at(60_000));
                assert!(revocations.failed(1, TRANSIENT, &RetryPolicy::default(), 0.5, times));
            }
            assert_eq!(revocations.next(at(0)), Next::Revoke(2));
            assert_eq!(revocations.next(at(0)), Next::Revoke(0));
        }
    }

    #[test]
    fn o19_the_others_do_not_wait_for_ever_for_the_first_token() {
        let mut revocations = Revocations::default();
        revocations.add(0);
        revocations.add(1);
        revocations.put_first(at(5_000));
        assert_eq!(revocations.next(at(0)), Next::Revoke(1));
        assert_eq!(revocations.next(at(4_999)), Next::Wait(Some(at(5_000))));
        assert_eq!(revocations.next(at(5_000)), Next::Revoke(0));
        assert_eq!(revocations.next(at(5_000)), Next::Wait(None));
    }

    #[test]
    fn d3_a_refused_revocation_is_not_tried_again() {
        let mut revocations = Revocations::default();
        revocations.add(0);
        revocations.next(at(0));
        let times = (at(0), at(60_000));
        assert!(!revocations.failed(0, TERMINAL, &RetryPolicy::default(), 0.5, times));
        assert_eq!(revocations.next(at(60_000)), Next::Done);
        assert!(revocations.unfinished().is_empty());
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Add,
        PutFirst,
        Act,
        Succeed,
        Fail(bool),
        Drop(bool),
        Pass(u64),
    }

    fn steps() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => Just(Step::Add),
            1 => Just(Step::PutFirst),
            5 => Just(Step::Act),
            3 => Just(Step::Succeed),
            3 => any::<bool>().prop_map(Step::Fail),
            1 => any::<bool>().prop_map(Step::Drop),
            2 => (0_u64..5_000).prop_map(Step::Pass),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        /// In any sequence: at most 16 calls are in flight, none twice at once, none after it has ended, and each
        /// token has ended or is reported as unfinished.
        #[test]
        fn d3_every_token_ends_once_or_is_reported(
            sequence in proptest::collection::vec(steps(), 1..200),
            draw in 0.0..1.0_f64,
        ) {
            let (mut revocations, mut now, deadline) = (Revocations::default(), 0, at(60_000));
            let (mut added, mut ended) = (0, BTreeSet::new());
            let mut in_flight = Vec::new();
            for step in sequence {
                match step {
                    Step::Add => {
                        revocations.add(added);
                        added += 1;
                    }
                    Step::PutFirst => if revocations.first.is_none() {
                        revocations.put_first(at(now + 3_000));
                    },
                    Step::Act => match revocations.next(at(now)) {
                        Next::Revoke(number) => {
                            prop_assert!(!in_flight.contains(&number) && !ended.contains(&number));
                            in_flight.push(number);
                        }
                        Next::Wait(until) => prop_assert!(until.is_none_or(|until| until > at(now))),
                        Next::Done => prop_assert!(in_flight.is_empty()),
                    },
                    Step::Succeed => if let Some(number) = in_flight.pop() {
                        revocations.ended(number);
                        ended.insert(number);
                    },
                    Step::Fail(is_terminal) => if let Some(number) = in_flight.pop() {
                        let failure = if is_terminal { TERMINAL } else { TRANSIENT };
                        let times = (at(now), deadline);
                        let policy = RetryPolicy::default();
                        if !revocations.failed(number, failure, &policy, draw, times) {
                            ended.insert(number);
                        }
                    },
                    Step::Drop(all) => {
                        if all {
                            revocations.drop_all();
                        } else {
                            revocations.drop_in_flight();
                        }
                        in_flight.clear();
                    }
                    Step::Pass(millis) => now += millis,
                }
                prop_assert!(in_flight.len() <= MOST_IN_FLIGHT);
                let unfinished = revocations.unfinished();
                for number in 0..added {
                    prop_assert!(ended.contains(&number) != unfinished.contains(&number));
                }
            }
        }
    }
}
