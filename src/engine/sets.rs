//! The scope sets of a provider, and the outcomes of their exchanges.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};

use super::scope_set::ScopeSet;
use super::swap::Swap;
use crate::calls::Minted;
use crate::error::Error;
use crate::machine::SetId;
use crate::observe::Metrics;
use crate::token::ShortTermToken;

/// Below this number of scope sets, `of` does not search for scope sets that no handle holds.
const FEW: usize = 16;

#[derive(Debug)]
pub(crate) struct ScopeSets {
    /// The scope set of the provider's own scopes, which is always open.
    root: Open,
    /// The open scope sets besides the root. Boxed, since each node of a `BTreeMap` has room for eleven values.
    scoped: BTreeMap<SetId, Box<Open>>,
    /// Every scope set besides the root that a handle holds, open or not. The same scopes never have a second one.
    known: BTreeMap<Arc<[String]>, Weak<ScopeSet>>,
    /// The size of `known` at which `of` removes the scope sets that no handle holds.
    most_known: usize,
    /// How many scope sets were created besides the root.
    count: u64,
    /// The scope sets whose last exchange has failed.
    failing: BTreeSet<SetId>,
    /// The scope sets besides the root that may have changed since their gauges were updated.
    unmeasured: BTreeSet<SetId>,
}

/// An open scope set.
#[derive(Debug)]
struct Open {
    set: Arc<ScopeSet>,
    /// The token that has arrived, and that is accepted once the long-term token is stored that came with it.
    arrived: Option<Box<Minted>>,
    /// The token that will replace the one in use.
    upcoming: Option<Box<Swap>>,
    /// How many exchanges have ended.
    attempts: u64,
    /// Why the last one failed, if it did.
    last_error: Option<Error>,
}

impl ScopeSets {
    pub(crate) fn new(root: &Arc<ScopeSet>) -> Self {
        Self {
            root: Open::new(root),
            scoped: BTreeMap::new(),
            known: BTreeMap::new(),
            most_known: FEW,
            count: 0,
            failing: BTreeSet::new(),
            unmeasured: BTreeSet::new(),
        }
    }

    /// Returns the scope set of the provider's own scopes.
    pub(crate) fn root(&self) -> Arc<ScopeSet> {
        Arc::clone(&self.root.set)
    }

    /// Returns the scope set of these scopes, which need not be open.
    pub(crate) fn of(&mut self, scopes: Arc<[String]>) -> Arc<ScopeSet> {
        if scopes == self.root.set.scopes {
            return self.root();
        }
        if let Some(set) = self.known.get(&scopes).and_then(Weak::upgrade) {
            return set;
        }
        if self.known.len() >= self.most_known {
            self.known.retain(|_, set| set.strong_count() > 0);
            self.most_known = FEW.max(self.known.len() * 2);
        }
        self.count += 1;
        let set = ScopeSet::new(SetId(self.count), Arc::clone(&scopes));
        self.known.insert(scopes, Arc::downgrade(&set));
        set
    }

    pub(crate) fn open(&self) -> impl Iterator<Item = &Arc<ScopeSet>> {
        self.values().map(|open| &open.set)
    }

    /// Returns this scope set if it is open.
    pub(crate) fn get(&self, set: SetId) -> Option<&Arc<ScopeSet>> {
        self.open_set(set).map(|open| &open.set)
    }

    pub(crate) fn insert(&mut self, set: &Arc<ScopeSet>) {
        self.scoped.insert(set.id, Box::new(Open::new(set)));
    }

    /// Closes a scope set besides the root. Returns the scope set with the token in use and the token that waits to be
    /// published.
    pub(crate) fn close(&mut self, set: SetId) -> Option<(Arc<ScopeSet>, Vec<ShortTermToken>)> {
        self.failing.remove(&set);
        let open = self.scoped.remove(&set)?;
        let tokens = open.tokens().collect();
        Some((open.set, tokens))
    }

    /// Notes that this scope set may have changed.
    pub(crate) fn note_change(&mut self, set: SetId) {
        if Metrics::ON && set != SetId::ROOT {
            self.unmeasured.insert(set);
        }
    }

    /// Returns the scope sets that may have changed since this was last called, and the root, whose gauges are also those
    /// of the provider.
    pub(crate) fn take_changed(&mut self) -> Vec<Arc<ScopeSet>> {
        let changed = std::mem::take(&mut self.unmeasured);
        let changed = changed.iter().filter_map(|set| self.get(*set).cloned());
        std::iter::once(self.root()).chain(changed).collect()
    }

    /// Notes that an exchange of this scope set has ended, after the input to the machine.
    pub(crate) fn note_attempt(&mut self, set: SetId, error: Option<Error>) {
        if let Some(open) = self.open_set_mut(set) {
            open.attempts += 1;
            open.last_error = error;
            self.note_whether_failing(set);
        }
    }

    /// Records an error for `Status` only; callers continue to wait.
    pub(crate) fn note_error(&mut self, set: SetId, error: Error) {
        if let Some(open) = self.open_set_mut(set) {
            open.last_error = Some(error);
            self.note_whether_failing(set);
        }
    }

    fn note_whether_failing(&mut self, set: SetId) {
        if self.last_error(set).is_some() {
            self.failing.insert(set);
        } else {
            self.failing.remove(&set);
        }
    }

    /// Returns the scope sets whose last exchange has failed.
    pub(crate) const fn failing(&self) -> &BTreeSet<SetId> {
        &self.failing
    }

    pub(crate) fn last_error(&self, set: SetId) -> Option<&Error> {
        self.open_set(set)?.last_error.as_ref()
    }

    /// Returns how many exchanges of this scope set have ended.
    pub(crate) fn attempts_of(&self, set: SetId) -> u64 {
        self.open_set(set).map_or(0, |open| open.attempts)
    }

    pub(crate) fn note_arrived(&mut self, set: SetId, minted: Minted) {
        if let Some(open) = self.open_set_mut(set) {
            open.arrived = Some(Box::new(minted));
        }
    }

    pub(crate) fn take_arrived(&mut self, set: SetId) -> Option<(Arc<ScopeSet>, Minted)> {
        let open = self.open_set_mut(set)?;
        Some((Arc::clone(&open.set), *open.arrived.take()?))
    }

    pub(crate) fn note_upcoming(&mut self, set: SetId, swap: Swap) {
        if let Some(open) = self.open_set_mut(set) {
            open.upcoming = Some(Box::new(swap));
        }
    }

    pub(crate) fn take_upcoming(&mut self, set: SetId) -> Option<(Arc<ScopeSet>, Swap)> {
        let open = self.open_set_mut(set)?;
        Some((Arc::clone(&open.set), *open.upcoming.take()?))
    }

    pub(crate) fn forget_upcoming(&mut self) {
        self.unmeasured.clear();
        self.root.upcoming = None;
        for open in self.scoped.values_mut() {
            open.upcoming = None;
        }
    }

    pub(crate) fn generations_in_use(&self) -> Vec<u64> {
        let published = self.open().filter_map(|set| set.current.load());
        published.map(|it| it.window.generation.0).collect()
    }

    /// Returns the short-term tokens that open scope sets use, or will use next.
    pub(crate) fn tokens_in_use(&self) -> impl Iterator<Item = ShortTermToken> {
        self.values().flat_map(Open::tokens)
    }

    /// Returns the open scope set that uses this token, or will use it next.
    pub(crate) fn user_of(&self, token: &ShortTermToken) -> Option<SetId> {
        let mut open = self.values();
        let uses = open.find(|open| open.tokens().any(|used| used.is_same(token)));
        uses.map(|open| open.set.id)
    }

    fn values(&self) -> impl Iterator<Item = &Open> {
        std::iter::once(&self.root).chain(self.scoped.values().map(|open| &**open))
    }

    fn open_set(&self, set: SetId) -> Option<&Open> {
        if set == SetId::ROOT {
            return Some(&self.root);
        }
        self.scoped.get(&set).map(|open| &**open)
    }

    fn open_set_mut(&mut self, set: SetId) -> Option<&mut Open> {
        if set == SetId::ROOT {
            return Some(&mut self.root);
        }
        self.scoped.get_mut(&set).map(|open| &mut **open)
    }
}

impl Open {
    fn new(set: &Arc<ScopeSet>) -> Self {
        Self {
            set: Arc::clone(set),
            arrived: None,
            upcoming: None,
            attempts: 0,
            last_error: None,
        }
    }

    /// Returns the token in use and those that will replace it.
    fn tokens(&self) -> impl Iterator<Item = ShortTermToken> {
        let present = self.set.current.load().map(|present| present.token.clone());
        let upcoming = self.upcoming.as_ref().map(|it| it.token.clone());
        let arrived = self.arrived.as_ref().map(|it| it.token.clone());
        present.into_iter().chain(upcoming).chain(arrived)
    }
}
