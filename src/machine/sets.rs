//! The open scope sets, and when each of them is due. The cost of finding the next one grows with the logarithm of
//! their number.

use std::collections::{BTreeMap, BTreeSet};

use super::input::SetId;
use super::set::SetState;
use crate::clock::Moment;

/// The open scope sets. The root is always open, and is looked at each time.
#[derive(Debug)]
pub(super) struct Sets {
    root: SetState,
    scoped: BTreeMap<SetId, Box<Scoped>>,
    /// When to look at each scope set besides the root, at the latest.
    due: BTreeSet<(Moment, SetId)>,
    /// Those that may have changed since `due` was updated.
    changed: Vec<SetId>,
}

/// A scope set besides the root.
#[derive(Debug)]
struct Scoped {
    state: SetState,
    due_at: Option<Moment>,
    is_changed: bool,
}

impl Sets {
    pub(super) const fn new(root: SetState) -> Self {
        Self {
            root,
            scoped: BTreeMap::new(),
            due: BTreeSet::new(),
            changed: Vec::new(),
        }
    }

    pub(super) const fn root(&self) -> &SetState {
        &self.root
    }

    pub(super) const fn root_mut(&mut self) -> &mut SetState {
        &mut self.root
    }

    pub(super) fn get(&self, id: SetId) -> Option<&SetState> {
        if id == SetId::ROOT {
            return Some(&self.root);
        }
        self.scoped.get(&id).map(|scoped| &scoped.state)
    }

    /// Returns the scope set, which may change.
    pub(super) fn get_mut(&mut self, id: SetId) -> Option<&mut SetState> {
        if id == SetId::ROOT {
            return Some(&mut self.root);
        }
        let scoped = self.scoped.get_mut(&id)?;
        scoped.changes(id, &mut self.changed);
        Some(&mut scoped.state)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (SetId, &SetState)> {
        let scoped = self.scoped.iter().map(|(id, scoped)| (*id, &scoped.state));
        std::iter::once((SetId::ROOT, &self.root)).chain(scoped)
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &SetState> {
        self.iter().map(|(_, set)| set)
    }

    /// Returns the scope sets, all of which may change.
    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut SetState> {
        let changed = &mut self.changed;
        let scoped = self.scoped.iter_mut().map(|(id, scoped)| {
            scoped.changes(*id, changed);
            &mut scoped.state
        });
        std::iter::once(&mut self.root).chain(scoped)
    }

    /// Opens the scope set unless it is open.
    pub(super) fn open(&mut self, id: SetId, state: impl FnOnce() -> SetState) {
        if id == SetId::ROOT || self.scoped.contains_key(&id) {
            return;
        }
        let mut scoped = Box::new(Scoped {
            state: state(),
            due_at: None,
            is_changed: false,
        });
        scoped.changes(id, &mut self.changed);
        self.scoped.insert(id, scoped);
    }

    /// Closes a scope set besides the root.
    pub(super) fn close(&mut self, id: SetId) {
        let scoped = self.scoped.remove(&id);
        if let Some(due_at) = scoped.and_then(|scoped| scoped.due_at) {
            self.due.remove(&(due_at, id));
        }
    }

    /// Returns how many scope sets are open besides the root.
    pub(super) fn scoped(&self) -> usize {
        self.scoped.len()
    }

    /// Returns the root, and those of the others that may have changed or are due.
    pub(super) fn to_look_at(&self, now: Moment) -> impl Iterator<Item = SetId> {
        let due = self.due.iter().take_while(move |(at, _)| *at <= now);
        let others = self.changed.iter().copied().chain(due.map(|(_, id)| *id));
        std::iter::once(SetId::ROOT).chain(others)
    }

    /// Updates when the scope sets that may have changed are due.
    pub(super) fn update(
        &mut self,
        mut due_at: impl FnMut(SetId, &mut SetState) -> Option<Moment>,
    ) {
        for id in std::mem::take(&mut self.changed) {
            let Some(scoped) = self.scoped.get_mut(&id) else {
                continue;
            };
            scoped.is_changed = false;
            let before = std::mem::replace(&mut scoped.due_at, due_at(id, &mut scoped.state));
            if before != scoped.due_at {
                before.map(|at| self.due.remove(&(at, id)));
                scoped.due_at.map(|at| self.due.insert((at, id)));
            }
        }
    }

    /// Returns which scope set besides the root is due first, and when.
    pub(super) fn first_due(&self) -> Option<(Moment, SetId)> {
        self.due.first().copied()
    }
}

impl Scoped {
    fn changes(&mut self, id: SetId, changed: &mut Vec<SetId>) {
        if !std::mem::replace(&mut self.is_changed, true) {
            changed.push(id);
        }
    }
}
