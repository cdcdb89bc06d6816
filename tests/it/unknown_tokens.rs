//! Tokens that the auth server may have issued although no answer has arrived.

use std::time::Duration;

use everbearer::testkit::{ManualClock, Reply, ScriptedIssuer};
use everbearer::{
    Credential, Error, Grant, IssuerProfile, LongTermToken, Needs, Record, RevocationOutcome,
    ShutdownReport, Stored, TokenKind, TokenProvider, TokenStore, Version,
};

use crate::support::{millis, provider, secs, settle};

/// Returns the kinds of the tokens that are reported as unknown.
fn unknown(report: &ShutdownReport) -> Vec<TokenKind> {
    let is_unknown = |outcome: &RevocationOutcome| matches!(outcome, RevocationOutcome::Unknown(_));
    let tokens = report.tokens.iter();
    let tokens = tokens.filter(|token| is_unknown(&token.outcome));
    tokens.map(|token| token.kind).collect()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

/// The server may have issued a token for it, which lives no longer than another one.
#[tokio::test(start_paused = true)]
async fn d9_an_exchange_that_timed_out_may_have_issued_a_token() {
    for (later, is_clean) in [(secs(100), false), (secs(2_000), true)] {
        let issuer = ScriptedIssuer::new();
        issuer.script([Reply::token(secs(900)), Reply::hang()]);
        issuer.default_reply(Reply::token(secs(900)));
        let (provider, clock) = provider(&issuer);
        provider.token().await.unwrap();
        provider.refresh().await.unwrap_err();
        clock.advance(secs(60)).await;
        provider.refresh().await.unwrap();
        clock.advance(later).await;
        settle().await;
        let report = provider.shutdown().await;
        assert_eq!(unknown(&report).len(), usize::from(!is_clean));
        assert_eq!(report.all_revoked(), is_clean);
    }
}

/// The exchanges of an issuer that needs no long-term token have no number: a later one does not stand for this one.
#[tokio::test(start_paused = true)]
async fn d9_a_timed_out_exchange_without_a_long_term_token_is_reported() {
    let issuer = ScriptedIssuer::new();
    issuer.set_profile(IssuerProfile::new("client").needs(Needs::Nothing));
    issuer.script([Reply::token(secs(900)), Reply::hang()]);
    issuer.default_reply(Reply::token(secs(900)));
    let clock = ManualClock::new();
    let provider = TokenProvider::builder(issuer, Credential::None)
        .clock(clock.clone())
        .build()
        .unwrap();
    provider.token().await.unwrap();
    provider.refresh().await.unwrap_err();
    clock.advance(secs(60)).await;
    provider.refresh().await.unwrap();
    let report = provider.shutdown().await;
    assert!(!report.all_revoked(), "{report:?}");
}

/// Dropping the runtime drops the exchange in flight.
#[test]
fn d9_an_exchange_that_died_with_its_runtime_may_have_issued_a_token() {
    let issuer = ScriptedIssuer::new();
    issuer.default_reply(Reply::hang());
    let long_term = LongTermToken::new("lt").unwrap();
    let provider = TokenProvider::builder(issuer.clone(), long_term)
        .build()
        .unwrap();
    let first = runtime();
    first.block_on(async {
        let _ = tokio::time::timeout(millis(50), provider.token()).await;
    });
    drop(first);
    let report = runtime().block_on(provider.shutdown());
    assert_eq!(unknown(&report), [TokenKind::ShortTerm]);
}

/// The lifetime of a long-term token that did not arrive is unknown.
#[tokio::test(start_paused = true)]
async fn d9_a_request_that_timed_out_may_have_issued_a_long_term_token() {
    let issuer = ScriptedIssuer::new();
    issuer.script_long_term([Reply::hang()]);
    let clock = ManualClock::new();
    let grant = Grant::client_secret("id", "secret");
    let provider = TokenProvider::builder(issuer.clone(), grant)
        .clock(clock.clone())
        .build()
        .unwrap();
    provider.token().await.unwrap_err();
    clock.advance(secs(60)).await;
    provider.token().await.unwrap();
    clock.advance(secs(86_400)).await;
    settle().await;
    let report = provider.shutdown().await;
    assert_eq!(unknown(&report), [TokenKind::LongTerm]);
    assert!(!report.all_revoked());
}

#[tokio::test(start_paused = true)]
async fn d9_each_exchange_in_flight_at_the_deadline_is_reported() {
    let issuer = ScriptedIssuer::new();
    issuer.default_reply(Reply::hang());
    let (provider, _) = provider(&issuer);
    for scope in ["a", "b"] {
        let provider = provider.clone();
        tokio::spawn(async move { provider.scoped([scope]).token().await });
    }
    settle().await;
    assert_eq!(issuer.exchanges(), 3);
    let report = provider.shutdown().await;
    assert_eq!(unknown(&report), [TokenKind::ShortTerm; 3]);
}

#[test]
fn d9_an_exchange_dropped_with_its_runtime_during_a_shutdown_is_reported() {
    let issuer = ScriptedIssuer::new();
    issuer.default_reply(Reply::hang());
    let long_term = LongTermToken::new("lt").unwrap();
    let provider = TokenProvider::builder(issuer, long_term).build().unwrap();
    let first = runtime();
    first.block_on(async {
        let _ = tokio::time::timeout(millis(50), provider.token()).await;
        let _ = tokio::time::timeout(millis(50), provider.shutdown()).await;
    });
    drop(first);
    for _ in 0..2 {
        let report = runtime().block_on(provider.shutdown());
        assert_eq!(unknown(&report), [TokenKind::ShortTerm]);
    }
}

/// A store that holds a token and never ends a write.
#[derive(Debug)]
struct Stuck;

#[async_trait::async_trait]
impl TokenStore for Stuck {
    async fn load(&self) -> Result<Option<Stored>, Error> {
        let record = Record::from(LongTermToken::new("lt")?);
        Ok(Some(Stored::new(record, Version::new("1"))))
    }

    async fn store(&self, _: &Record, _: Option<&Version>) -> Result<Version, Error> {
        tokio::time::sleep(Duration::from_secs(1_000_000)).await;
        Err(Error::transient("never"))
    }
}

#[tokio::test(start_paused = true)]
async fn d9_a_write_that_is_in_flight_at_the_deadline_issues_no_token() {
    let issuer = ScriptedIssuer::new();
    let provider = TokenProvider::builder(issuer, Credential::Stored)
        .clock(ManualClock::new())
        .store(Stuck)
        .build()
        .unwrap();
    provider.token().await.unwrap();
    provider.set_long_term_token(LongTermToken::new("by-hand").unwrap());
    settle().await;
    let report = provider.shutdown().await;
    assert!(unknown(&report).is_empty(), "{report:?}");
}
