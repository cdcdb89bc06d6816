//! One operation after the other, for `benches/instructions/check` to have its instructions counted.
//!
//! Everything happens on one thread, and `counted` is the function whose instructions count: what
//! is done once in a process, or for the first token, is done before.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on panics")]

#[allow(dead_code, reason = "other benchmarks use the rest")]
#[path = "../common/mod.rs"]
mod common;

use std::env;
use std::hint::black_box;

use async_trait::async_trait;
use everbearer::{LongTermToken, TokenProvider};
use futures_util::FutureExt;
use http::Extensions;
use reqwest::{Client, Request, Response, Url};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware, Middleware, Next};
use tokio::runtime::{Builder, Runtime};

use common::Minting;

const OPERATIONS: u32 = 2_000;
const WARM_UP: u32 = 20;
const ORIGIN: &str = "http://127.0.0.1";

fn main() {
    match env::args().nth(1).as_deref() {
        Some("hot_path") => hot_path(),
        Some("chain") => chain(|_, client| client),
        Some("chain_with_layer") => chain(|provider, client| {
            let layer = provider.middleware().origins([ORIGIN]).unwrap();
            client.with(layer)
        }),
        Some("refresh") => refresh(),
        _ => println!("run by: sh benches/instructions/check"),
    }
}

/// Never inlined, so that the counting finds where it begins and ends.
#[inline(never)]
fn counted(operation: &mut dyn FnMut()) {
    for _ in 0..OPERATIONS {
        operation();
    }
}

fn run(mut operation: impl FnMut()) {
    for _ in 0..WARM_UP {
        operation();
    }
    counted(&mut operation);
    println!("{OPERATIONS}");
}

fn provider() -> (Runtime, TokenProvider) {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let long_term = LongTermToken::new("long-term").unwrap();
    let provider = runtime.block_on(async {
        let builder = TokenProvider::builder(Minting::default(), long_term);
        let provider = builder.build().unwrap();
        provider.ready().await.unwrap();
        provider
    });
    (runtime, provider)
}

fn hot_path() {
    let (_runtime, provider) = provider();
    run(|| {
        let header = provider.authorization().now_or_never();
        assert!(black_box(header).is_some_and(|header| header.is_ok()));
    });
}

/// A request through a chain that ends before the network.
fn chain(with: impl FnOnce(&TokenProvider, ClientBuilder) -> ClientBuilder) {
    let (runtime, provider) = provider();
    let client: ClientWithMiddleware = with(&provider, ClientBuilder::new(Client::new()))
        .with(Answering)
        .build();
    let url: Url = ORIGIN.parse().unwrap();
    run(|| {
        let request = client.get(url.clone());
        let response = runtime.block_on(request.send()).unwrap();
        assert!(black_box(response).status().is_success());
    });
}

struct Answering;

#[async_trait]
impl Middleware for Answering {
    async fn handle(
        &self,
        request: Request,
        _: &mut Extensions,
        _: Next<'_>,
    ) -> reqwest_middleware::Result<Response> {
        drop(black_box(request));
        Ok(Response::from(http::Response::new("")))
    }
}

/// From the demand to the published token, with the driver and the exchange on this thread.
fn refresh() {
    let (runtime, provider) = provider();
    run(|| {
        let token = runtime.block_on(provider.refresh());
        black_box(token).unwrap();
    });
    assert!(provider.status().generation > u64::from(OPERATIONS));
}
