//! The open scope sets, ordered by the time at which each is due.

use std::collections::{BTreeMap, BTreeSet};

use super::input::SetId;
use super::set::SetState;
use crate::clock::Moment;

/// The open scope sets. The root is always open, and `poll` looks at it each time.
#[derive(Debug)]
pub(super) struct Sets {
    root: SetState,
    scoped: BTreeMap<SetId, Box<Scoped>>,
    /// The latest time at which `poll` must look at each scope set besides the root.
    due: BTreeSet<(Moment, SetId)>,
    /// The scope sets besides the root that may have changed since `due` was updated.
    changed: Vec<SetId>,
    /// The scope sets besides the root for which `due` was updated since the engine last asked.
    updated: Vec<SetId>,
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
            updated: Vec::new(),
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

    /// Notes a use of the scope set, which postpones only the end of its idle timeout. Returns whether it is later than
    /// the last one.
    pub(super) fn used(&mut self, id: SetId, at: Moment) -> bool {
        let set = match id {
            SetId::ROOT => Some(&mut self.root),
            _ => self.scoped.get_mut(&id).map(|scoped| &mut scoped.state),
        };
        set.is_some_and(|set| set.used(at))
    }

    /// Changes all scope sets. `change` returns whether it has changed one.
    pub(super) fn change_each(&mut self, mut change: impl FnMut(&mut SetState) -> bool) {
        change(&mut self.root);
        for (id, scoped) in &mut self.scoped {
            if change(&mut scoped.state) {
                scoped.changes(*id, &mut self.changed);
            }
        }
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
            self.updated.push(id);
            let before = std::mem::replace(&mut scoped.due_at, due_at(id, &mut scoped.state));
            if before != scoped.due_at {
                before.map(|at| self.due.remove(&(at, id)));
                scoped.due_at.map(|at| self.due.insert((at, id)));
            }
        }
    }

    /// Returns the scope sets besides the root that may have changed since the last call.
    pub(super) fn take_updated(&mut self) -> impl Iterator<Item = SetId> {
        self.updated.drain(..)
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
