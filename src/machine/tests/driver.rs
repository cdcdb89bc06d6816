//! A driver that the test plays, with a store that others share.

use std::time::{Duration, SystemTime};

use super::{ROOT, at, secs};
use crate::clock::{Moment, Now};
use crate::error::{Error, ErrorKind};
use crate::machine::{
    Action, Brought, Call, Generation, LongTerm, Machine, Outcome, Recovers, Rotates, Setup, Task,
};
use crate::observe::Event;
use crate::policy::{Policies, RefreshPolicy};
use crate::store::{Dated, Record, Stored, Version};
use crate::token::{LongTermToken, ShortTermToken};

pub(super) const LIFE: Duration = Duration::from_secs(3_600);

pub(super) fn now(seconds: u64) -> Now {
    Now {
        at: at(seconds),
        wall: SystemTime::UNIX_EPOCH + secs(1_800_000_000 + seconds),
    }
}

pub(super) fn token(text: &str) -> LongTermToken {
    let token = LongTermToken::builder(text);
    token.token_id(text).build().unwrap()
}

pub(super) fn dated(text: &str) -> Dated {
    Dated {
        token: token(text),
        obtained_at: None,
        ends_at: None,
    }
}

/// A machine whose driver is played by the test, with a store that others share.
pub(super) struct Driver {
    pub(super) machine: Machine,
    pub(super) seconds: u64,
    pub(super) version: u32,
    pub(super) stored: Option<Record>,
    /// Whether another process holds the lease.
    pub(super) is_lease_taken: bool,
    /// How often the lease was taken, and renewed.
    pub(super) leases: u32,
    pub(super) renewals: u32,
    /// Whether the answer of the next write is lost.
    pub(super) loses_answer: bool,
    /// What another process writes before the next write.
    pub(super) overtaken_by: Option<Record>,
    pub(super) told: Vec<Event>,
    pub(super) revoked: Vec<ShortTermToken>,
}

impl Driver {
    pub(super) fn new(recovers: Option<Recovers>, stored: &str) -> Self {
        Self::built_with(None, recovers, stored)
    }

    /// A driver of an issuer that replaces the long-term token, and accepts the replaced one for this time.
    pub(super) fn replacing(reuse_grace: Duration, stored: &str) -> Self {
        let setup = Setup {
            replaces: true,
            reuse_grace,
            rotates: None,
            ..Self::setup(None)
        };
        Self::of(setup, None, stored)
    }

    pub(super) fn built_with(
        given: Option<Dated>,
        recovers: Option<Recovers>,
        stored: &str,
    ) -> Self {
        Self::of(Self::setup(recovers), given, stored)
    }

    fn setup(recovers: Option<Recovers>) -> Setup {
        Setup {
            shares_store: true,
            replaces: false,
            reuse_grace: Duration::ZERO,
            rotates: Some(Rotates::WithShortTerm),
            recovers,
            policies: Policies {
                refresh: RefreshPolicy::default().default_lifetime(secs(300)),
                ..Policies::default()
            }
            .into(),
        }
    }

    fn of(setup: Setup, given: Option<Dated>, stored: &str) -> Self {
        let rules = LongTerm::new(setup, given, 7, now(0));
        Self {
            machine: Machine::new(Policies::default().into(), Some(rules), 7, at(0)),
            seconds: 0,
            version: 1,
            stored: Some(Record::new(dated(stored))),
            is_lease_taken: false,
            leases: 0,
            renewals: 0,
            loses_answer: false,
            overtaken_by: None,
            told: Vec::new(),
            revoked: Vec::new(),
        }
    }

    pub(super) fn now(&self) -> Now {
        now(self.seconds)
    }

    /// Returns the next action, after what the store answers at once.
    pub(super) fn next(&mut self) -> Action {
        loop {
            let now = self.now();
            let action = self.machine.poll(now);
            let Action::Begin(call, task) = action else {
                match action {
                    Action::Release => continue,
                    Action::Tell(event) => self.told.push(event),
                    Action::RevokeAuthority(token) => self.revoked.push(token),
                    action => return action,
                }
                continue;
            };
            let outcome = match &task {
                Task::Load => Outcome::Loaded(
                    self.stored
                        .clone()
                        .map(|record| Stored::new(record, Version::new(self.version.to_string()))),
                ),
                Task::Save { .. } if self.overtaken_by.is_some() => {
                    self.stored = self.overtaken_by.take();
                    self.version += 1;
                    self.machine.task_ended(call, Err(Error::conflict()), now);
                    continue;
                }
                Task::Save { over, .. }
                    if over.as_ref().map(Version::as_str) != Some(&self.version.to_string()) =>
                {
                    self.machine.task_ended(call, Err(Error::conflict()), now);
                    continue;
                }
                Task::Save { record, .. } => {
                    self.stored = Some(record.clone());
                    self.version += 1;
                    Outcome::Saved(Version::new(self.version.to_string()))
                }
                Task::Lease { .. } => {
                    self.leases += 1;
                    Outcome::Leased(!self.is_lease_taken)
                }
                Task::Renew { .. } => {
                    self.renewals += 1;
                    Outcome::Leased(true)
                }
                _ => return Action::Begin(call, task),
            };
            let is_lost =
                matches!(task, Task::Save { .. }) && std::mem::take(&mut self.loses_answer);
            let lost = Error::own(ErrorKind::Store, "the token store did not answer");
            let outcome = if is_lost { Err(lost) } else { Ok(outcome) };
            self.machine.task_ended(call, outcome, now);
        }
    }

    pub(super) fn exchange(&mut self) -> (Call, LongTermToken) {
        match self.next() {
            Action::Exchange {
                call,
                with: Some(with),
                ..
            } => (call, with),
            other => panic!("no exchange: {other:?}"),
        }
    }

    pub(super) fn task(&mut self) -> (Call, Task) {
        match self.next() {
            Action::Begin(call, task) => (call, task),
            other => panic!("no task: {other:?}"),
        }
    }

    pub(super) fn succeeds(&mut self, call: Call, with: &LongTermToken) {
        let brought = super::brought(self.now().at, LIFE);
        self.brings(call, with, brought);
    }

    pub(super) fn brings(&mut self, call: Call, with: &LongTermToken, brought: Brought) {
        let now = self.now();
        let life = brought.life;
        (self.machine).minted((call, ROOT), Some(with), life, None, now);
        self.machine.exchanged(ROOT, brought, now.at);
    }

    pub(super) fn is_refused(&mut self, call: Call) {
        let now = self.now();
        (self.machine).exchange_failed((call, ROOT), refused(), now);
    }

    pub(super) fn demands(&mut self) {
        let demand = super::demanded(Generation(0));
        self.machine.handle(demand, at(self.seconds));
    }

    pub(super) fn ends(&mut self, call: Call, outcome: Outcome) {
        let now = self.now();
        self.machine.task_ended(call, Ok(outcome), now);
    }

    /// Rotates until the next token is in use.
    pub(super) fn rotate_to(&mut self, next: &str) {
        let now = self.now();
        self.machine.demand_rotation(now);
        let (call, task) = self.task();
        assert!(matches!(task, Task::Authorize { .. }), "{task:?}");
        self.ends(call, Outcome::Authorized(authority(next), None));
        let (call, task) = self.task();
        assert!(matches!(task, Task::Ask { .. }), "{task:?}");
        self.ends(call, Outcome::Obtained(dated(next)));
    }

    pub(super) fn current(&self) -> LongTermToken {
        self.machine.long_term().unwrap().current().unwrap().clone()
    }

    pub(super) fn serves(&self, long_term: &str) -> Option<Moment> {
        let grace = Policies::default().rotation.grace;
        let root = self.machine.sets.root();
        root.served_until(&token(long_term), grace, self.now().at)
    }
}

pub(super) fn refused() -> Error {
    Error::own(ErrorKind::Denied, "refused")
}

pub(super) fn authority(next: &str) -> ShortTermToken {
    ShortTermToken::builder(&format!("asks-for-{next}"))
        .build()
        .unwrap()
}
