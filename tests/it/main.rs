//! What is owed to users, one file per section of behaviours; tests carry the behaviour's ID.

#![allow(
    clippy::pedantic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test that panics is a test that fails, and it may look at any clock"
)]

mod architecture;
mod circles;
mod support;

mod answers;
mod auth_server;
mod contract;
#[cfg(all(unix, feature = "reqwest-middleware"))]
mod daemon;
#[cfg(feature = "reqwest-middleware")]
mod denials;
#[cfg(feature = "reqwest-middleware")]
mod destinations;
mod echoes;
mod failing;
#[cfg(unix)]
mod file_store;
mod grants;
mod lifetimes;
mod measuring;
mod observing;
mod one_flight;
mod outages;
mod panicking;
mod plain_http;
mod repeated;
#[cfg(feature = "reqwest-middleware")]
mod resending;
mod rotating;
mod runtimes;
mod scenarios;
mod scopes;
mod scripted_issuer;
#[cfg(unix)]
mod secret_files;
mod shared_memory_store;
mod shown;
mod shutting_down;
#[cfg(all(target_os = "linux", feature = "reqwest-middleware"))]
mod suspended;
mod windows;
mod wire;
#[cfg(target_os = "linux")]
mod zeroizing;
