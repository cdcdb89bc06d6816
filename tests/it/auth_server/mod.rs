//! `AuthServer`, through raw HTTP over real sockets.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a panic is how a test's helper reports"
)]

mod admitting;
mod assertions;
mod clock;
mod counting;
mod exchanging;
mod faults;
mod forging;
mod lifecycle;
mod obtaining;
mod protocol;
mod rate_limit;
mod revoking;
mod support;
