//! Doubles for tests: this crate's own and yours. Behind the feature `testkit`.
//!
//! - [`AuthServer`] is the server side of the Auth API over real HTTP, for tests that should go
//!   through sockets, headers and JSON as production does.
//! - [`ScriptedIssuer`] is an issuer in memory that does what a test says, and [`ManualClock`] a
//!   clock that a test moves: together with tokio's paused timers they let a year pass in a
//!   millisecond.
//!
//! A provider in a test with paused timers needs a [`ManualClock`]: the machine's clock does not run
//! ahead with them.
//!
//! Use the first on the real clock and the other two on a paused one. Not both in one test:
//! paused time runs ahead while a request is on its way, and every timeout fires.

mod auth_server;
mod manual_clock;
mod scripted_issuer;

pub use auth_server::{
    AuthServer, AuthServerBuilder, ClientKey, Counts, Endpoint, EndpointCounts, Fault, JobsCounts,
    OldLongTermToken, TokenIds, TokenKind, TokenRecord,
};
pub use manual_clock::ManualClock;
pub use scripted_issuer::{Reply, ScriptedIssuer};
