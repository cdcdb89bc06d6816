//! Many at once: readers beside a writer, a stampede on an empty provider, refusals of one token.
//!
//! ```sh
//! cargo bench --bench contention
//! ```

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on panics")]

#[allow(dead_code, reason = "other benchmarks use the rest")]
mod common;

use std::future::Future;
use std::time::Duration;

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use everbearer::testkit::{Reply, ScriptedIssuer};
use everbearer::{LongTermToken, TokenProvider};
use futures_util::FutureExt;
use tokio::runtime::Runtime;
use tokio::task::{AbortHandle, JoinSet};

use common::Holder;

const TASKS: &[usize] = &[1, 4, 16, 64];
const CALLERS: &[usize] = &[1_000, 10_000];
const READS: usize = 1_000;
const EXCHANGE_TAKES: Duration = Duration::from_millis(20);

fn main() {
    divan::main();
}

/// One, and on up to twice as many as there are cores.
fn threads() -> Vec<usize> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let doubling = std::iter::successors(Some(1), |threads| Some(threads * 2));
    doubling
        .take_while(|threads| *threads <= 2 * cores)
        .collect()
}

/// Has the token replaced every millisecond, until it is dropped.
struct Writer(AbortHandle);

impl Writer {
    fn beside(holder: &Holder) -> Self {
        let provider = holder.provider.clone();
        let writing = async move {
            let mut pace = tokio::time::interval(Duration::from_millis(1));
            loop {
                pace.tick().await;
                provider.refresh().await.unwrap();
            }
        };
        Self(holder.runtime.spawn(writing).abort_handle())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn read(provider: &TokenProvider) {
    let header = provider.authorization().now_or_never();
    assert!(black_box(header).is_some_and(|header| header.is_ok()));
}

/// In each of the threads at once, and so many that it makes no difference which begins first.
fn reads(bencher: Bencher, provider: &TokenProvider) {
    let reads = 20 * READS;
    bencher.counter(ItemsCount::new(reads)).bench(|| {
        for _ in 0..reads {
            read(provider);
        }
    });
}

#[divan::bench(threads = threads(), sample_count = 200)]
fn threads_beside_no_writer(bencher: Bencher) {
    let holder = Holder::new();
    reads(bencher, &holder.provider);
}

#[divan::bench(threads = threads(), sample_count = 200)]
fn threads_beside_a_writer(bencher: Bencher) {
    let holder = Holder::new();
    let _writer = Writer::beside(&holder);
    reads(bencher, &holder.provider);
}

/// Each task reads a thousand times, and lets the others have their turn now and then.
#[divan::bench(args = TASKS, sample_count = 300)]
fn tasks_beside_a_writer(bencher: Bencher, tasks: usize) {
    let holder = Holder::new();
    let _writer = Writer::beside(&holder);
    bencher
        .counter(ItemsCount::new(tasks * READS))
        .bench_local(|| {
            at_once(&holder.runtime, tasks, || {
                let provider = holder.provider.clone();
                async move {
                    for turn in 1..=READS {
                        read(&provider);
                        if turn % 100 == 0 {
                            tokio::task::yield_now().await;
                        }
                    }
                }
            });
        });
}

fn at_once<F>(runtime: &Runtime, callers: usize, mut caller: impl FnMut() -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    runtime.block_on(async {
        let callers: JoinSet<()> = (0..callers).map(|_| caller()).collect();
        callers.join_all().await;
    });
}

/// The floor under the stampede: as many tasks, each with one sleep of that length.
#[divan::bench(args = CALLERS, sample_count = 20)]
fn stampede_without_a_provider(bencher: Bencher, callers: usize) {
    let runtime = Runtime::new().unwrap();
    bencher
        .counter(ItemsCount::new(callers))
        .bench_local(|| at_once(&runtime, callers, || tokio::time::sleep(EXCHANGE_TAKES)));
}

/// Until the last one has its header, 20 ms of it being the exchange.
#[divan::bench(args = CALLERS, sample_count = 20)]
fn stampede_on_a_cold_provider(bencher: Bencher, callers: usize) {
    let runtime = Runtime::new().unwrap();
    bencher
        .counter(ItemsCount::new(callers))
        .with_inputs(|| cold(&runtime))
        .bench_local_values(|(issuer, provider)| {
            at_once(&runtime, callers, || {
                let provider = provider.clone();
                async move {
                    black_box(provider.authorization().await.unwrap());
                }
            });
            assert_eq!(issuer.exchanges(), 1);
            provider
        });
}

/// Until the last one has another token, 20 ms of it being the exchange.
#[divan::bench(args = CALLERS, sample_count = 20)]
fn reject_of_one_token_by_many(bencher: Bencher, callers: usize) {
    let runtime = Runtime::new().unwrap();
    bencher
        .counter(ItemsCount::new(callers))
        .with_inputs(|| {
            let (issuer, provider) = cold(&runtime);
            let token = runtime.block_on(provider.token()).unwrap();
            (issuer, provider, token)
        })
        .bench_local_values(|(issuer, provider, refused)| {
            at_once(&runtime, callers, || {
                let (provider, refused) = (provider.clone(), refused.clone());
                async move {
                    black_box(provider.invalidate(&refused).await.unwrap());
                }
            });
            assert_eq!(issuer.exchanges(), 2);
            provider
        });
}

fn cold(runtime: &Runtime) -> (ScriptedIssuer, TokenProvider) {
    let issuer = ScriptedIssuer::new();
    issuer.default_reply(Reply::token(Duration::from_secs(900)).after(EXCHANGE_TAKES));
    let long_term = LongTermToken::new("long-term").unwrap();
    let _entered = runtime.enter();
    let provider = TokenProvider::builder(issuer.clone(), long_term)
        .build()
        .unwrap();
    (issuer, provider)
}
