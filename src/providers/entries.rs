//! The providers by key: which are there, which were used last, and which are shutting down.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OnceCell;

use crate::error::{Error, ErrorKind};
use crate::provider::TokenProvider;

/// A provider, once it is built.
pub(super) type Cell = Arc<OnceCell<TokenProvider>>;

/// The number of ticks without a use after which a provider is idle.
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
    /// The cell of a provider to build.
    Cell(Cell),
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
    pub(super) fn find<Q>(&self, key: &Q, most: usize) -> Result<Found, Error>
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Ord + ?Sized,
    {
        let state = &mut *self.lock();
        if state.is_shut_down {
            return Err(shut_down());
        }
        state.uses += 1;
        let last_use = (state.tick, state.uses);
        if let Some(entry) = state.open.get_mut(key) {
            entry.last_use = last_use;
            match entry.cell.get() {
                // A handle outside has shut it down.
                Some(provider) if provider.has_stopped() => entry.cell = Cell::default(),
                Some(provider) => return Ok(Found::Provider(provider.clone())),
                None => {}
            }
            return Ok(Found::Cell(Arc::clone(&entry.cell)));
        }
        if state.open.len() >= most {
            state.open.retain(|_, entry| !entry.is_abandoned());
        }
        if state.open.len() >= most && state.least_recently_used().is_none() {
            return Err(too_many(most));
        }
        let cell = Cell::default();
        let entry = Entry {
            cell: Arc::clone(&cell),
            last_use,
        };
        state.open.insert(key.to_owned(), entry);
        Ok(Found::Cell(cell))
    }

    /// Removes providers that are not in use until there are at most so many, and returns them. Called after a build,
    /// so that a build that fails evicts no provider.
    pub(super) fn evict(&self, most: usize) -> Vec<TokenProvider> {
        let state = &mut *self.lock();
        state.leaving.retain(|(_, it)| !it.has_stopped());
        let mut evicted = Vec::new();
        while state.open.len() > most
            && let Some(key) = state.least_recently_used()
            && let Some(provider) = state.open.remove(&key).and_then(Entry::into_provider)
        {
            state.leaving.push((key, provider.clone()));
            evicted.push(provider);
        }
        evicted
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
            if !entry.is_unused() {
                entry.last_use.0 = tick;
            }
            let is_idle = entry.last_use.0 + TICKS <= tick;
            if let Some(provider) = entry.cell.get().filter(|_| is_idle) {
                state.leaving.push((key.clone(), provider.clone()));
                removed.push(provider.clone());
            }
            !is_idle && !entry.is_abandoned()
        });
        removed
    }

    /// Returns the providers of this key that shut down.
    pub(super) fn leaving<Q>(&self, key: &Q) -> Vec<TokenProvider>
    where
        K: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        let state = self.lock();
        let leaving = state.leaving.iter().filter(|(it, _)| it.borrow() == key);
        leaving.map(|(_, provider)| provider.clone()).collect()
    }

    pub(super) fn remove<Q>(&self, key: &Q) -> Option<TokenProvider>
    where
        K: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        let mut state = self.lock();
        let provider = state.open.get(key)?.cell.get()?.clone();
        let (key, _) = state.open.remove_entry(key)?;
        state.leaving.push((key, provider.clone()));
        Some(provider)
    }

    /// Returns the cells, which are no handles: a provider is not in use for being looked at.
    pub(super) fn cells(&self) -> Vec<(K, Cell)> {
        let state = self.lock();
        let open = state.open.iter();
        open.map(|(key, entry)| (key.clone(), Arc::clone(&entry.cell)))
            .collect()
    }

    pub(super) fn cell<Q>(&self, key: &Q) -> Option<Cell>
    where
        K: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        let state = self.lock();
        Some(Arc::clone(&state.open.get(key)?.cell))
    }

    /// Fails after the shutdown.
    pub(super) fn check_running(&self) -> Result<(), Error> {
        if self.lock().is_shut_down {
            return Err(shut_down());
        }
        Ok(())
    }

    /// Allows no further provider, and returns all of them, those that shut down included.
    pub(super) fn shut_down(&self) -> Vec<(K, TokenProvider)> {
        let mut state = self.lock();
        state.is_shut_down = true;
        let mut providers = state.providers();
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
    fn providers(&self) -> Vec<(K, TokenProvider)> {
        let built = |(key, entry): (&K, &Entry)| Some((key.clone(), entry.cell.get()?.clone()));
        self.open.iter().filter_map(built).collect()
    }

    /// Returns the key of the provider that was used least recently and is not in use.
    fn least_recently_used(&self) -> Option<K> {
        let unused = self.open.iter().filter(|(_, entry)| entry.is_unused());
        let (key, _) = unused.min_by_key(|(_, entry)| entry.last_use)?;
        Some(key.clone())
    }
}

impl Entry {
    fn into_provider(self) -> Option<TokenProvider> {
        self.cell.get().cloned()
    }

    /// Returns whether the provider is built, and no handle to it exists outside.
    fn is_unused(&self) -> bool {
        self.cell.get().is_some_and(|it| !it.has_other_handles())
    }

    /// Returns whether the callers have gone that were to build the provider.
    fn is_abandoned(&self) -> bool {
        self.cell.get().is_none() && Arc::strong_count(&self.cell) == 1
    }
}

fn shut_down() -> Error {
    Error::own(
        ErrorKind::ShutDown,
        "the token providers were shut down and return no more providers",
    )
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
