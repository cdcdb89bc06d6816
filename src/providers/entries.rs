//! The providers by key: which are there, which were used last, and which are shutting down.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OnceCell;

use crate::error::{Error, ErrorKind};
use crate::provider::TokenProvider;

/// A provider, once it is built.
pub(super) type Cell = Arc<OnceCell<TokenProvider>>;

/// An idle provider is shut down when so many ticks have passed since its last use.
pub(super) const TICKS: u64 = 8;

pub(super) struct Entries<K>(Mutex<State<K>>);

struct State<K> {
    open: BTreeMap<K, Entry>,
    /// Those that shut down.
    leaving: Vec<(K, TokenProvider)>,
    tick: u64,
    /// Counts the uses, so that the order of two in one tick is known.
    uses: u64,
    is_shut_down: bool,
    is_swept: bool,
}

struct Entry {
    cell: Cell,
    /// The tick of the last use, and which use it was.
    last_use: (u64, u64),
}

/// What there is for a key.
pub(super) enum Found {
    Provider(TokenProvider),
    /// A provider to build, and one that was evicted for it.
    Cell(Cell, Option<TokenProvider>),
}

impl<K> Default for Entries<K> {
    fn default() -> Self {
        Self(Mutex::new(State {
            open: BTreeMap::new(),
            leaving: Vec::new(),
            tick: 0,
            uses: 0,
            is_shut_down: false,
            is_swept: false,
        }))
    }
}

impl<K: Clone + Ord> Entries<K> {
    fn lock(&self) -> MutexGuard<'_, State<K>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the provider, or the cell in which it is built.
    pub(super) fn find(&self, key: &K, most: usize) -> Result<Found, Error> {
        let state = &mut *self.lock();
        if state.is_shut_down {
            return Err(Error::own(
                ErrorKind::ShutDown,
                "the providers were shut down",
            ));
        }
        state.uses += 1;
        let last_use = (state.tick, state.uses);
        if let Some(entry) = state.open.get_mut(key) {
            entry.last_use = last_use;
            return Ok(match entry.cell.get() {
                Some(provider) => Found::Provider(provider.clone()),
                None => Found::Cell(Arc::clone(&entry.cell), None),
            });
        }
        let evicted = if state.open.len() < most {
            None
        } else {
            Some(state.evict().ok_or_else(|| too_many(most))?)
        };
        let cell = Cell::default();
        let entry = Entry {
            cell: Arc::clone(&cell),
            last_use,
        };
        state.open.insert(key.clone(), entry);
        Ok(Found::Cell(cell, evicted))
    }

    /// Forgets a cell in which no provider was built.
    pub(super) fn forget(&self, key: &K, cell: &Cell) {
        let mut state = self.lock();
        let entry = state.open.get(key);
        if entry.is_some_and(|it| Arc::ptr_eq(&it.cell, cell) && it.cell.get().is_none()) {
            state.open.remove(key);
        }
    }

    /// Removes the providers that are idle and not in use, and returns them.
    pub(super) fn sweep(&self) -> Vec<TokenProvider> {
        let state = &mut *self.lock();
        state.tick += 1;
        state
            .leaving
            .retain(|(_, provider)| !provider.has_stopped());
        let tick = state.tick;
        let mut removed = Vec::new();
        state.open.retain(|key, entry| {
            let is_idle = entry.last_use.0 + TICKS <= tick && entry.is_unused();
            if let Some(provider) = entry.cell.get().filter(|_| is_idle) {
                state.leaving.push((key.clone(), provider.clone()));
                removed.push(provider.clone());
            }
            !is_idle
        });
        removed
    }

    /// Returns the providers of this key that shut down.
    pub(super) fn leaving(&self, key: &K) -> Vec<TokenProvider> {
        let state = self.lock();
        let leaving = state.leaving.iter().filter(|(it, _)| it == key);
        leaving.map(|(_, provider)| provider.clone()).collect()
    }

    pub(super) fn remove(&self, key: &K) -> Option<TokenProvider> {
        let mut state = self.lock();
        let provider = state.open.get(key)?.cell.get()?.clone();
        state.open.remove(key);
        state.leaving.push((key.clone(), provider.clone()));
        Some(provider)
    }

    pub(super) fn providers(&self) -> Vec<(K, TokenProvider)> {
        let state = self.lock();
        let open = state.open.iter();
        open.filter_map(|(key, entry)| Some((key.clone(), entry.cell.get()?.clone())))
            .collect()
    }

    /// Allows no further provider, and returns all of them, those that shut down included.
    pub(super) fn shut_down(&self) -> Vec<(K, TokenProvider)> {
        let mut providers = self.providers();
        let mut state = self.lock();
        state.is_shut_down = true;
        providers.extend(state.leaving.iter().cloned());
        providers
    }

    /// Returns whether no task looks for idle providers; the caller then starts one.
    pub(super) fn begin_sweeping(&self) -> bool {
        !std::mem::replace(&mut self.lock().is_swept, true)
    }

    pub(super) fn end_sweeping(&self) {
        self.lock().is_swept = false;
    }
}

impl<K: Clone + Ord> State<K> {
    /// Removes the provider that was used least recently and is not in use.
    fn evict(&mut self) -> Option<TokenProvider> {
        let unused = self.open.iter().filter(|(_, entry)| entry.is_unused());
        let (key, _) = unused.min_by_key(|(_, entry)| entry.last_use)?;
        let key = key.clone();
        let provider = self.open.remove(&key)?.cell.get()?.clone();
        self.leaving.push((key, provider.clone()));
        Some(provider)
    }
}

impl Entry {
    /// Returns whether the provider is built, and no handle to it exists outside.
    fn is_unused(&self) -> bool {
        self.cell.get().is_some_and(|it| !it.has_other_handles())
    }
}

fn too_many(most: usize) -> Error {
    Error::own(
        ErrorKind::TooManyProviders,
        format!(
            "all {most} providers that TokenProviders::max_providers allows are in use; drop handles, or raise \
             max_providers"
        ),
    )
}
