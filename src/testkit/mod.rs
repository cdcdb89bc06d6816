//! Test doubles for this crate and for yours; needs the feature `testkit`.
//!
//! - [`AuthServer`] is an auth server that serves HTTP, for tests of sockets, headers and JSON.
//! - [`ScriptedIssuer`] is an issuer in memory that follows a script.
//! - [`ManualClock`] is a clock that a test moves. With tokio's paused timers, a year passes in a
//!   millisecond.
//!
//! A provider in a test with paused timers needs a [`ManualClock`], since the clock of the machine does not
//! run ahead with the timers.
//!
//! Use [`AuthServer`] on the real clock, and the other two on a paused one. Do not combine them in one test:
//! paused timers run ahead while a request is in flight, and every timeout fires.
//!
//! # Examples
//!
//! ```
//! use std::time::Duration;
//! use everbearer::testkit::{ManualClock, ScriptedIssuer};
//! use everbearer::{LongTermToken, TokenProvider};
//!
//! // In a test with `#[tokio::test(start_paused = true)]`.
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), everbearer::Error> {
//! let clock = ManualClock::new();
//! let issuer = ScriptedIssuer::new();
//! let provider = TokenProvider::builder(issuer.clone(), LongTermToken::new("secret")?)
//!     .clock(clock.clone())
//!     .build()?;
//!
//! provider.ready().await?;
//! clock.advance(Duration::from_secs(60 * 60)).await;
//! assert!(issuer.exchanges() > 3);
//! # Ok(())
//! # }
//! ```

mod auth_server;
mod manual_clock;
mod reply;
mod scripted_issuer;

pub use auth_server::{
    AuthServer, AuthServerBuilder, ClientKey, Counts, Endpoint, EndpointCounts, Fault, JobsCounts,
    OldLongTermToken, TokenIds, TokenKind, TokenRecord,
};
pub use manual_clock::ManualClock;
pub use reply::Reply;
pub use scripted_issuer::ScriptedIssuer;
