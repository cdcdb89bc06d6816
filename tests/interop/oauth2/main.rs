//! `OAuth2` and the example issuers against other OAuth servers. See README.md.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that panics is a test that fails"
)]
#![allow(clippy::doc_markdown, reason = "OpenBao is no identifier")]

mod authlib;
mod examples;
mod glewlwyd;
mod limits;
mod oidc_provider;
#[path = "../issuers/openbao.rs"]
#[allow(dead_code, reason = "the other tests use the rest")]
mod openbao;
mod outages;
#[path = "../issuers/process.rs"]
mod process;
mod server;
mod sharing;

use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);
const INTERVAL: Duration = Duration::from_millis(10);

/// Prints what was done at a server, in our counts and in those of its log.
fn report(server: &str, what: &str, counts: &[(&str, usize, usize)]) {
    println!("\n{server}: {what}");
    for (name, ours, logged) in counts {
        println!("  {name:<32} ours {ours:>6}   in its log {logged:>6}");
    }
    for (name, ours, logged) in counts {
        assert_eq!(ours, logged, "{name}");
    }
}
