//! The pauses between the failures of one kind of task grow, and begin anew after a success.

use std::time::{Duration, SystemTime};

use proptest::prelude::*;

use super::history::Beginning;
use super::process::Process;
use super::world::{Behaviour, Fault, Old, World, number};
use crate::clock::{Moment, Now};
use crate::machine::input::SetId;
use crate::machine::long_term::agenda::Next;
use crate::machine::long_term::task::{Kind, Outcome, Step, Task};
use crate::machine::long_term::{Recovers, Rotates};
use crate::policy::RotationPolicy;

/// One process, whose tasks of one kind fail as they are told to.
struct Lab {
    kind: Kind,
    /// Whether each task of that kind fails. The last one is the next.
    fails: Vec<bool>,
    world: World,
    process: Process,
    now: Now,
    /// How many tasks of that kind have failed since the last success, and when the last one did.
    failures: (u32, Moment),
    /// The token that the grant brought last. Whether the server accepts it decides if the recovery has failed.
    brought: Option<u32>,
}

impl Lab {
    fn new(kind: Kind, fails: Vec<bool>) -> Self {
        let now = Now {
            at: Moment::from_origin(Duration::from_secs(1_000)),
            wall: SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000),
        };
        let behaviour = Behaviour {
            old: Old::Lives,
            cascades: false,
            replaces: false,
        };
        let beginning = Beginning {
            behaviour,
            rotates: Some(Rotates::WithShortTerm),
            recovers: (kind == Kind::Recovery).then_some(Recovers::WithGrant),
            has_token: true,
            sharing: Some(1),
            has_other_hands: false,
            stops: false,
        };
        Self {
            kind,
            fails,
            world: World::new(behaviour),
            process: Process::new(beginning, 7, now),
            now,
            failures: (0, now.at),
            brought: None,
        }
    }

    /// Goes on until each task of the kind has failed or succeeded as it was told to.
    fn run(&mut self) {
        for _ in 0..200_000 {
            if self.fails.is_empty() {
                return;
            }
            match self.process.rules.next(self.now, &|_| None) {
                Next::Do(step) => self.does(step),
                Next::Sleep(until) if until.is_none() || self.process.rules.is_proving() => {
                    self.go_on();
                }
                Next::Sleep(until) => self.pass_to(until.unwrap_or(self.now.at)),
            }
        }
        panic!("{:?}: {} tasks never came", self.kind, self.fails.len());
    }

    fn pass_to(&mut self, at: Moment) {
        let passes = at.since(self.now.at);
        self.now = Now {
            at,
            wall: self.now.wall + passes,
        };
    }

    /// Gives the process something to do.
    fn go_on(&mut self) {
        let (rules, now) = (&mut self.process.rules, self.now);
        if rules.is_proving() || rules.current().is_none() {
            return self.process.need(SetId::ROOT, now);
        }
        match self.kind {
            Kind::Read => rules.store_changed(),
            Kind::Write | Kind::Rotation | Kind::Revocation => rules.demand_rotation(now),
            Kind::Recovery => {
                self.world.alive.clear();
                self.process.need(SetId::ROOT, now);
            }
        }
    }

    fn does(&mut self, step: Step) {
        let now = self.now;
        match step {
            Step::Begin(call, task) => {
                let is_of_kind = kind_of(&task) == self.kind;
                let fails = is_of_kind && {
                    self.check_pause();
                    self.fails.pop().unwrap_or_default()
                };
                let fault = match (fails, self.kind) {
                    (false, _) => Fault::None,
                    (true, Kind::Recovery) => Fault::Dud,
                    (true, _) => Fault::Unreachable,
                };
                let outcome = self.world.perform(&task, 0, fault, now);
                if let (Kind::Recovery, Ok(Outcome::Obtained(token))) = (self.kind, &outcome) {
                    self.brought = Some(number(&token.token));
                } else if is_of_kind && (fails || !matches!(task, Task::Authorize { .. })) {
                    // To authorize the request is no success yet.
                    self.ended(fails);
                }
                self.process.rules.ended(call, outcome, now);
            }
            Step::Exchange {
                call, set, with, ..
            } => {
                let outcome = self.world.exchange(&with, Fault::None);
                if self.brought.take_if(|it| *it == number(&with)).is_some() {
                    self.ended(outcome.is_err());
                }
                let rules = &mut self.process.rules;
                match outcome {
                    Ok(_) => {
                        let life = Duration::from_secs(600);
                        rules.minted((call, set), &with, life, None, now);
                        self.process.attempts.remove(&set);
                    }
                    Err(error) => rules.exchange_failed((call, set), error, now),
                }
            }
            Step::Fail { set, .. } => {
                self.process.attempts.remove(&set);
                // What needs a token tries again, as the scope sets do.
                let waited = now.at.since(self.failures.1);
                self.pass_to(now.at + (waited / 20).max(Duration::from_millis(50)));
                self.process.need(set, self.now);
            }
            Step::Accept(_) | Step::Release | Step::RevokeAuthority(_) | Step::Tell(_) => {}
        }
    }

    fn ended(&mut self, fails: bool) {
        let failures = if fails { self.failures.0 + 1 } else { 0 };
        self.failures = (failures, self.now.at);
    }

    /// A task of the kind begins: after a pause that fits the number of failures in a row.
    fn check_pause(&self) {
        let (failures, since) = self.failures;
        if failures == 0 {
            return;
        }
        let policy = RotationPolicy::default();
        let (first, longest) = if self.kind == Kind::Recovery {
            (Duration::from_secs(30), Duration::from_secs(60 * 60))
        } else {
            (policy.first_delay, policy.longest_delay)
        };
        let most = first
            .saturating_mul(1 << (failures - 1).min(20))
            .min(longest);
        let pause = self.now.at.since(since);
        // A recovery begins with the next attempt.
        let latest = most + most / 10 + Duration::from_millis(100);
        let least = if self.kind == Kind::Recovery {
            first.max(most * 3 / 4)
        } else {
            most / 10
        };
        assert!(
            least <= pause + Duration::from_millis(1) && pause <= latest,
            "{:?}: {pause:?} after {failures} failures in a row, instead of at most {most:?}",
            self.kind
        );
    }
}

const fn kind_of(task: &Task) -> Kind {
    match task {
        Task::Load | Task::Lease { .. } | Task::Renew { .. } => Kind::Read,
        Task::Save { .. } => Kind::Write,
        Task::Authorize { .. } | Task::Ask { .. } => Kind::Rotation,
        Task::Obtain { .. } => Kind::Recovery,
        Task::Revoke(_) => Kind::Revocation,
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn l14_pauses_grow_and_begin_anew(
        kind in prop_oneof![
            Just(Kind::Read),
            Just(Kind::Write),
            Just(Kind::Rotation),
            Just(Kind::Recovery),
            Just(Kind::Revocation),
        ],
        fails in proptest::collection::vec(proptest::bool::weighted(0.7), 1..25),
    ) {
        Lab::new(kind, fails).run();
    }
}
