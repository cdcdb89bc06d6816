//! How long a refused request takes.

use everbearer::testkit::{Answer, ScriptedIssuer};
use everbearer::{Error, ErrorKind, RefreshPolicy, TokenProvider};
use reqwest_middleware::ClientWithMiddleware;
use tokio::time::Instant;

use super::{Server, URL};
use crate::support::{builder, millis, secs};

fn provider(issuer: &ScriptedIssuer) -> TokenProvider {
    let builder = builder(issuer).origins(["https://api.example.com"]);
    builder.build().unwrap()
}

fn stream() -> reqwest::Body {
    reqwest::Body::wrap("a stream".to_owned())
}

async fn refused(client: &ClientWithMiddleware) -> reqwest::Response {
    let response = client.post(URL).body(stream()).send().await.unwrap();
    assert_eq!(response.status(), 401);
    response
}

#[tokio::test(start_paused = true)]
async fn r11_a_401_that_is_not_followed_by_a_resend_comes_with_the_newer_token() {
    for resend in [true, false] {
        let issuer = ScriptedIssuer::new();
        issuer.script([
            Answer::token(secs(900)),
            Answer::token(secs(900)).after(secs(2)),
        ]);
        let provider = provider(&issuer);
        provider.token().await.unwrap();
        let server = Server::answering([401]);
        let client = server.behind(provider.middleware().resend(resend));
        let request = client.post(URL);
        let request = if resend {
            request.body(stream())
        } else {
            request.body("a buffer")
        };
        let before = Instant::now();
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 401);
        assert_eq!(response.url().as_str(), URL);
        assert_eq!(before.elapsed().as_secs(), 2);
        assert_eq!(response.text().await.unwrap(), "the answer");
        assert_eq!(provider.current().unwrap().expose(), "st-2");
        let again = client.post(URL).body(stream()).send().await.unwrap();
        assert_eq!(again.status(), 200);
        assert_eq!(server.tokens(), ["st-1", "st-2"]);
    }
}

#[tokio::test(start_paused = true)]
async fn r11_a_401_is_held_back_for_5_s_at_most() {
    let issuer = ScriptedIssuer::new();
    issuer.script([Answer::token(secs(900))]);
    issuer.otherwise(Answer::token(secs(900)).after(secs(20)));
    let provider = provider(&issuer);
    provider.token().await.unwrap();
    let client = Server::answering([401]).client(&provider);
    let before = Instant::now();
    refused(&client).await;
    assert_eq!(before.elapsed().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn r11_a_401_is_returned_at_once_where_no_exchange_begins() {
    for failure in [Error::transient("down"), Error::terminal("no")] {
        let issuer = ScriptedIssuer::new();
        issuer.script([Answer::token(secs(900))]);
        issuer.otherwise(Answer::error(failure));
        let provider = provider(&issuer);
        provider.token().await.unwrap();
        let client = Server::answering([401, 401, 401]).client(&provider);
        for _ in 0..3 {
            let before = Instant::now();
            refused(&client).await;
            assert!(before.elapsed() < millis(100), "{:?}", before.elapsed());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn r11_a_401_within_the_minimum_interval_is_returned_at_once() {
    let issuer = ScriptedIssuer::new();
    let policy = RefreshPolicy::default().between_denials(secs(30));
    let provider = builder(&issuer)
        .origins(["https://api.example.com"])
        .refresh_policy(policy)
        .build()
        .unwrap();
    provider.token().await.unwrap();
    let client = Server::answering([401; 9]).client(&provider);
    for _ in 0..9 {
        let before = Instant::now();
        refused(&client).await;
        assert!(before.elapsed() < millis(100));
    }
    assert_eq!(issuer.exchanges(), 2);
}

#[tokio::test(start_paused = true)]
async fn r12_waiting_and_sending_twice_take_as_long_as_the_request_may_in_all() {
    for of_request in [true, false] {
        let issuer = ScriptedIssuer::new();
        issuer.otherwise(Answer::token(secs(900)).after(millis(300)));
        let provider = provider(&issuer);
        let server = Server::answering([401]).after(millis(200));
        let middleware = provider.middleware();
        let client = if of_request {
            server.behind(middleware)
        } else {
            server.behind(middleware.timeout(secs(1)))
        };
        let request = client.get(URL);
        let request = if of_request {
            request.timeout(secs(1))
        } else {
            request
        };
        assert_eq!(request.send().await.unwrap().status(), 200);
        let timeouts = server.timeouts().into_iter().map(|it| it.unwrap());
        let timeouts: Vec<_> = timeouts
            .map(|it| (it + millis(10)).as_millis() / 100)
            .collect();
        assert_eq!(timeouts, [7, 2]);
    }
}

#[tokio::test(start_paused = true)]
async fn r12_a_wait_for_a_newer_token_ends_with_the_timeout_of_the_request() {
    let issuer = ScriptedIssuer::new();
    issuer.script([Answer::token(secs(900))]);
    issuer.otherwise(Answer::token(secs(900)).after(secs(20)));
    let provider = provider(&issuer);
    provider.token().await.unwrap();
    let server = Server::answering([401]).after(millis(400));
    let before = Instant::now();
    let request = server.client(&provider).get(URL).timeout(secs(1));
    assert_eq!(request.send().await.unwrap().status(), 401);
    let took = before.elapsed();
    assert!((millis(990)..millis(1_050)).contains(&took), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn r14_a_401_for_a_token_of_a_retired_set_is_followed_by_a_resend() {
    let issuer = ScriptedIssuer::new();
    let provider = provider(&issuer);
    let scoped = provider.scoped(["a"]);
    scoped.token().await.unwrap();
    let server = Server::answering([401]).after(secs(3_600));
    let response = server.client(&scoped).get(URL).send().await.unwrap();
    assert_eq!(response.status(), 200);
    let [first, second] = server.tokens().try_into().unwrap();
    assert_ne!(first, second);
}

#[tokio::test(start_paused = true)]
async fn a_request_without_a_token_fails_within_its_own_timeout() {
    let issuer = ScriptedIssuer::new();
    issuer.otherwise(Answer::token(secs(900)).after(secs(20)));
    let provider = provider(&issuer);
    let server = Server::default();
    let request = server.client(&provider).get(URL).timeout(secs(1));
    let error = request.send().await.unwrap_err();
    let error = Error::find_in(&error).unwrap();
    assert_eq!(error.kind(), ErrorKind::WaitTimeout);
    assert!(server.tokens().is_empty());
}
