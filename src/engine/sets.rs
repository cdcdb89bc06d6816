//! The scope sets of a provider, and the outcomes of their exchanges.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Weak};

use super::scope_set::ScopeSet;
use super::swap::Swap;
use crate::calls::Minted;
use crate::error::Error;
use crate::machine::{Machine, Outline, SetId};
use crate::token::ShortTermToken;

#[derive(Debug)]
pub(crate) struct ScopeSets {
    root: Arc<ScopeSet>,
    /// Boxed, since each node of a `BTreeMap` has room for eleven values.
    open: BTreeMap<SetId, Box<Open>>,
    /// Every scope set that a handle holds, open or not. The same scopes never have a second one.
    known: HashMap<Arc<[String]>, Weak<ScopeSet>>,
    /// How many scope sets were created besides the root.
    count: u64,
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
    /// The outline of the scope set when its gauges were last updated.
    measured: Option<Outline>,
}

impl ScopeSets {
    /// Begins with the root, which is open.
    pub(crate) fn new(root: &Arc<ScopeSet>) -> Self {
        let known = (Arc::clone(&root.scopes), Arc::downgrade(root));
        let mut sets = Self {
            root: Arc::clone(root),
            open: BTreeMap::new(),
            known: HashMap::from([known]),
            count: 0,
        };
        sets.insert(root);
        sets
    }

    /// Returns the scope set of the provider's own scopes.
    pub(crate) fn root(&self) -> Arc<ScopeSet> {
        Arc::clone(&self.root)
    }

    /// Returns the scope set of these scopes, which need not be open.
    pub(crate) fn of(&mut self, scopes: Arc<[String]>) -> Arc<ScopeSet> {
        if let Some(set) = self.known.get(&scopes).and_then(Weak::upgrade) {
            return set;
        }
        self.known.retain(|_, set| set.strong_count() > 0);
        self.count += 1;
        let set = ScopeSet::new(SetId(self.count), Arc::clone(&scopes));
        self.known.insert(scopes, Arc::downgrade(&set));
        set
    }

    pub(crate) fn open(&self) -> impl Iterator<Item = &Arc<ScopeSet>> {
        self.open.values().map(|open| &open.set)
    }

    pub(crate) fn insert(&mut self, set: &Arc<ScopeSet>) {
        let open = Open {
            set: Arc::clone(set),
            arrived: None,
            upcoming: None,
            attempts: 0,
            last_error: None,
            measured: None,
        };
        self.open.insert(set.id, Box::new(open));
    }

    /// Closes a scope set. Returns it with the token in use and the one that would have replaced it.
    pub(crate) fn close(&mut self, set: SetId) -> Option<(Arc<ScopeSet>, Vec<ShortTermToken>)> {
        let open = self.open.remove(&set)?;
        let tokens = open.tokens().collect();
        Some((open.set, tokens))
    }

    /// Returns the scope sets that have changed since their gauges were last updated, and the root, whose gauges are
    /// also those of the provider.
    pub(crate) fn changed(&mut self, machine: &Machine) -> Vec<Arc<ScopeSet>> {
        let mut changed = Vec::new();
        for (&id, open) in &mut self.open {
            let outline = machine.outline(id);
            if open.measured != outline || id == SetId::ROOT {
                open.measured = outline;
                changed.push(Arc::clone(&open.set));
            }
        }
        changed
    }

    /// Notes that an exchange of this scope set has ended, after the input to the machine.
    pub(crate) fn note_attempt(&mut self, set: SetId, error: Option<Error>) {
        if let Some(open) = self.open.get_mut(&set) {
            open.attempts += 1;
            open.last_error = error;
        }
    }

    /// Records an error for `Status` only; callers continue to wait.
    pub(crate) fn note_error(&mut self, set: SetId, error: Error) {
        if let Some(open) = self.open.get_mut(&set) {
            open.last_error = Some(error);
        }
    }

    pub(crate) fn last_error(&self, set: SetId) -> Option<&Error> {
        self.open.get(&set)?.last_error.as_ref()
    }

    /// Returns how many exchanges of this scope set have ended.
    pub(crate) fn attempts_of(&self, set: SetId) -> u64 {
        self.open.get(&set).map_or(0, |open| open.attempts)
    }

    /// Returns each open scope set, how many of its exchanges have ended, and why the last one failed, if it did.
    pub(crate) fn attempts(&self) -> impl Iterator<Item = (&Arc<ScopeSet>, u64, Option<&Error>)> {
        let open = self.open.values();
        open.map(|open| (&open.set, open.attempts, open.last_error.as_ref()))
    }

    pub(crate) fn note_arrived(&mut self, set: SetId, minted: Minted) {
        if let Some(open) = self.open.get_mut(&set) {
            open.arrived = Some(Box::new(minted));
        }
    }

    pub(crate) fn take_arrived(&mut self, set: SetId) -> Option<(Arc<ScopeSet>, Minted)> {
        let open = self.open.get_mut(&set)?;
        Some((Arc::clone(&open.set), *open.arrived.take()?))
    }

    pub(crate) fn note_upcoming(&mut self, set: SetId, swap: Swap) {
        if let Some(open) = self.open.get_mut(&set) {
            open.upcoming = Some(Box::new(swap));
        }
    }

    pub(crate) fn take_upcoming(&mut self, set: SetId) -> Option<(Arc<ScopeSet>, Swap)> {
        let open = self.open.get_mut(&set)?;
        Some((Arc::clone(&open.set), *open.upcoming.take()?))
    }

    pub(crate) fn forget_upcoming(&mut self) {
        for open in self.open.values_mut() {
            open.upcoming = None;
        }
    }

    pub(crate) fn generations_in_use(&self) -> Vec<u64> {
        let published = self.open().filter_map(|set| set.current.load());
        published.map(|it| it.window.generation.0).collect()
    }

    /// Returns the short-term tokens that open scope sets use, or will use next.
    pub(crate) fn tokens_in_use(&self) -> impl Iterator<Item = ShortTermToken> {
        self.open.values().flat_map(|open| open.tokens())
    }

    /// Returns the open scope set that uses this token, or will use it next.
    pub(crate) fn user_of(&self, token: &ShortTermToken) -> Option<SetId> {
        let mut open = self.open.values();
        let uses = open.find(|open| open.tokens().any(|used| used.is_same(token)));
        uses.map(|open| open.set.id)
    }
}

impl Open {
    /// Returns the token in use and those that will replace it.
    fn tokens(&self) -> impl Iterator<Item = ShortTermToken> {
        let present = self.set.current.load().map(|present| present.token.clone());
        let upcoming = self.upcoming.as_ref().map(|it| it.token.clone());
        let arrived = self.arrived.as_ref().map(|it| it.token.clone());
        present.into_iter().chain(upcoming).chain(arrived)
    }
}
