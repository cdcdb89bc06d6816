//! A toy world: an auth server, and a store with versions and a lease.

use std::collections::{BTreeMap, BTreeSet};

use crate::clock::{Moment, Now};
use crate::error::{Error, ErrorKind};
use crate::machine::long_term::task::{Outcome, Purpose, Task};
use crate::store::{Dated, Record, Stored, Version};
use crate::token::{LongTermToken, ShortTermToken};

/// What the server does with a long-term token after it has issued the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Old {
    DiesAtOnce,
    /// It dies when an exchange uses the next one.
    DiesAtProof,
    Lives,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Behaviour {
    pub(super) old: Old,
    /// Whether revoking a long-term token also ends the short-term tokens that were minted from it.
    pub(super) cascades: bool,
    pub(super) replaces: bool,
}

/// What goes wrong with one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    /// The call never arrives.
    Unreachable,
    /// The call is carried out, and its answer is lost.
    AnswerLost,
    /// The server returns a long-term token that it does not accept.
    Dud,
    /// The server refuses a token that it accepts otherwise.
    Refused,
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) behaviour: Behaviour,
    pub(super) alive: BTreeSet<u32>,
    shorts: BTreeMap<u32, Short>,
    /// From which token each one was obtained by a rotation.
    parents: BTreeMap<u32, u32>,
    serial: u32,
    pub(super) stored: Option<(Record, u64)>,
    /// Whether the store is that of a provider without one: it accepts each write, and is never read.
    pub(super) is_private: bool,
    pub(super) version: u64,
    /// The process that holds the lease.
    pub(super) lease: Option<usize>,
    /// The long-term tokens that no process has been told of, since the answer was lost.
    pub(super) lost: BTreeSet<u32>,
    /// When a write has taken a token out of use.
    pub(super) out_of_use: BTreeMap<u32, Moment>,
    /// The tokens after which another one was issued by a rotation.
    pub(super) rotated: BTreeSet<u32>,
}

#[derive(Clone, Copy, Debug)]
struct Short {
    minted_from: u32,
    is_alive: bool,
}

impl World {
    /// The token 1 is alive.
    pub(super) fn new(behaviour: Behaviour) -> Self {
        Self {
            behaviour,
            alive: BTreeSet::from([1]),
            shorts: BTreeMap::new(),
            parents: BTreeMap::new(),
            serial: 1,
            stored: None,
            is_private: false,
            version: 0,
            lease: None,
            lost: BTreeSet::new(),
            out_of_use: BTreeMap::new(),
            rotated: BTreeSet::new(),
        }
    }

    /// Issues another long-term token.
    pub(super) fn issue(&mut self) -> u32 {
        self.serial += 1;
        self.alive.insert(self.serial);
        self.serial
    }

    fn issue_maybe(&mut self, fault: Fault) -> u32 {
        let issued = self.issue();
        if fault == Fault::Dud {
            self.alive.remove(&issued);
        }
        if fault == Fault::AnswerLost {
            self.lost.insert(issued);
        }
        issued
    }

    fn mint(&mut self, from: u32) -> u32 {
        self.serial += 1;
        let short = Short {
            minted_from: from,
            is_alive: true,
        };
        self.shorts.insert(self.serial, short);
        self.serial
    }

    pub(super) fn is_alive(&self, short: u32) -> bool {
        self.shorts.get(&short).is_some_and(|it| it.is_alive)
    }

    /// Exchanges a long-term token. Returns the short-term token, and the token that replaces the long-term one, if the
    /// server does so.
    pub(super) fn exchange(
        &mut self,
        with: &LongTermToken,
        fault: Fault,
    ) -> Result<(u32, Option<u32>), Error> {
        let with = number(with);
        if fault == Fault::Unreachable {
            return Err(down());
        }
        // A token that each exchange replaces may have been replaced, so that it is not revoked after a refusal.
        let is_refused = fault == Fault::Refused && !self.behaviour.replaces;
        if is_refused || !self.alive.contains(&with) {
            return Err(refused());
        }
        if self.behaviour.old == Old::DiesAtProof
            && let Some(parent) = self.parents.remove(&with)
        {
            self.end(parent);
        }
        let replacement = self.behaviour.replaces.then(|| {
            self.alive.remove(&with);
            self.issue_maybe(fault)
        });
        let short = self.mint(replacement.unwrap_or(with));
        if fault == Fault::AnswerLost {
            return Err(lost());
        }
        Ok((short, replacement))
    }

    /// Carries out a task of this process.
    pub(super) fn perform(
        &mut self,
        task: &Task,
        process: usize,
        fault: Fault,
        now: Now,
    ) -> Result<Outcome, Error> {
        let fault = match task {
            Task::Save { .. } if self.is_private => Fault::None,
            _ => fault,
        };
        if fault == Fault::Unreachable {
            return Err(match task {
                Task::Load | Task::Save { .. } | Task::Lease { .. } | Task::Renew { .. } => {
                    Error::own(ErrorKind::Store, "down")
                }
                _ => down(),
            });
        }
        let outcome = self.carry_out(task, process, fault, now);
        if fault != Fault::AnswerLost {
            return outcome;
        }
        if self.lease == Some(process) && matches!(task, Task::Lease { .. }) {
            // Whoever drops the call gives the lease back.
            self.lease = None;
        }
        Err(lost())
    }

    fn carry_out(
        &mut self,
        task: &Task,
        process: usize,
        fault: Fault,
        now: Now,
    ) -> Result<Outcome, Error> {
        match task {
            Task::Load if self.is_private => panic!("a private store is read"),
            Task::Load => Ok(Outcome::Loaded(self.stored.clone().map(
                |(record, version)| Stored::new(record, Version::new(version.to_string())),
            ))),
            Task::Save { record, over } => {
                let present = self.stored.as_ref().map(|(_, version)| version.to_string());
                let is_over = present.as_deref() == over.as_ref().map(Version::as_str);
                if !is_over && !self.is_private {
                    return Err(Error::conflict());
                }
                if let Some((old, _)) = &self.stored {
                    let old = old.tokens_in_use().map(number);
                    self.out_of_use.extend(old.map(|it| (it, now.at)));
                }
                for used in record.tokens_in_use() {
                    self.out_of_use.remove(&number(used));
                }
                self.version += 1;
                self.stored = Some((record.clone(), self.version));
                Ok(Outcome::Saved(Version::new(self.version.to_string())))
            }
            Task::Lease { .. } => {
                let is_granted = self.lease.is_none_or(|holder| holder == process);
                if is_granted {
                    self.lease = Some(process);
                }
                Ok(Outcome::Leased(is_granted))
            }
            Task::Renew { .. } => Ok(Outcome::Leased(self.lease == Some(process))),
            Task::Authorize { with } => {
                let with = number(with);
                if !self.alive.contains(&with) {
                    return Err(refused());
                }
                Ok(Outcome::Authorized(short_term(self.mint(with)), None))
            }
            Task::Ask { with, .. } => {
                let with = number_of_short(with);
                let Some(short) = self.shorts.get(&with).filter(|it| it.is_alive) else {
                    return Err(refused());
                };
                let from = short.minted_from;
                self.rotated.insert(from);
                let issued = self.issue_maybe(fault);
                if self.behaviour.old == Old::DiesAtOnce {
                    // The server knows one live token of this line.
                    let is_old = |it: &u32| *it == from || self.parents.get(it) == Some(&from);
                    let old: Vec<u32> = self.alive.iter().copied().filter(is_old).collect();
                    for token in old.into_iter().filter(|it| *it != issued) {
                        self.end(token);
                    }
                }
                self.parents.insert(issued, from);
                Ok(Outcome::Obtained(long_term(issued, now)))
            }
            Task::Obtain { purpose, after } => {
                let rotated = after.iter().filter(|_| *purpose == Purpose::Rotate);
                self.rotated.extend(rotated.map(number));
                let issued = self.issue_maybe(fault);
                Ok(Outcome::Obtained(long_term(issued, now)))
            }
            Task::Revoke(token) => {
                let revoked = number(token);
                self.end(revoked);
                if self.behaviour.cascades {
                    let minted = self.shorts.values_mut();
                    for short in minted.filter(|it| it.minted_from == revoked) {
                        short.is_alive = false;
                    }
                }
                Ok(Outcome::Revoked)
            }
        }
    }

    pub(super) fn revoke_short(&mut self, token: &ShortTermToken) {
        if let Some(short) = self.shorts.get_mut(&number_of_short(token)) {
            short.is_alive = false;
        }
    }

    /// The server ends a long-term token. What was minted from it goes on, also the token that can ask again.
    fn end(&mut self, token: u32) {
        self.alive.remove(&token);
    }
}

fn down() -> Error {
    Error::own(ErrorKind::Unreachable, "down")
}

fn lost() -> Error {
    Error::own(ErrorKind::Timeout, "lost")
}

fn refused() -> Error {
    Error::own(ErrorKind::Denied, "refused")
}

pub(super) fn long_term(number: u32, now: Now) -> Dated {
    let token = LongTermToken::builder(&format!("lt-{number}"));
    Dated {
        token: token.token_id(number.to_string()).build().unwrap(),
        obtained_at: Some(now.wall),
        ends_at: None,
    }
}

pub(super) fn short_term(number: u32) -> ShortTermToken {
    let token = ShortTermToken::builder(&format!("st-{number}"));
    token.token_id(number.to_string()).build().unwrap()
}

pub(super) fn number(token: &LongTermToken) -> u32 {
    token.token_id().unwrap().parse().unwrap()
}

pub(super) fn number_of_short(token: &ShortTermToken) -> u32 {
    token.token_id().unwrap().parse().unwrap()
}
