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
mod support;

#[cfg(all(feature = "auth-api", feature = "reqwest-middleware"))]
mod answers;
#[cfg(all(feature = "auth-api", feature = "reqwest-middleware"))]
mod auth_server;
mod blocking;
mod changing;
#[cfg(all(feature = "auth-api", feature = "reqwest-middleware"))]
mod contract;
#[cfg(all(unix, feature = "auth-api", feature = "reqwest-middleware"))]
mod daemon;
#[cfg(all(feature = "auth-api", feature = "reqwest-middleware"))]
mod denials;
#[cfg(all(feature = "auth-api", feature = "reqwest-middleware"))]
mod destinations;
#[cfg(all(feature = "auth-api", feature = "reqwest-middleware"))]
mod echoes;
mod failing;
#[cfg(unix)]
mod file_store;
#[cfg(all(feature = "auth-api", feature = "reqwest-middleware"))]
mod grants;
#[cfg(all(feature = "auth-api", feature = "reqwest-middleware"))]
mod lifetimes;
#[cfg(all(feature = "auth-api", feature = "reqwest-middleware"))]
mod measuring;
#[cfg(feature = "oauth2")]
mod oauth2;
#[cfg(all(feature = "auth-api", feature = "reqwest-middleware"))]
mod observing;
#[cfg(all(feature = "auth-api", feature = "reqwest-middleware"))]
mod one_flight;
mod outages;
mod panicking;
#[cfg(all(feature = "auth-api", feature = "reqwest-middleware"))]
mod plain_http;
mod repeated;
#[cfg(feature = "reqwest")]
mod reqwest_errors;
#[cfg(all(feature = "auth-api", feature = "reqwest-middleware"))]
mod resending;
#[cfg(all(feature = "auth-api", feature = "reqwest-middleware"))]
mod revoking;
#[cfg(all(feature = "auth-api", feature = "reqwest-middleware"))]
mod rotating;
mod runtimes;
mod scenarios;
#[cfg(all(feature = "auth-api", feature = "reqwest-middleware"))]
mod scopes;
mod scripted_issuer;
#[cfg(all(unix, feature = "auth-api", feature = "reqwest-middleware"))]
mod secret_files;
#[cfg(all(feature = "auth-api", feature = "reqwest-middleware"))]
mod shared_memory_store;
#[cfg(all(feature = "auth-api", feature = "reqwest-middleware"))]
mod shown;
#[cfg(all(feature = "auth-api", feature = "reqwest-middleware"))]
mod shutting_down;
#[cfg(all(
    target_os = "linux",
    feature = "auth-api",
    feature = "reqwest-middleware"
))]
mod suspended;
mod tenants;
#[cfg(feature = "tower")]
mod tower_layer;
mod unknown_tokens;
mod windows;
#[cfg(all(feature = "auth-api", feature = "reqwest-middleware"))]
mod wire;
#[cfg(target_os = "linux")]
mod zeroizing;
