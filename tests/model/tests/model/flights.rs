//! Exchanges, of which the issuer must never see two at once for one set of scopes: see
//! [`Issuer`], which minds that.

use std::sync::atomic::{AtomicUsize, Ordering};

use everbearer::{Error, ErrorKind, ShortTermToken, TokenProvider};

use crate::check::check;
use crate::issuer::Issuer;
use crate::support::{JoinHandle, all, lazy_provider, let_retries_come, provider, spawn};

/// Asks in each way that brings an exchange about.
fn ask(provider: &TokenProvider) -> Vec<JoinHandle<Result<ShortTermToken, Error>>> {
    let handles = || (provider.clone(), provider.clone(), provider.clone());
    let (token, refresh, reject) = handles();
    vec![
        spawn(async move { token.token().await }),
        spawn(async move { refresh.refresh().await }),
        spawn(async move {
            let token = reject.token().await?;
            reject.invalidate(&token).await
        }),
    ]
}

#[test]
fn f1_one_exchange_at_once_whoever_asks_for_what() {
    check(async || {
        let provider = provider(&Issuer::default());
        for outcome in all(ask(&provider)).await {
            outcome.expect("the issuer is well");
        }
    });
}

#[test]
fn f2_one_exchange_at_once_also_when_some_fail() {
    check(async || {
        let provider = provider(&Issuer::failing_at([1, 3]));
        let_retries_come();
        for outcome in all(ask(&provider)).await {
            if let Err(error) = outcome {
                assert_eq!(error.kind(), ErrorKind::Issuer);
            }
        }
    });
}

#[test]
fn f7_two_sets_of_scopes_have_an_exchange_each() {
    static MOST_AT_ONCE: AtomicUsize = AtomicUsize::new(0);
    check(async || {
        let issuer = Issuer::default();
        let provider = provider(&issuer);
        let reader = provider.scoped(["jobs:read"]);
        let mut callers = ask(&provider);
        callers.truncate(2);
        callers.extend(ask(&reader));
        for outcome in all(callers).await {
            outcome.expect("the issuer is well");
        }
        MOST_AT_ONCE.fetch_max(issuer.book().most_at_once, Ordering::SeqCst);
    });
    assert_eq!(MOST_AT_ONCE.load(Ordering::SeqCst), 2);
}

#[test]
fn f8_the_same_set_is_the_same_exchange_whoever_opens_it() {
    check(async || {
        let issuer = Issuer::default();
        let provider = lazy_provider(&issuer);
        let callers = [["a", "b"], ["b", "a"]].map(|scopes| {
            let provider = provider.clone();
            spawn(async move { provider.scoped(scopes).token().await })
        });
        for outcome in all(callers).await {
            outcome.expect("the issuer is well");
        }
        assert_eq!(issuer.book().begun, 1);
    });
}
