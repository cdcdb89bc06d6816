//! What everbearer uses of arc-swap. Each operation is atomic, and others may run before it and
//! after it.

use std::ops::Deref;
use std::sync::{Arc, PoisonError};

use shuttle::sync::{Mutex, MutexGuard};

#[derive(Debug)]
pub struct ArcSwapOption<T>(Mutex<Option<Arc<T>>>);

#[derive(Debug)]
pub struct Guard<T>(T);

impl<T> ArcSwapOption<T> {
    pub fn load(&self) -> Guard<Option<Arc<T>>> {
        Guard(self.load_full())
    }

    pub fn load_full(&self) -> Option<Arc<T>> {
        self.lock().clone()
    }

    pub fn store(&self, value: Option<Arc<T>>) {
        drop(self.swap(value));
    }

    pub fn swap(&self, value: Option<Arc<T>>) -> Option<Arc<T>> {
        std::mem::replace(&mut *self.lock(), value)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<T>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Default for ArcSwapOption<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<T> Deref for Guard<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}
