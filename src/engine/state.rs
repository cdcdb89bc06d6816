//! The state under the engine lock. It survives a driver whose runtime is dropped.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::live::{LiveToken, LiveTokens, Unknown};
use super::outage::{Observed, Outages};
use super::revocation_hints::RevocationHints;
use super::scope_set::ScopeSet;
use super::sets::ScopeSets;
use crate::clock::{Moment, Now};
use crate::error::{Error, ErrorKind};
use crate::machine::{Action, Input, LongTerm, Machine, SetAction, SetId};
use crate::observe::Event;
use crate::policy::Policies;
use crate::store::Lease;
use crate::token::{LongTermToken, ShortTermToken};

#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) machine: Machine,
    pub(crate) driven: bool,
    /// The lease of the store, while it is held.
    pub(crate) lease: Option<Lease>,
    pub(crate) live: LiveTokens,
    pub(crate) unknown: Vec<Unknown>,
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

impl Engine {
    pub(crate) fn new(
        policies: Arc<Policies>,
        root: &Arc<ScopeSet>,
        long_term: Option<LongTerm>,
        seed: u64,
        now: Moment,
    ) -> Self {
        Self {
            machine: Machine::new(policies, long_term, seed, now),
            driven: false,
            lease: None,
            live: LiveTokens::default(),
            unknown: Vec::new(),
            outages: Outages::default(),
            shutdown_began: None,
            revocation_hints: RevocationHints::default(),
            is_undone_told: false,
            sets: ScopeSets::new(root),
            evicted: BTreeMap::new(),
        }
    }

    /// Returns the next action. Closes a retired scope set under the same lock.
    pub(crate) fn poll(&mut self, now: Now) -> (Action, Option<Retired>) {
        let sets = &self.sets;
        let last_use = |set| Some(sets.get(set)?.last_use(now.at));
        let action = self.machine.poll_with(now, &last_use);
        for set in self.machine.take_updated() {
            self.sets.note_change(set);
        }
        let retired = match action {
            Action::ForSet(SetAction::Retire(set)) => self.close(set, now.at),
            Action::ForSet(SetAction::RevokeEvicted(set)) => self.evicted.remove(&set),
            _ => None,
        };
        (action, retired)
    }

    /// Notes for all scope sets when they were last used.
    pub(super) fn note_uses(&mut self, now: Moment) {
        let open: Vec<SetId> = self.sets.open().map(|set| set.id).collect();
        for set in open {
            self.note_use(set, now);
        }
    }

    /// Notes when this scope set was last used.
    fn note_use(&mut self, set: SetId, now: Moment) {
        if let Some(set) = self.sets.get(set) {
            (self.machine).handle(Input::Used(set.id), set.last_use(now));
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

    /// Returns the short-term token that can repeat the request for the next long-term token, if it is stored for a later
    /// process.
    pub(crate) fn stored_authority(&self) -> Option<ShortTermToken> {
        let rules = self.machine.long_term()?;
        rules.stored_authority().cloned()
    }

    /// Returns the tokens to revoke: those that no open scope set uses, that no later process may need, and that the driver
    /// will not revoke for an evicted scope set. Assigns each token that an open scope set uses to that scope set. A server may return one token
    /// for several scope sets.
    pub(crate) fn unused(
        &mut self,
        tokens: impl IntoIterator<Item = ShortTermToken>,
    ) -> Vec<ShortTermToken> {
        let mut unused = Vec::new();
        for token in tokens {
            let mut evicted = self.evicted.values().flat_map(|evicted| &evicted.left);
            let authority = self.stored_authority();
            match self.sets.user_of(&token) {
                _ if authority.is_some_and(|it| it.is_same(&token)) => {}
                Some(set) => self.live.give(&token, set),
                None if evicted.any(|minted| minted.token.is_same(&token)) => {}
                None => unused.push(token),
            }
        }
        unused
    }

    /// Returns all long-term tokens.
    pub(crate) fn long_term_tokens(&self) -> Vec<LongTermToken> {
        let long_term = self.machine.long_term();
        long_term
            .into_iter()
            .flat_map(LongTerm::tokens)
            .cloned()
            .collect()
    }

    /// Returns the long-term token in use.
    pub(crate) fn long_term(&self) -> Option<&LongTermToken> {
        self.machine.long_term()?.current()
    }

    /// Drops all tokens after the shutdown.
    pub(crate) fn forget_tokens(&mut self, now: Moment) {
        self.live = LiveTokens::default();
        self.unknown = Vec::new();
        self.evicted = BTreeMap::new();
        self.machine.drop_tokens(now);
        self.sets.forget_upcoming();
    }

    /// Returns what to tell observers of the outages, and when to look again at the latest.
    pub(crate) fn observe_outages(&mut self, now: Moment) -> (Vec<Event>, Option<Moment>) {
        if !self.machine.is_running() {
            return (Vec::new(), None);
        }
        let sets: BTreeSet<SetId> = self
            .outages
            .sets()
            .chain(self.sets.failing().iter().copied())
            .collect();
        for set in &sets {
            self.note_use(*set, now);
        }
        let (machine, open) = (&self.machine, &self.sets);
        let observed = sets.iter().filter_map(|&set| {
            Some(Observed {
                scope_set: open.get(set)?,
                health: machine.health(set, now)?,
                attempts: open.attempts_of(set),
                last_error: open.last_error(set),
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
