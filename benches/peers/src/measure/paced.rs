//! Callers at a steady pace, while tokens end and are renewed.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::time::MissedTickBehavior;

use super::{LONG, Plan, interleaved, spread_of, workers};
use crate::report::Paced;
use crate::rival::Rival;
use crate::rivals::aliri::Aliri;
use crate::rivals::aws::Aws;
use crate::rivals::azure::Azure;
use crate::rivals::by_hand::ByHand;
use crate::rivals::everbearer::Everbearer;
use crate::rivals::gcp_auth::GcpAuth;
use crate::rivals::google::Google;
use crate::rivals::huskarl::Huskarl;
use crate::rivals::middle::Middle;
use crate::rivals::moka::Moka;
use crate::rivals::object_store::ObjectStore;
use crate::rivals::reqwest_auth::ReqwestAuth;
use crate::rivals::token_source::TokenSource;
use crate::rivals::yup::Yup;
use crate::source::Source;

const CALLERS: u32 = 64;
const PACE: Duration = Duration::from_millis(1);
const EXCHANGE: Duration = Duration::from_millis(20);
const WAITED: Duration = Duration::from_millis(5);

/// Ten times an exchange: room for those that renew ahead of the end.
const SHORT: Duration = Duration::from_millis(200);
/// For those that count in whole seconds.
const SECONDS: Duration = Duration::from_secs(2);

/// For those that renew so many seconds before the end, which nothing can change: every two
/// seconds, too.
const fn after_lead(seconds: u64) -> Duration {
    Duration::from_secs(seconds + 2)
}

struct Lane {
    name: &'static str,
    life: Duration,
    round: fn(Duration, Duration) -> Round,
    length: Duration,
}

struct Round {
    exchanges: f64,
    refused_percent: f64,
    latencies: Histogram<u64>,
}

pub(super) fn run(plan: Plan) -> Vec<Paced> {
    let mut lanes = [
        lane::<Everbearer>(LONG, 3),
        lane::<ByHand>(LONG, 3),
        lane::<Everbearer>(SHORT, 3),
        lane::<ByHand>(SHORT, 3),
        lane::<Moka>(SHORT, 3),
        lane::<Aws>(SHORT, 3),
        lane::<Azure>(SHORT, 3),
        lane::<Everbearer>(SECONDS, 6),
        lane::<ObjectStore>(SECONDS, 3),
        lane::<Middle>(SECONDS, 6),
        lane::<Huskarl>(SECONDS, 6),
        lane::<Aliri>(SECONDS, 6),
        lane::<TokenSource>(after_lead(10), 6),
        lane::<ReqwestAuth>(after_lead(10), 6),
        lane::<Google>(after_lead(240), 6),
        lane::<GcpAuth>(after_lead(20), 6),
        lane::<Yup>(after_lead(60), 6),
    ];
    let found = interleaved(plan.paced_rounds, &mut lanes, |lane| {
        (lane.round)(lane.life, lane.length / plan.shorter)
    });
    let found = lanes.iter().zip(&found);
    found.map(|(lane, rounds)| paced(lane, rounds)).collect()
}

fn lane<R: Rival>(life: Duration, seconds: u64) -> Lane {
    Lane {
        name: R::NAME,
        life,
        round: round::<R>,
        length: Duration::from_secs(seconds),
    }
}

fn paced(lane: &Lane, rounds: &[Round]) -> Paced {
    let micros = |quantile| {
        spread_of(rounds, |round| {
            round.latencies.value_at_quantile(quantile) as f64 / 1e3
        })
    };
    Paced {
        rival: lane.name.to_owned(),
        life_millis: lane.life.as_secs_f64() * 1e3,
        refreshes: lane.life != LONG,
        exchanges: spread_of(rounds, |round| round.exchanges),
        p50_micros: micros(0.5),
        p99_micros: micros(0.99),
        p999_micros: micros(0.999),
        max_micros: spread_of(rounds, |round| round.latencies.max() as f64 / 1e3),
        waited_percent: spread_of(rounds, |round| {
            let waited = round.latencies.percentile_below(WAITED.as_nanos() as u64);
            100.0 - waited
        }),
        refused_percent: spread_of(rounds, |round| round.refused_percent),
    }
}

fn round<R: Rival>(life: Duration, length: Duration) -> Round {
    workers(2).block_on(async {
        let source = Source::new(life, EXCHANGE);
        let rival = R::start(&source).await;
        rival.header().await.unwrap();
        let before = source.minted();
        let begins = tokio::time::Instant::now() + PACE;
        let callers: Vec<_> = (0..CALLERS)
            .map(|number| {
                let first = begins + PACE * number / CALLERS;
                tokio::spawn(call(rival.clone(), first, begins + length))
            })
            .collect();

        let mut latencies = histogram();
        let (mut calls, mut refused) = (0, 0);
        for caller in callers {
            let caller = caller.await.unwrap();
            latencies.add(&caller.latencies).unwrap();
            calls += caller.calls;
            refused += caller.refused;
        }
        Round {
            exchanges: (source.minted() - before) as f64,
            refused_percent: 100.0 * refused as f64 / calls as f64,
            latencies,
        }
    })
}

struct Caller {
    calls: u64,
    refused: u64,
    latencies: Histogram<u64>,
}

/// Calls at the pace. A call that waits keeps the next ones from beginning on time: they are
/// recorded too, each with what was left of the wait when it was to begin. How late the timer
/// itself is counts for nothing.
async fn call<R: Rival>(
    rival: R,
    first: tokio::time::Instant,
    until: tokio::time::Instant,
) -> Caller {
    let mut pace = tokio::time::interval_at(first, PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut caller = Caller {
        calls: 0,
        refused: 0,
        latencies: histogram(),
    };
    while pace.tick().await < until {
        let began = Instant::now();
        let header = rival.header().await;
        let took = began.elapsed().as_nanos() as u64;
        caller.calls += 1;
        match header {
            Ok(_) => caller
                .latencies
                .record_correct(took, PACE.as_nanos() as u64)
                .unwrap(),
            Err(_) => caller.refused += 1,
        }
    }
    caller
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000_000, 3).unwrap()
}
