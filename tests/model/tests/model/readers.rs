//! What readers see while tokens are being replaced.

use std::time::SystemTime;

use everbearer::{ErrorKind, RetryPolicy, TokenProvider};

use crate::check::{check, check_all};
use crate::issuer::{Issuer, LIFE};
use crate::support::{
    Newest, all, builder, let_retries_come, linger, number, number_in, pause, provider, spawn,
};

/// Looks in every way that there is, and again.
async fn read(provider: TokenProvider, newest: Newest) {
    let mut generation = 0;
    for _ in 0..2 {
        let bound = newest.so_far();
        let current = provider.current().map_or(0, |token| number(&token));
        newest.saw(current, bound);

        let bound = newest.so_far();
        let header = provider.authorization().await.expect("there is a token");
        newest.saw(number_in(header.to_str().expect("it is ASCII")), bound);

        let before = generation;
        generation = provider.status().generation;
        assert!(generation >= before, "{generation} was seen after {before}");

        let bound = newest.so_far();
        let token = provider.token().await.expect("there is a token");
        newest.saw(number(&token), bound);
        pause().await;
    }
}

async fn write(provider: TokenProvider, newest: Newest) {
    for _ in 0..2 {
        let bound = newest.so_far();
        let token = provider.refresh().await.expect("the issuer is well");
        newest.saw(number(&token), bound);
    }
}

#[test]
fn f10_nobody_sees_an_older_token_after_a_newer_one() {
    check(async || {
        let (provider, newest) = (provider(&Issuer::default()), Newest::default());
        newest.saw(number(&provider.token().await.expect("there is one")), 1);
        let mut tasks = vec![spawn(write(provider.clone(), newest.clone()))];
        for _ in 0..2 {
            tasks.push(spawn(read(provider.clone(), newest.clone())));
        }
        all(tasks).await;
    });
}

#[test]
fn f10_not_even_when_the_drivers_runtime_ends_meanwhile() {
    check(async || {
        let (provider, newest) = (provider(&Issuer::default()), Newest::default());
        newest.saw(number(&provider.token().await.expect("there is one")), 1);
        let writers = [0, 1].map(|_| spawn(write(provider.clone(), newest.clone())));
        let reader = spawn(read(provider.clone(), newest.clone()));
        linger();
        tokio::runtime::end();
        all(writers).await;
        all([reader]).await;
    });
}

#[test]
fn f10_a_driver_that_ends_puts_no_older_token_back() {
    check(async || {
        let (provider, newest) = (provider(&Issuer::default()), Newest::default());
        newest.saw(number(&provider.token().await.expect("there is one")), 1);
        let ending = spawn(async { tokio::runtime::end() });
        let token = provider.refresh().await.expect("the issuer is well");
        newest.saw(number(&token), 2);
        all([ending]).await;
        // Whatever the drivers still have to do to the cell is done after this.
        tokio::runtime::end();
        tokio::runtime::all_ended().await;
        let current = provider.current().map_or(0, |token| number(&token));
        newest.saw(current, newest.so_far());
    });
}

#[test]
fn w4_no_token_is_served_that_had_expired_when_it_was_asked_for() {
    check(async || {
        let patience = RetryPolicy::default().wait_timeout(100 * LIFE);
        let provider = builder(&Issuer::default())
            .retry_policy(patience.exchange_timeout(100 * LIFE))
            .build()
            .expect("its policies make sense");
        let_retries_come();
        let readers = [0, 1].map(|_| {
            let provider = provider.clone();
            spawn(async move {
                for _ in 0..4 {
                    let asked = SystemTime::UNIX_EPOCH + tokio::time::now();
                    match provider.token().await {
                        Ok(token) => assert!(token.expires_at().expect("it is stated") > asked),
                        // It has expired on its way here.
                        Err(error) => assert_eq!(error.kind(), ErrorKind::Protocol),
                    }
                    pause().await;
                }
            })
        });
        for _ in 0..4 {
            tokio::time::advance(LIFE / 2).await;
        }
        all(readers).await;
    });
}

#[test]
fn f10_a_reader_beside_a_writer_in_all_interleavings() {
    check_all(3, async || {
        let (provider, newest) = (provider(&Issuer::default()), Newest::default());
        newest.saw(number(&provider.token().await.expect("there is one")), 1);
        let writer = spawn({
            let provider = provider.clone();
            async move { provider.refresh().await.map(drop) }
        });
        for _ in 0..2 {
            let bound = newest.so_far();
            let current = provider.current().map_or(0, |token| number(&token));
            newest.saw(current, bound);
        }
        all([writer]).await;
    });
}
