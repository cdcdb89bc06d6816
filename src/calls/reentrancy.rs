//! On whose behalf an issuer or a store is working, so that it does not wait for itself.

use std::future::Future;

tokio::task_local! {
    static WORKING_FOR: usize;
}

/// Returns whether this is called from within a call on behalf of the provider with this key.
pub(crate) fn is_within(key: usize) -> bool {
    WORKING_FOR.try_with(|working_for| *working_for == key) == Ok(true)
}

/// Runs work on behalf of the provider with this key, within which [`is_within`] says so.
pub(crate) fn working_for<T>(key: usize, work: impl Future<Output = T>) -> impl Future<Output = T> {
    WORKING_FOR.scope(key, work)
}
