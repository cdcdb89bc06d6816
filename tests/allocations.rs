//! What a request with a good token pays: the hot path allocates nothing, the middleware nothing
//! but its future, what the map of headers needs, and the copy for a resend. In a binary of its own,
//! whose allocator counts.

#![allow(
    clippy::unwrap_used,
    reason = "a test that panics is a test that fails"
)]

use std::time::Duration;

use allocation_counter::measure;
use async_trait::async_trait;
use everbearer::{
    Error, ExchangeResponse, LongTermToken, Revoked, ShortTermToken, TokenIssuer, TokenProvider,
    TokenRef,
};
use futures_util::FutureExt;
use http::Extensions;
use http::header::AUTHORIZATION;
use reqwest::{Client, Method, Request, Response, Url};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware, Middleware, Next};

#[derive(Debug)]
struct Minting;

#[async_trait]
impl TokenIssuer for Minting {
    async fn exchange(
        &self,
        _: Option<&LongTermToken>,
        _: &[String],
    ) -> Result<ExchangeResponse, Error> {
        let token = ShortTermToken::builder("a.b.c").expires_in(Duration::from_secs(3_600));
        token.build().map(ExchangeResponse::from)
    }

    async fn revoke(&self, _: TokenRef<'_>, _: Option<TokenRef<'_>>) -> Result<Revoked, Error> {
        Ok(Revoked::Gone)
    }
}

fn provider() -> (tokio::runtime::Runtime, TokenProvider) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let provider = runtime.block_on(async {
        let long_term = LongTermToken::new("long-term").unwrap();
        let provider = TokenProvider::builder(Minting, long_term)
            .origins(["https://api.example.com"])
            .build()
            .unwrap();
        provider.ready().await.unwrap();
        provider
    });
    (runtime, provider)
}

#[test]
fn the_hot_path_allocates_nothing() {
    let (_runtime, provider) = provider();
    // The first use of a token on a thread makes the thread's copy of its header.
    let first = measure(|| drop(provider.authorization().now_or_never().unwrap().unwrap()));
    assert!(first.count_total > 0, "nothing is counted");
    for (what, count) in [
        (
            "authorization",
            measure(|| drop(provider.authorization().now_or_never().unwrap().unwrap())),
        ),
        (
            "token",
            measure(|| drop(provider.token().now_or_never().unwrap().unwrap())),
        ),
        ("current", measure(|| drop(provider.current().unwrap()))),
    ] {
        assert_eq!(count.count_total, 0, "{what}: {count:?}");
    }
}

/// Does what a layer with a header at hand cannot do without.
struct Floor;

#[async_trait]
impl Middleware for Floor {
    async fn handle(
        &self,
        mut request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> reqwest_middleware::Result<Response> {
        let header = http::HeaderValue::from_static("Bearer a.b.c");
        request.headers_mut().insert(AUTHORIZATION, header);
        next.run(request, extensions).await
    }
}

/// Answers without a network.
struct End;

#[async_trait]
impl Middleware for End {
    async fn handle(
        &self,
        request: Request,
        _: &mut Extensions,
        _: Next<'_>,
    ) -> reqwest_middleware::Result<Response> {
        assert!(request.headers().contains_key(AUTHORIZATION));
        Ok(Response::from(http::Response::new("")))
    }
}

fn url() -> Url {
    "https://api.example.com/v1/jobs".parse().unwrap()
}

fn count(client: &ClientWithMiddleware) -> u64 {
    let url = url();
    let send = || {
        let request = Request::new(Method::GET, url.clone());
        let response = client.execute(request).now_or_never().unwrap();
        assert!(response.unwrap().status().is_success());
    };
    send();
    measure(send).count_total
}

#[test]
fn the_middleware_allocates_nothing_but_its_future_and_the_copy_for_a_resend() {
    let (_runtime, provider) = provider();
    let through = |layer: std::sync::Arc<dyn Middleware>| {
        let client = ClientBuilder::new(Client::new()).with_arc(layer);
        count(&client.with(End).build())
    };
    let floor = through(std::sync::Arc::new(Floor));
    assert!(floor > 0, "nothing is counted");
    let once = through(std::sync::Arc::new(provider.middleware().resend(false)));
    assert_eq!(once, floor);
    let twice = through(std::sync::Arc::new(provider.middleware()));
    let request = Request::new(Method::GET, url());
    let copy = measure(|| drop(request.try_clone().unwrap())).count_total;
    assert_eq!(twice, floor + copy);
}

#[test]
fn the_tower_layer_allocates_nothing_but_the_copy_for_a_resend() {
    use tower::{Layer as _, Service};

    type Tower = http::Request<&'static str>;

    fn allocations<S>(mut service: S, request: &Tower) -> u64
    where
        S: Service<Tower, Response = http::Response<String>>,
    {
        let (first, second) = (request.clone(), request.clone());
        let mut send = |request: Tower| {
            let response = service.call(request).now_or_never().unwrap();
            assert!(response.is_ok_and(|it| it.status() == 200));
        };
        send(first);
        measure(|| send(second)).count_total
    }

    let (_runtime, provider) = provider();
    let request = http::Request::get("https://api.example.com/v1/jobs");
    let request = request.header("accept", "*/*").body("").unwrap();
    let answering = tower::service_fn(|request: Tower| {
        std::future::ready(if request.headers().contains_key(AUTHORIZATION) {
            Ok(http::Response::new(String::new()))
        } else {
            Err(std::io::Error::other("no token"))
        })
    });
    let header = http::HeaderValue::from_static("Bearer a.b.c");
    let mut filled = request.clone();
    let floor = measure(|| drop(filled.headers_mut().insert(AUTHORIZATION, header.clone())));
    let once = provider.layer().without_resend().layer(answering);
    assert_eq!(allocations(once, &request), floor.count_total);
    let twice = provider.layer().layer(answering);
    let copy = measure(|| drop(request.clone())).count_total;
    assert!(copy > 0, "nothing is counted");
    assert_eq!(allocations(twice, &request), floor.count_total + copy);
}
