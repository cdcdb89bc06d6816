//! Detects calls that an issuer or store makes to its own provider.

use std::future::Future;

tokio::task_local! {
    static WORKING_FOR: usize;
}

/// Returns whether the caller runs within a call of the provider with this key.
pub(crate) fn is_within(key: usize) -> bool {
    WORKING_FOR.try_with(|working_for| *working_for == key) == Ok(true)
}

/// Runs work of the provider with this key. Within it, [`is_within`] returns true for the key.
pub(crate) fn working_for<T>(key: usize, work: impl Future<Output = T>) -> impl Future<Output = T> {
    WORKING_FOR.scope(key, work)
}
