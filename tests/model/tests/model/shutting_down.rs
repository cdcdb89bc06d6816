//! Shutting down while everything is going on.

use std::collections::BTreeSet;
use std::sync::Arc;

use everbearer::{
    Error, ErrorKind, RevocationOutcome, ShutdownPolicy, ShutdownReport, State, TokenKind, TokenProvider,
};
use tokio::sync::Semaphore;
use tokio::task::yield_now;

use crate::check::{check, check_all};
use crate::issuer::Issuer;
use crate::support::{
    JoinHandle, abandon, all, builder, lazy_provider, linger, number, provider, spawn,
};

type Outcome = Result<u64, Error>;

/// So many sets of scopes are in use.
const SETS: usize = 2;

/// Callers who want all that there is.
fn callers(provider: &TokenProvider) -> Vec<JoinHandle<Outcome>> {
    let (token, refresh) = (provider.clone(), provider.clone());
    let scoped = provider.scoped(["jobs:read"]);
    vec![
        spawn(async move { Ok(number(&token.token().await?)) }),
        spawn(async move { Ok(number(&refresh.refresh().await?)) }),
        spawn(async move { Ok(number(&scoped.token().await?)) }),
    ]
}

async fn each_got_a_token_or_was_told(callers: Vec<JoinHandle<Outcome>>) {
    for outcome in all(callers).await {
        if let Err(error) = outcome {
            assert_eq!(error.kind(), ErrorKind::ShutDown, "{error}");
        }
    }
}

/// Looks until the shutdown is over whether anything happens that must not once it has begun.
async fn watch(provider: TokenProvider, issuer: Issuer) {
    let mut bound = None;
    let mut state = State::Starting;
    while state != State::ShutDown {
        state = provider.status().state;
        if is_ending(state) {
            assert_eq!(provider.current().map(|_| "a token"), None);
            let outcome = provider.authorization().await;
            let error = outcome.expect_err("it is over");
            assert_eq!(error.kind(), ErrorKind::ShutDown);
            assert_eq!(provider.status().generation, 0);
            // An exchange that was decided before may reach the issuer now: at most one for each scope set without an
            // exchange in flight.
            let book = issuer.book();
            let decided = (SETS - book.under_way()) as u64;
            let bound = *bound.get_or_insert(book.begun + decided);
            assert!(book.begun <= bound, "an exchange began");
        }
        yield_now().await;
    }
}

fn is_ending(state: State) -> bool {
    matches!(state, State::ShuttingDown | State::ShutDown)
}

/// The short-term tokens that are reported with such a fate.
fn reported(report: &ShutdownReport, is_such: fn(&RevocationOutcome) -> bool) -> Vec<Option<String>> {
    let tokens = report.tokens.iter();
    let short_term = tokens.filter(|token| token.kind == TokenKind::ShortTerm);
    let such = short_term.filter(|token| is_such(&token.outcome));
    such.map(|token| token.token_id.clone()).collect()
}

fn in_words(report: &ShutdownReport) -> String {
    format!("{:?}", report.tokens)
}

/// All that was minted is in the report, once, with what became of it.
fn assert_true(report: &ShutdownReport, issuer: &Issuer) {
    let book = issuer.book();
    let minted: BTreeSet<_> = book.minted.iter().cloned().map(Some).collect();
    let of_all = reported(report, |_| true);
    assert_eq!(of_all.len(), minted.len(), "{}", in_words(report));
    assert_eq!(of_all.into_iter().collect::<BTreeSet<_>>(), minted);
    let mut revoked: Vec<_> = book.revoked.iter().cloned().map(Some).collect();
    revoked.sort();
    let mut as_reported = reported(report, |fate| matches!(fate, RevocationOutcome::Revoked));
    as_reported.sort();
    assert_eq!(as_reported, revoked);
    let mut refused: Vec<_> = book
        .refused
        .intersection(&book.minted)
        .cloned()
        .map(Some)
        .collect();
    refused.sort();
    let mut as_reported = reported(report, |fate| matches!(fate, RevocationOutcome::NotRevoked(_)));
    as_reported.sort();
    assert_eq!(as_reported, refused);
}

async fn shut_down_amid_calls(provider: TokenProvider, issuer: Issuer) {
    let callers = callers(&provider);
    let watcher = spawn(watch(provider.clone(), issuer.clone()));
    let shutdowns = [0, 1].map(|_| {
        let provider = provider.clone();
        spawn(async move { provider.shutdown().await })
    });
    let reports = all(shutdowns).await;
    let begun = issuer.book().begun;
    assert_eq!(in_words(&reports[0]), in_words(&reports[1]));
    assert_true(&reports[0], &issuer);
    each_got_a_token_or_was_told(callers).await;
    all([watcher]).await;
    tokio::runtime::all_ended().await;
    assert_eq!(issuer.book().begun, begun);
}

#[test]
fn d1_d2_d5_d6_a_shutdown_amid_calls_revokes_what_was_minted_and_is_the_end() {
    check(async || {
        let issuer = Issuer::default();
        let provider = provider(&issuer);
        provider.token().await.expect("the issuer is well");
        shut_down_amid_calls(provider, issuer).await;
    });
}

#[test]
fn d1_d2_so_does_one_before_there_is_a_token() {
    check(async || {
        let issuer = Issuer::default();
        shut_down_amid_calls(lazy_provider(&issuer), issuer).await;
    });
}

#[test]
fn d1_d2_one_caller_and_a_shutdown_in_all_interleavings() {
    check_all(2, async || {
        let issuer = Issuer::default();
        let provider = lazy_provider(&issuer);
        let caller = spawn({
            let provider = provider.clone();
            async move { Ok(number(&provider.token().await?)) }
        });
        let report = provider.shutdown().await;
        assert_true(&report, &issuer);
        each_got_a_token_or_was_told(vec![caller]).await;
        tokio::runtime::all_ended().await;
    });
}

#[test]
fn d3_what_the_server_refuses_to_revoke_is_reported() {
    check(async || {
        let issuer = Issuer::default();
        issuer.book().refused.insert("st-2".to_owned());
        shut_down_amid_calls(provider(&issuer), issuer).await;
    });
}

#[test]
fn d6_callers_are_told_before_anything_is_revoked() {
    check(async || {
        let issuer = Issuer::default();
        let provider = provider(&issuer);
        let gate = Arc::new(Semaphore::new(0));
        issuer.book().gate = Some(Arc::clone(&gate));
        provider.token().await.expect("the issuer is well");
        let callers = callers(&provider);
        let shutdown = spawn(async move { provider.shutdown().await });
        each_got_a_token_or_was_told(callers).await;
        gate.add_permits(100);
        let report = all([shutdown]).await.remove(0);
        assert_true(&report, &issuer);
    });
}

#[test]
fn d2_a_shutdown_that_revokes_nothing_says_so_of_each_token_that_was_there() {
    check(async || {
        let issuer = Issuer::default();
        let provider = builder(&issuer)
            .shutdown_policy(ShutdownPolicy::default().revoke_short_term(false))
            .build()
            .expect("its policies make sense");
        let callers = callers(&provider);
        let report = provider.shutdown().await;
        let kept = reported(&report, |fate| matches!(fate, RevocationOutcome::Kept));
        for outcome in all(callers).await {
            match outcome {
                Ok(number) => assert!(kept.contains(&Some(format!("st-{number}")))),
                Err(error) => assert_eq!(error.kind(), ErrorKind::ShutDown),
            }
        }
        tokio::runtime::all_ended().await;
        assert!(report.all_revoked(), "{}", in_words(&report));
        assert_eq!(issuer.book().revoked, [""; 0]);
    });
}

#[test]
fn a_shutdown_goes_on_when_whoever_began_it_is_gone_and_all_handles_with_it() {
    check(async || {
        let issuer = Issuer::default();
        let provider = provider(&issuer);
        provider.token().await.expect("the issuer is well");
        let callers = callers(&provider);
        let beginner = provider.clone();
        let beginner = spawn(async move {
            abandon(beginner.shutdown()).await;
            beginner.status().state
        });
        drop(provider);
        let state = all([beginner]).await[0];
        each_got_a_token_or_was_told(callers).await;
        tokio::runtime::all_ended().await;
        if is_ending(state) {
            let book = issuer.book();
            let revoked: BTreeSet<_> = book.revoked.iter().cloned().collect();
            assert_eq!(revoked, book.minted);
        }
    });
}

#[test]
fn a_shutdown_whose_runtime_ends_is_ended_by_another_one() {
    check(async || {
        let issuer = Issuer::default();
        let provider = provider(&issuer);
        let first = provider.token().await.expect("the issuer is well");
        let callers = callers(&provider);
        let shutdowns = [0, 1].map(|_| {
            let provider = provider.clone();
            spawn(async move { provider.shutdown().await })
        });
        linger();
        tokio::runtime::end();
        let reports = all(shutdowns).await;
        assert_eq!(in_words(&reports[0]), in_words(&reports[1]));
        each_got_a_token_or_was_told(callers).await;
        tokio::runtime::all_ended().await;
        let of_all = reported(&reports[0], |_| true);
        assert!(of_all.contains(&first.token_id().map(str::to_owned)));
        let book = issuer.book();
        for revoked in reported(&reports[0], |fate| matches!(fate, RevocationOutcome::Revoked)) {
            assert!(book.revoked.iter().any(|it| Some(it) == revoked.as_ref()));
        }
    });
}
