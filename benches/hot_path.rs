//! What a request with a good token pays, beside the floor under it.
//!
//! ```sh
//! cargo bench --bench hot_path
//! ```
//!
//! Each iteration does an operation 1,000 times: read "µs" as "ns for each".
//! `into_a_map` puts the header into a map of headers, and drops the one before.

#![allow(
    clippy::unwrap_used,
    reason = "a benchmark that panics is one that has failed"
)]

mod common;

use std::sync::Arc;

use arc_swap::ArcSwap;
use divan::{Bencher, black_box};
use everbearer::{Clock, SystemClock};
use http::header::{AUTHORIZATION, HeaderMap, HeaderValue};

use tokio::runtime::Builder;

use common::{Holder, jwt};

const THREADS: &[usize] = &[1, 2, 4];

fn main() {
    divan::main();
}

/// On a runtime, as a request is: a future that is polled where it stands.
fn repeat<T>(bencher: Bencher, op: impl AsyncFn() -> T + Sync) {
    let runtime = Builder::new_current_thread().build().unwrap();
    bencher.bench(|| {
        runtime.block_on(async {
            for _ in 0..1_000 {
                black_box(op().await);
            }
        });
    });
}

fn insert(bencher: Bencher, get: impl AsyncFn() -> HeaderValue + Sync) {
    let runtime = Builder::new_current_thread().build().unwrap();
    bencher.bench(|| {
        runtime.block_on(async {
            let mut map = HeaderMap::new();
            for _ in 0..1_000 {
                black_box(&mut map).insert(AUTHORIZATION, get().await);
            }
        });
    });
}

fn line() -> HeaderValue {
    HeaderValue::from_str(&format!("Bearer {}", jwt())).unwrap()
}

mod into_a_map {
    use super::{
        ArcSwap, Bencher, Clock, HeaderValue, Holder, SystemClock, THREADS, black_box, common,
        insert, line,
    };

    /// The floor: a value that was there before the program began.
    #[divan::bench(threads = THREADS)]
    fn a_static_header(bencher: Bencher) {
        let value = HeaderValue::from_static(common::static_line());
        insert(bencher, async || value.clone());
    }

    #[divan::bench(threads = THREADS)]
    fn authorization(bencher: Bencher) {
        let holder = Holder::new();
        insert(bencher, async || {
            holder.provider.authorization().await.unwrap()
        });
    }

    #[divan::bench(threads = THREADS)]
    fn arc_swap_and_a_shared_header(bencher: Bencher) {
        let cell = ArcSwap::from_pointee(line());
        insert(bencher, async || HeaderValue::clone(&cell.load()));
    }

    #[divan::bench(threads = THREADS)]
    fn arc_swap_and_a_precise_clock_and_a_shared_header(bencher: Bencher) {
        let cell = ArcSwap::from_pointee(line());
        insert(bencher, async || {
            black_box(SystemClock::default().now());
            HeaderValue::clone(&cell.load())
        });
    }
}

mod parts {
    use super::{
        Arc, ArcSwap, Bencher, Clock, Holder, SystemClock, THREADS, black_box, line, repeat,
    };

    #[divan::bench(threads = THREADS)]
    fn authorization(bencher: Bencher) {
        let holder = Holder::new();
        repeat(bencher, async || holder.provider.authorization().await);
    }

    #[divan::bench(threads = THREADS)]
    fn clone_of_a_shared_header(bencher: Bencher) {
        let value = line();
        repeat(bencher, async || black_box(&value).clone());
    }

    #[divan::bench]
    fn arc_swap_load(bencher: Bencher) {
        let cell = ArcSwap::new(Arc::new(1));
        repeat(bencher, async || **cell.load());
    }

    #[divan::bench]
    fn precise_clock(bencher: Bencher) {
        repeat(bencher, async || SystemClock::default().now());
    }

    #[divan::bench]
    fn clock_of_the_hot_path(bencher: Bencher) {
        repeat(bencher, async || SystemClock::default().coarse_now());
    }
}

mod others {
    use super::{Bencher, Holder, repeat};

    #[divan::bench]
    fn current(bencher: Bencher) {
        let holder = Holder::new();
        repeat(bencher, async || holder.provider.current());
    }

    #[divan::bench]
    fn token(bencher: Bencher) {
        let holder = Holder::new();
        repeat(bencher, async || holder.provider.token().await);
    }

    #[divan::bench]
    fn status(bencher: Bencher) {
        let holder = Holder::new();
        repeat(bencher, async || holder.provider.status());
    }

    #[divan::bench]
    fn scoped(bencher: Bencher) {
        let holder = Holder::new();
        repeat(bencher, async || {
            holder.provider.scoped(["jobs:read", "jobs:write"])
        });
    }

    #[divan::bench]
    fn reject_of_a_superseded_token(bencher: Bencher) {
        let holder = Holder::new();
        let old = holder.runtime.block_on(holder.provider.token()).unwrap();
        holder.runtime.block_on(holder.provider.refresh()).unwrap();
        repeat(bencher, async || holder.provider.invalidate(&old).await);
    }
}

/// A request with three headers through a service that answers at once, with a shared header and with the layer.
mod tower_layer {
    use std::convert::Infallible;
    use std::future::{Ready, ready};
    use std::task::{Context, Poll};

    use tower::{Layer as _, Service};

    use super::{AUTHORIZATION, Bencher, Builder, HeaderValue, Holder, black_box, line};

    type Request = http::Request<String>;
    type Response = http::Response<String>;

    #[derive(Clone)]
    struct Answering;

    impl Service<Request> for Answering {
        type Response = Response;
        type Error = Infallible;
        type Future = Ready<Result<Response, Infallible>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, request: Request) -> Self::Future {
            black_box(&request);
            ready(Ok(Response::default()))
        }
    }

    #[derive(Clone)]
    struct Inserting<S>(S, HeaderValue);

    impl<S: Service<Request>> Service<Request> for Inserting<S> {
        type Response = S::Response;
        type Error = S::Error;
        type Future = S::Future;

        fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
            self.0.poll_ready(context)
        }

        fn call(&mut self, mut request: Request) -> S::Future {
            request.headers_mut().insert(AUTHORIZATION, self.1.clone());
            self.0.call(request)
        }
    }

    fn template() -> Request {
        http::Request::get("https://api.example.com/v1/jobs")
            .header("accept", "application/json")
            .header("user-agent", "bench")
            .header("x-request-id", "4711")
            .body(String::new())
            .unwrap()
    }

    /// Builds the request header by header, so that the header map has room for one more. The map of a cloned request has
    /// no room.
    fn request(template: &Request) -> Request {
        let mut request = Request::new(String::new());
        *request.uri_mut() = template.uri().clone();
        for (name, value) in template.headers() {
            request.headers_mut().insert(name.clone(), value.clone());
        }
        request
    }

    fn send<S: Service<Request>>(bencher: Bencher, mut service: S) {
        let runtime = Builder::new_current_thread().build().unwrap();
        let template = template();
        bencher.bench_local(|| {
            runtime.block_on(async {
                for _ in 0..1_000 {
                    let _ = black_box(service.call(request(&template)).await.is_ok());
                }
            });
        });
    }

    fn layer(holder: &Holder) -> everbearer::BearerLayer {
        let layer = holder.provider.layer();
        layer.origins(["https://api.example.com"]).unwrap()
    }

    #[divan::bench]
    fn no_layer(bencher: Bencher) {
        send(bencher, Answering);
    }

    #[divan::bench]
    fn a_layer_that_inserts_a_shared_header(bencher: Bencher) {
        send(bencher, Inserting(Answering, line()));
    }

    #[divan::bench]
    fn bearer_layer_without_resend(bencher: Bencher) {
        let holder = Holder::new();
        send(bencher, layer(&holder).without_resend().layer(Answering));
    }

    #[divan::bench]
    fn bearer_layer(bencher: Bencher) {
        let holder = Holder::new();
        send(bencher, layer(&holder).layer(Answering));
    }
}
