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
