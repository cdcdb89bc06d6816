//! Callers that wait, and those that stop waiting.

use std::time::Duration;

use everbearer::{Error, ErrorKind, RetryPolicy, TokenProvider};

use crate::check::{check, check_all};
use crate::issuer::Issuer;
use crate::support::{
    JoinHandle, abandon, all, builder, lazy_provider, let_retries_come, number, number_in,
    provider, spawn,
};

/// Some callers, one after another in each way of asking. Each returns in which exchange what it
/// got was minted.
fn waiters(provider: &TokenProvider, count: usize) -> Vec<JoinHandle<Result<u64, Error>>> {
    let waiter = |nth: usize| {
        let provider = provider.clone();
        spawn(async move {
            if nth.is_multiple_of(2) {
                return Ok(number(&provider.token().await?));
            }
            let header = provider.authorization().await?;
            Ok(number_in(header.to_str().expect("it is ASCII")))
        })
    };
    (0..count).map(waiter).collect()
}

async fn all_are_served(waiters: Vec<JoinHandle<Result<u64, Error>>>, by: u64) {
    for served in all(waiters).await {
        assert_eq!(served.expect("the exchange succeeds"), by);
    }
}

#[test]
fn w1_no_wake_up_of_those_who_wait_for_the_first_token_is_lost() {
    check(async || {
        let issuer = Issuer::default();
        let provider = provider(&issuer);
        all_are_served(waiters(&provider, 4), 1).await;
        assert_eq!(issuer.book().begun, 1);
    });
}

#[test]
fn w1_no_wake_up_of_the_driver_by_the_first_who_asks_is_lost() {
    check(async || {
        let issuer = Issuer::default();
        let provider = lazy_provider(&issuer);
        all_are_served(waiters(&provider, 4), 1).await;
        assert_eq!(issuer.book().begun, 1);
    });
}

#[test]
fn w1_a_waiter_is_served_in_all_interleavings() {
    check_all(3, async || {
        let issuer = Issuer::default();
        all_are_served(waiters(&lazy_provider(&issuer), 1), 1).await;
    });
}

#[test]
fn w1_those_who_come_while_the_exchange_lands_are_served() {
    check(async || {
        let issuer = Issuer::default();
        let provider = provider(&issuer);
        issuer.has_begun().await;
        all_are_served(waiters(&provider, 3), 1).await;
        assert_eq!(issuer.book().begun, 1);
    });
}

#[test]
fn f6_a_failure_reaches_its_waiters_and_the_next_exchange_serves_the_rest() {
    check(async || {
        let issuer = Issuer::failing_at([1]);
        let provider = provider(&issuer);
        let_retries_come();
        for outcome in all(waiters(&provider, 4)).await {
            match outcome {
                Ok(number) => assert_eq!(number, 2),
                Err(error) => assert_eq!(error.kind(), ErrorKind::Issuer),
            }
        }
        assert_eq!(number(&provider.token().await.expect("it is minted")), 2);
        assert_eq!(issuer.book().begun, 2);
    });
}

#[test]
fn e14_a_start_that_waits_out_a_failure_is_served_by_the_next_exchange() {
    check(async || {
        let issuer = Issuer::failing_at([1]);
        let provider = builder(&issuer)
            .retry_policy(RetryPolicy::default().ready_timeout(Duration::from_secs(10)))
            .build()
            .expect("its policies make sense");
        let_retries_come();
        provider
            .ready()
            .await
            .expect("the second exchange succeeds");
        assert!(provider.current().is_some());
    });
}

#[test]
fn f3_a_waiter_dropped_at_any_point_keeps_no_other_from_being_served() {
    check(async || {
        let issuer = Issuer::default();
        let provider = lazy_provider(&issuer);
        let gone = [0, 1].map(|_| {
            let provider = provider.clone();
            spawn(async move { abandon(provider.token()).await })
        });
        let aborted = spawn({
            let provider = provider.clone();
            async move { provider.token().await.map(drop) }
        });
        let served = waiters(&provider, 2);
        aborted.abort();
        all_are_served(served, 1).await;
        all(gone).await;
        let _ = aborted.await;
        assert_eq!(issuer.book().begun, 1);
    });
}

#[test]
fn f3_a_waiter_dropped_beside_another_one_in_all_interleavings() {
    check_all(2, async || {
        let issuer = Issuer::default();
        let provider = lazy_provider(&issuer);
        let aborted = spawn({
            let provider = provider.clone();
            async move { provider.token().await.map(drop) }
        });
        let served = waiters(&provider, 1);
        aborted.abort();
        all_are_served(served, 1).await;
        let _ = aborted.await;
        assert_eq!(issuer.book().begun, 1);
    });
}

#[test]
fn f3_the_exchange_goes_on_when_all_who_waited_for_it_are_gone() {
    check(async || {
        let issuer = Issuer::default();
        let provider = lazy_provider(&issuer);
        let gone = [0, 1].map(|_| {
            let provider = provider.clone();
            spawn(async move { abandon(provider.token()).await })
        });
        all(gone).await;
        all_are_served(waiters(&provider, 1), 1).await;
        assert_eq!(issuer.book().begun, 1);
    });
}

#[test]
fn r4_callers_who_report_one_token_bring_about_one_exchange_whoever_is_dropped() {
    check(async || {
        let issuer = Issuer::default();
        let provider = provider(&issuer);
        let first = provider.token().await.expect("it is minted");
        let gone = [0, 1].map(|_| {
            let (provider, first) = (provider.clone(), first.clone());
            spawn(async move { abandon(provider.invalidate(&first)).await })
        });
        let stayers = [0, 1].map(|_| {
            let (provider, first) = (provider.clone(), first.clone());
            spawn(async move { provider.invalidate(&first).await.map(|token| number(&token)) })
        });
        all_are_served(stayers.into(), 2).await;
        all(gone).await;
        assert_eq!(issuer.book().begun, 2);
    });
}
