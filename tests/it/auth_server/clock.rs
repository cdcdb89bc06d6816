//! A server whose clock is wrong, and the precision of its timestamps.

use std::time::Duration;

use everbearer::testkit::AuthServer;
use reqwest::Method;

use super::support::{DAY, MINUTE, Reply, Site, Token, assert_close, unix_now};

#[tokio::test]
async fn the_offset_moves_every_timestamp_and_the_date_header() {
    for offset in [-600, 0, 600] {
        let site = Site::with(AuthServer::builder().clock_offset(offset)).await;

        let long_term = site.long_term().await;
        let reply = site.exchange(&long_term.text).await;

        let token = reply.token();
        assert_close(date(&reply), unix_now() + offset);
        assert_close(claim(&token, "iat"), unix_now() + offset);
        assert_close(claim(&token, "exp"), unix_now() + offset + 15 * MINUTE);
        assert_eq!(token.body["expires_in"], 15 * MINUTE);
        assert_eq!(site.get("/jobs", &token.text).await.status, 200);
    }
}

#[tokio::test]
async fn every_response_has_the_server_s_date() {
    let site = Site::with(AuthServer::builder().clock_offset(7 * DAY)).await;

    for (method, path) in [
        (Method::GET, "/health"),
        (Method::GET, "/jobs"),
        (Method::GET, "/nowhere"),
        (Method::PUT, "/jobs"),
        (Method::POST, "/auth/tokens/long"),
    ] {
        let reply = Reply::read(site.request(method, path)).await;

        assert_close(date(&reply), unix_now() + 7 * DAY);
        assert_eq!(reply.headers.get_all("date").iter().count(), 1);
    }
}

#[tokio::test]
async fn moving_the_clock_forward_lets_a_token_expire() {
    let site = Site::start().await;
    let token = site.short_term().await;
    assert!(site.server.is_live(&token.id));

    site.server.set_clock_offset(15 * MINUTE);

    assert!(!site.server.is_live(&token.id));
    site.get("/jobs", &token.text)
        .await
        .assert_error(401, "token_expired");
}

#[tokio::test]
async fn an_absurd_offset_is_survived() {
    let site = Site::start().await;
    for offset in [i64::MIN, i64::MAX] {
        site.server.set_clock_offset(offset);

        let token = site.long_term().await;

        assert!(token.body["expires_at"].is_string());
    }
}

#[tokio::test]
async fn timestamps_are_whole_seconds_unless_asked_otherwise() {
    let site = Site::start().await;
    let token = site.short_term().await;

    for name in ["iat", "nbf", "exp"] {
        assert!(token.claims()[name].is_i64(), "{name}");
    }
}

#[tokio::test]
async fn fractional_timestamps_make_a_short_life_exact() {
    let life = Duration::from_millis(1_250);
    let builder = AuthServer::builder()
        .fractional_timestamps(true)
        .short_term_lifetime(life);
    let site = Site::with(builder).await;

    let token = site.short_term().await;

    let record = site.server.token(&token.id).unwrap();
    assert_eq!(
        record.expires_at.duration_since(record.issued_at).unwrap(),
        life
    );
    let claims = token.claims();
    let exact = claims["exp"].as_f64().unwrap() - claims["iat"].as_f64().unwrap();
    assert!((exact - 1.25).abs() < 1e-6, "{exact}");
    assert_eq!(token.body["expires_in"], 1);
}

fn date(reply: &Reply) -> i64 {
    let date = httpdate::parse_http_date(reply.header("date").unwrap()).unwrap();
    let since_1970 = date.duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since_1970.as_secs()).unwrap()
}

fn claim(token: &Token, name: &str) -> i64 {
    token.claims()[name].as_i64().unwrap()
}
