//! What a layer adds to a request through a reqwest-middleware chain.

use std::time::Instant;

use async_trait::async_trait;
use http::header::AUTHORIZATION;
use http::{Extensions, Method};
use reqwest::{Client, Request, Response, Url};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware, Middleware, Next, Result};
use tokio::runtime::Runtime;

use super::{Plan, Warm, interleaved, one_thread, spread, times_for};
use crate::report::Layer;
use crate::rival::Rival;
use crate::rivals::by_hand::ByHand;
use crate::rivals::everbearer::Everbearer;
use crate::rivals::shared_clone::SharedClone;

const NO_OP: usize = 1;

struct Lane {
    name: &'static str,
    client: ClientWithMiddleware,
    times: u64,
}

pub(super) fn run(plan: Plan) -> Vec<Layer> {
    let everbearer = Warm::<Everbearer>::start();
    let shared_clone = Warm::<SharedClone>::start();
    let by_hand = Warm::<ByHand>::start();
    let bearer = everbearer.rival.0.middleware();
    let bearer = bearer.origins(["https://api.example.com"]).unwrap();
    let without_resend = bearer.clone().resend(false);
    let runtime = one_thread();
    let url = Url::parse("https://api.example.com/v1/jobs").unwrap();
    let builder = || ClientBuilder::new(Client::new());

    let mut lanes: Vec<Lane> = [
        ("empty chain", builder()),
        ("no-op layer", builder().with(NoOp)),
        ("no-op + try_clone", builder().with(Copying)),
        ("everbearer", builder().with(bearer)),
        ("everbearer, resend(false)", builder().with(without_resend)),
        (
            SharedClone::NAME,
            builder().with(Of(shared_clone.rival.clone())),
        ),
        (ByHand::NAME, builder().with(Of(by_hand.rival.clone()))),
    ]
    .into_iter()
    .map(|(name, builder)| {
        let client = builder.with(Answer).build();
        nanos(&runtime, &client, &url, 200);
        let began = Instant::now();
        nanos(&runtime, &client, &url, 200);
        let times = times_for(2 * plan.round, 200, began.elapsed());
        Lane {
            name,
            client,
            times,
        }
    })
    .collect();

    let found = interleaved(plan.rounds, &mut lanes, |lane| {
        nanos(&runtime, &lane.client, &url, lane.times)
    });
    let no_op = &found[NO_OP];
    let each = lanes.iter().zip(&found);
    each.map(|(lane, nanos)| {
        let above: Vec<f64> = nanos
            .iter()
            .zip(no_op)
            .map(|(it, no_op)| it - no_op)
            .collect();
        Layer {
            layer: lane.name.to_owned(),
            nanos: spread(nanos),
            above_no_op: spread(&above),
        }
    })
    .collect()
}

fn nanos(runtime: &Runtime, client: &ClientWithMiddleware, url: &Url, times: u64) -> f64 {
    runtime.block_on(async {
        let began = Instant::now();
        for _ in 0..times {
            let request = Request::new(Method::GET, url.clone());
            client.execute(request).await.unwrap();
        }
        began.elapsed().as_nanos() as f64 / times as f64
    })
}

/// The end of every chain, in the place of a network.
struct Answer;

#[async_trait]
impl Middleware for Answer {
    async fn handle(&self, _: Request, _: &mut Extensions, _: Next<'_>) -> Result<Response> {
        Ok(http::Response::new("").into())
    }
}

struct NoOp;

#[async_trait]
impl Middleware for NoOp {
    async fn handle(
        &self,
        request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> Result<Response> {
        next.run(request, extensions).await
    }
}

/// Keeps a copy of the request while it is sent, as any layer must that may have to send it again.
struct Copying;

#[async_trait]
impl Middleware for Copying {
    async fn handle(
        &self,
        request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> Result<Response> {
        let copy = request.try_clone();
        let answer = next.run(request, extensions).await;
        drop(copy);
        answer
    }
}

/// Puts a rival's header on the request, and does no more.
struct Of<R>(R);

#[async_trait]
impl<R: Rival> Middleware for Of<R> {
    async fn handle(
        &self,
        mut request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> Result<Response> {
        let header = self.0.header().await.unwrap();
        request.headers_mut().insert(AUTHORIZATION, header);
        next.run(request, extensions).await
    }
}
