//! The state under the engine lock. It survives a driver whose runtime is dropped.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::current::USE_PRECISION;
use super::grant_pause::GrantPause;
use super::live::{LiveToken, LiveTokens};
use super::outage::{Observed, Outages};
use super::revocation_hints::RevocationHints;
use super::scope_set::ScopeSet;
use super::sets::ScopeSets;
use crate::clock::Moment;
use crate::error::{Error, ErrorKind};
use crate::machine::{Action, Input, Machine, SetId};
use crate::observe::Event;
use crate::policy::Policies;
use crate::token::{LongTermToken, ShortTermToken};

/// A smaller step of the wall clock is ignored.
const LEAST_STEP: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) machine: Machine,
    pub(crate) driven: bool,
    pub(crate) long_term: Option<Held>,
    /// How often the long-term token in use was replaced.
    pub(crate) long_term_changes: u64,
    /// When the dates of the long-term token were last read, by both clocks.
    pub(crate) dated_at: Option<(Moment, SystemTime)>,
    /// The next long-term token, which no exchange has proven yet.
    pub(crate) next: Option<LongTermToken>,
    /// What an exchange has shown of the next token, until the next `Attend` handles it.
    pub(crate) verdict: Option<Verdict>,
    /// The long-term tokens beside the one in use: the next one, and those that are superseded.
    pub(crate) beside: Vec<LongTermToken>,
    /// The long-term tokens that this provider obtained and could not write to the store, so that no other process
    /// knows them.
    pub(crate) unwritten: Vec<LongTermToken>,
    /// A long-term token that a caller has set and that is not stored yet.
    pub(crate) handed_in: Option<LongTermToken>,
    /// How many attendances of the long-term token have failed, and why the last one did.
    pub(crate) rotation_failures: (u64, Option<Error>),
    /// Whether a rotation has begun that has neither succeeded nor failed.
    pub(crate) is_rotating: bool,
    /// The pause that the server requested for the grant, if any.
    pub(crate) grant_pause: Option<GrantPause>,
    /// Why the last access to the store failed, if it did.
    pub(crate) store_error: Option<Error>,
    pub(crate) live: LiveTokens,
    pub(super) outages: Outages,
    pub(crate) shutdown_began: Option<Moment>,
    pub(crate) revocation_hints: RevocationHints,
    /// Whether observers were told which tokens a shutdown without a driver did not revoke.
    pub(crate) is_undone_told: bool,
    pub(crate) sets: ScopeSets,
    /// The evicted scope sets, with their tokens to revoke.
    pub(super) evicted: BTreeMap<SetId, Retired>,
}

/// A scope set that was closed, with its tokens to revoke.
#[derive(Debug)]
pub(crate) struct Retired {
    pub(crate) set: Arc<ScopeSet>,
    pub(crate) left: Vec<LiveToken>,
}

/// A long-term token, and since when it is in use.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) token: LongTermToken,
    pub(crate) since: Moment,
}

/// What an exchange has shown of a next long-term token.
#[derive(Clone, Debug)]
pub(crate) struct Verdict {
    pub(crate) token: LongTermToken,
    /// Why the server refuses the token while it accepts the one in use; `None` if the token is proven.
    pub(crate) refusal: Option<Error>,
}

impl Engine {
    pub(crate) fn new(
        policies: Policies,
        root: &Arc<ScopeSet>,
        long_term: Option<LongTermToken>,
        seed: u64,
        now: Moment,
    ) -> Self {
        Self {
            machine: Machine::new(policies, seed, now),
            driven: false,
            long_term: long_term.map(|token| Held { token, since: now }),
            long_term_changes: 0,
            dated_at: None,
            next: None,
            verdict: None,
            beside: Vec::new(),
            unwritten: Vec::new(),
            handed_in: None,
            rotation_failures: (0, None),
            is_rotating: false,
            grant_pause: None,
            store_error: None,
            live: LiveTokens::default(),
            outages: Outages::default(),
            shutdown_began: None,
            revocation_hints: RevocationHints::default(),
            is_undone_told: false,
            sets: ScopeSets::new(root),
            evicted: BTreeMap::new(),
        }
    }

    /// Requests that the dates of the long-term token are read again if the wall clock has stepped since.
    pub(crate) fn mind_the_wall_clock(&mut self, now: Moment, wall: SystemTime) {
        let Some((then, wall_then)) = self.dated_at else {
            return;
        };
        let passed = now.since(then);
        let step = match wall.duration_since(wall_then) {
            Ok(by_wall) => by_wall.abs_diff(passed),
            Err(back) => back.duration() + passed,
        };
        if step > LEAST_STEP {
            self.dated_at = None;
            self.machine.handle(Input::Chore { at: now }, now);
        }
    }

    /// Sets the long-term token in use.
    pub(crate) fn hold(&mut self, token: LongTermToken, now: Moment) {
        self.long_term = Some(Held { token, since: now });
        self.long_term_changes += 1;
    }

    /// Notes what an exchange has shown of the next token, and requests an `Attend` at once.
    pub(crate) fn judge(&mut self, verdict: Verdict, now: Moment) {
        self.verdict = Some(verdict);
        self.forget_outdated_verdict();
        if self.verdict.is_some() {
            self.machine.handle(Input::Proving(false), now);
            self.machine.handle(Input::Urgent, now);
        }
    }

    /// Forgets the verdict unless it is about the next token that is there.
    pub(crate) fn forget_outdated_verdict(&mut self) {
        let next = self.next.as_ref();
        self.verdict
            .take_if(|verdict| !next.is_some_and(|next| next.reads_like(&verdict.token)));
    }

    /// Returns whether the last attempt to rotate the long-term token was refused.
    pub(crate) fn is_rotation_refused(&self) -> bool {
        let (_, last) = &self.rotation_failures;
        last.as_ref().is_some_and(|error| !error.is_retryable())
    }

    /// Notes which scope sets were used, and returns the next action. Closes a retired scope set under the same
    /// lock.
    pub(crate) fn poll(&mut self, now: Moment) -> (Action, Option<Retired>) {
        self.note_uses(now);
        let action = self.machine.poll(now);
        let retired = match action {
            Action::Retire(set) => self.close(set, now),
            Action::RevokeEvicted(set) => self.evicted.remove(&set),
            _ => None,
        };
        (action, retired)
    }

    pub(super) fn note_uses(&mut self, now: Moment) {
        for set in self.sets.open() {
            let last_use = if set.has_waiting() {
                now
            } else {
                (set.current.last_use() + USE_PRECISION).min(now)
            };
            self.machine.handle(Input::Used(set.id), last_use);
        }
    }

    pub(super) fn close(&mut self, set: SetId, now: Moment) -> Option<Retired> {
        let (closed, tokens) = self.sets.close(set)?;
        self.outages.forget(set);
        for token in tokens {
            self.live.give(&token, set);
        }
        let set = closed;
        set.current.withdraw();
        self.live.forget_ended(now);
        let left = self.live.of_set(set.id);
        Some(Retired { set, left })
    }

    /// Returns the tokens to revoke: those that no open scope set uses and that the driver will not revoke for an
    /// evicted scope set. Assigns each token that an open scope set uses to that scope set. A server may return one token
    /// for several scope sets.
    pub(crate) fn unused(
        &mut self,
        tokens: impl IntoIterator<Item = ShortTermToken>,
    ) -> Vec<ShortTermToken> {
        let mut unused = Vec::new();
        for token in tokens {
            let mut evicted = self.evicted.values().flat_map(|evicted| &evicted.left);
            match self.sets.user_of(&token) {
                Some(set) => self.live.give(&token, set),
                None if evicted.any(|minted| minted.token.is_same(&token)) => {}
                None => unused.push(token),
            }
        }
        unused
    }

    /// Returns the long-term tokens: the one in use, and all others.
    pub(crate) fn long_term_tokens(&self) -> Vec<LongTermToken> {
        let in_use = self.long_term.iter().map(|held| &held.token);
        in_use
            .chain(&self.next)
            .chain(&self.beside)
            .chain(&self.unwritten)
            .chain(&self.handed_in)
            .cloned()
            .collect()
    }

    pub(crate) fn forget_grant_pause(&mut self, now: Moment) {
        self.grant_pause.take_if(|pause| pause.is_over(now));
    }

    /// Drops all tokens after the shutdown.
    pub(crate) fn forget_tokens(&mut self) {
        self.live = LiveTokens::default();
        self.evicted = BTreeMap::new();
        self.long_term = None;
        self.next = None;
        self.beside = Vec::new();
        self.unwritten = Vec::new();
        self.handed_in = None;
        self.grant_pause = None;
        self.sets.forget_upcoming();
    }

    /// Returns what to tell observers of the outages, and when to look again at the latest.
    pub(crate) fn observe_outages(&mut self, now: Moment) -> (Vec<Event>, Option<Moment>) {
        if !self.machine.is_running() {
            return (Vec::new(), None);
        }
        let machine = &self.machine;
        let observed = self
            .sets
            .attempts()
            .filter_map(|(scope_set, attempts, last_error)| {
                Some(Observed {
                    scope_set,
                    health: machine.health(scope_set.id, now)?,
                    attempts,
                    last_error,
                })
            });
        self.outages.observe(observed, now)
    }
}

pub(crate) fn shut_down() -> Error {
    Error::own(
        ErrorKind::ShutDown,
        "the token provider was shut down and returns no more tokens",
    )
}
