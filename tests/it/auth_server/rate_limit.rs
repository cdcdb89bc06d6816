//! The limiter of exchanges.

use std::time::Duration;

use everbearer::testkit::AuthServer;

use super::support::Site;

#[tokio::test]
async fn the_exchange_over_the_limit_is_refused_until_there_is_room_again() {
    let limit = Duration::from_secs(1_000);
    let site = Site::with(AuthServer::builder().rate_limit(2, limit)).await;
    let long_term = site.long_term().await;
    site.exchange(&long_term.text).await.token();
    site.exchange(&long_term.text).await.token();

    let refused = site.exchange(&long_term.text).await;
    refused.assert_error(429, "rate_limited");
    let wait: i64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((900..=1_000).contains(&wait), "{wait}");

    site.server.set_clock_offset(wait);
    site.exchange(&long_term.text).await.token();
}

#[tokio::test]
async fn a_limit_of_none_at_all_refuses_everything() {
    let builder = AuthServer::builder().rate_limit(0, Duration::from_secs(5));
    let site = Site::with(builder).await;
    let long_term = site.long_term().await;

    let refused = site.exchange(&long_term.text).await;

    refused.assert_error(429, "rate_limited");
    assert_eq!(refused.header("retry-after"), Some("5"));
}
