//! How long a refused request takes.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use everbearer::testkit::{Reply, ScriptedIssuer};
use everbearer::{Error, ErrorKind, RefreshPolicy, TokenProvider};
use http::Extensions;
use reqwest::{Request, Response, ResponseBuilderExt as _};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware, Middleware, Next};
use tokio::time::Instant;

use super::{Server, URL, answer};
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
            Reply::token(secs(900)),
            Reply::token(secs(900)).after(secs(2)),
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
    issuer.script([Reply::token(secs(900))]);
    issuer.default_reply(Reply::token(secs(900)).after(secs(20)));
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
        issuer.script([Reply::token(secs(900))]);
        issuer.default_reply(Reply::error(failure));
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
    let policy = RefreshPolicy::default().min_reject_interval(secs(30));
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
        issuer.default_reply(Reply::token(secs(900)).after(millis(300)));
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
    issuer.script([Reply::token(secs(900))]);
    issuer.default_reply(Reply::token(secs(900)).after(secs(20)));
    let provider = provider(&issuer);
    provider.token().await.unwrap();
    let server = Server::answering([401]).after(millis(400));
    let before = Instant::now();
    let request = server.client(&provider).get(URL).timeout(secs(1));
    assert_eq!(request.send().await.unwrap().status(), 401);
    let took = before.elapsed();
    assert!((millis(990)..millis(1_050)).contains(&took), "{took:?}");
}

/// A body that begins and never ends.
struct Endless(bool);

impl http_body::Body for Endless {
    type Data = bytes::Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<bytes::Bytes>, std::io::Error>>> {
        if std::mem::replace(&mut self.0, false) {
            let begin = bytes::Bytes::from_static(b"begin");
            return Poll::Ready(Some(Ok(http_body::Frame::data(begin))));
        }
        Poll::Pending
    }
}

/// Refuses the first request with a body that never ends.
struct Endlessly(AtomicBool);

#[async_trait::async_trait]
impl Middleware for Endlessly {
    async fn handle(
        &self,
        request: Request,
        _: &mut Extensions,
        _: Next<'_>,
    ) -> reqwest_middleware::Result<Response> {
        if self.0.swap(true, Ordering::SeqCst) {
            let left = *request.timeout().unwrap();
            assert!(left > millis(500), "{left:?}");
            return Ok(answer(200, request.url().clone()));
        }
        let refusal = http::Response::builder().status(401);
        let refusal = refusal.url(request.url().clone());
        let refusal = refusal.body(reqwest::Body::wrap(Endless(true)));
        Ok(refusal.unwrap().into())
    }
}

#[tokio::test(start_paused = true)]
async fn r12_a_refusal_that_never_ends_does_not_use_up_the_timeout() {
    let provider = provider(&ScriptedIssuer::new());
    let client = ClientBuilder::new(reqwest::Client::new())
        .with(provider.middleware())
        .with(Endlessly(AtomicBool::new(false)))
        .build();
    let response = client.get(URL).timeout(secs(1)).send().await.unwrap();
    assert_eq!(response.status(), 200);
}

#[tokio::test(start_paused = true)]
async fn r11_a_refusal_that_never_ends_is_returned_as_it_is() {
    let provider = provider(&ScriptedIssuer::new());
    let client = ClientBuilder::new(reqwest::Client::new())
        .with(provider.middleware().resend(false))
        .with(Endlessly(AtomicBool::new(false)))
        .build();
    let mut response = client.get(URL).send().await.unwrap();
    assert_eq!(response.status(), 401);
    assert_eq!(response.chunk().await.unwrap().unwrap(), "begin");
    let next = tokio::time::timeout(secs(10), response.chunk()).await;
    assert!(next.is_err(), "the body goes on");
}

#[tokio::test(start_paused = true)]
async fn r12_a_401_is_returned_at_once_if_the_next_exchange_comes_too_late() {
    let issuer = ScriptedIssuer::new();
    issuer.script([Reply::token(secs(900))]);
    issuer.default_reply(Reply::error(
        Error::transient("down").with_retry_after(secs(20)),
    ));
    let provider = provider(&issuer);
    provider.token().await.unwrap();
    provider.refresh().await.unwrap_err();
    let client = Server::answering([401]).client(&provider);
    let before = Instant::now();
    let request = client.get(URL).timeout(secs(5));
    assert_eq!(request.send().await.unwrap().status(), 401);
    assert!(before.elapsed() < millis(100), "{:?}", before.elapsed());
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
    issuer.default_reply(Reply::token(secs(900)).after(secs(20)));
    let provider = provider(&issuer);
    let server = Server::default();
    let request = server.client(&provider).get(URL).timeout(secs(1));
    let error = request.send().await.unwrap_err();
    let error = Error::find_in(&error).unwrap();
    assert_eq!(error.kind(), ErrorKind::WaitTimeout);
    assert!(server.tokens().is_empty());
}
