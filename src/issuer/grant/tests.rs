//! What a grant refuses before anything is sent. `tests/it/grants.rs` has the rest.

use super::*;

#[test]
fn a_grant_that_the_contract_forbids_is_refused() {
    let hours = |hours: u64| Duration::from_secs(hours * 60 * 60);
    let grant = || Grant::client_secret("client", "secret");
    assert!(grant().validate().is_ok());
    assert!(grant().ttl(hours(1)).validate().is_ok());
    assert!(grant().ttl(hours(24 * 90)).validate().is_ok());
    assert!(Grant::self_rotation("client").validate().is_ok());
    for refused in [
        grant().ttl(hours(24 * 91)),
        grant().ttl(Duration::from_secs(3_599)),
        grant().audience("https://auth.example.com"),
        grant().key_id("2026-11"),
        Grant::client_secret("", "secret"),
        Grant::client_secret("client", ""),
        Grant::client_secret("client", SecretSource::env("")),
        Grant::client_secret("client", SecretSource::file("")),
        Grant::bootstrap_token("client", ""),
        Grant::self_rotation(""),
    ] {
        assert_eq!(refused.validate().unwrap_err().kind(), ErrorKind::Config);
    }
}

#[test]
fn s6_a_grant_does_not_show_its_secret() {
    for grant in [
        Grant::client_secret("client", "correct-horse"),
        Grant::bootstrap_token("client", "correct-horse"),
    ] {
        assert!(!format!("{grant:?}").contains("correct-horse"));
    }
}
