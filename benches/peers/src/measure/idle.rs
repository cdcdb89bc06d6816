//! Many providers, each with a token, that nobody asks.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{LONG, Plan, child, cpu_time, one_thread, spread_of};
use crate::counting;
use crate::report::Idle;
use crate::rival::Rival as _;
use crate::rivals::everbearer::Everbearer;
use crate::source::Source;

const PROVIDERS: usize = 10_000;
const WATCHED: Duration = Duration::from_secs(2);

#[derive(Deserialize, Serialize)]
pub(super) struct Round {
    bytes_each: f64,
    cpu_micros_each: f64,
}

pub(super) fn run(plan: Plan) -> Idle {
    let rounds: Vec<Round> = (0..plan.rounds).map(|_| child::ask(&["idle"])).collect();
    Idle {
        providers: PROVIDERS,
        bytes_each: spread_of(&rounds, |round| round.bytes_each),
        cpu_micros_each: spread_of(&rounds, |round| round.cpu_micros_each),
    }
}

/// All on one thread, whose allocations are counted.
pub(super) fn round() -> Round {
    one_thread().block_on(async {
        let source = Source::new(LONG, Duration::ZERO);
        // What the first one sets up for all of them is not the price of one.
        let first = Everbearer::start(&source).await;
        first.header().await.unwrap();

        let before = counting::live_bytes();
        let mut providers = Vec::with_capacity(PROVIDERS);
        for _ in 0..PROVIDERS {
            let provider = Everbearer::start(&source).await;
            provider.header().await.unwrap();
            providers.push(provider);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        let bytes = counting::live_bytes() - before;

        let before = cpu_time();
        tokio::time::sleep(WATCHED).await;
        let cpu = cpu_time() - before;
        drop(providers);
        let each = |total: f64| total / PROVIDERS as f64;
        Round {
            bytes_each: each(bytes as f64),
            cpu_micros_each: each(cpu.as_secs_f64() * 1e6 / WATCHED.as_secs_f64()),
        }
    })
}
