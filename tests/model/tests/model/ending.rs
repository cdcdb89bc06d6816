//! The driver's end: with its runtime, at any moment, or with the last handle.

use crate::check::{check, check_all};
use crate::issuer::Issuer;
use crate::support::{abandon, all, lazy_provider, linger, provider, spawn};

#[test]
fn f11_when_the_drivers_runtime_ends_the_next_caller_starts_it_again() {
    check(async || {
        let provider = provider(&Issuer::default());
        let callers: Vec<_> = (0..3)
            .map(|nth| {
                let provider = provider.clone();
                spawn(async move {
                    if nth == 0 {
                        provider.refresh().await
                    } else {
                        provider.token().await
                    }
                })
            })
            .collect();
        for _ in 0..2 {
            linger();
            tokio::runtime::end();
        }
        for outcome in all(callers).await {
            outcome.expect("the issuer is well");
        }
    });
}

#[test]
fn f11_a_waiter_whose_driver_ends_is_served_in_all_interleavings() {
    check_all(2, async || {
        let provider = lazy_provider(&Issuer::default());
        let waiter = spawn(async move { provider.token().await.map(drop) });
        tokio::runtime::end();
        all([waiter]).await[0].as_ref().expect("the issuer is well");
    });
}

#[test]
fn d7_the_last_handle_ends_the_driver_and_all_it_began() {
    check(async || {
        let provider = provider(&Issuer::default());
        let scoped = provider.scoped(["jobs:read"]);
        let callers = [provider.clone(), provider, scoped]
            .map(|handle| spawn(async move { abandon(handle.refresh()).await }));
        tokio::runtime::all_ended().await;
        all(callers).await;
    });
}
