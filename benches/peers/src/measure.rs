//! The measurements, and what they share.

mod child;
mod hot_path;
mod idle;
mod layer;
mod many_tasks;
mod paced;
mod scaling;
mod stampede;

use std::time::Duration;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::{Builder, Runtime};

use crate::report::{NotDriven, Report, Spread};
use crate::rival::Rival;
use crate::source::Source;

pub(crate) use child::answer;

/// Longer than any run: the token of a rival that is to have nothing to renew.
const LONG: Duration = Duration::from_secs(3600);

/// How much is measured.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) rounds: usize,
    /// Of the load at a steady pace, whose rounds take seconds.
    pub(crate) paced_rounds: usize,
    /// About how long one round of a loop takes.
    pub(crate) round: Duration,
    /// What the longer rounds are divided by.
    pub(crate) shorter: u32,
}

impl Plan {
    pub(crate) fn full() -> Self {
        Self {
            rounds: 15,
            paced_rounds: 5,
            round: Duration::from_millis(20),
            shorter: 1,
        }
    }

    pub(crate) fn quick() -> Self {
        Self {
            rounds: 1,
            paced_rounds: 1,
            round: Duration::from_millis(5),
            shorter: 6,
        }
    }
}

pub(crate) fn everything(plan: Plan) -> Report {
    let mut report = Report::default();
    report.machine.rounds = plan.rounds;
    report.machine.paced_rounds = plan.paced_rounds;
    eprintln!("hot path");
    report.hot_path = hot_path::run(plan);
    eprintln!("scaling");
    report.scaling = scaling::run(plan);
    eprintln!("many tasks");
    report.many_tasks = many_tasks::run(plan);
    eprintln!("layer");
    report.layer = layer::run(plan);
    eprintln!("idle");
    report.idle = vec![idle::run(plan)];
    eprintln!("stampede");
    report.stampede = stampede::run(plan, &mut report.not_driven);
    eprintln!("paced");
    report.paced = paced::run(plan);
    report
}

/// The work that is measured: the header of a good token, put where a request has it.
async fn repeat<R: Rival>(rival: &R, map: &mut HeaderMap, times: u64) {
    for _ in 0..times {
        map.insert(AUTHORIZATION, rival.header().await.unwrap());
    }
}

/// A rival with an hour's token in its cache, and the runtime that its own tasks are on.
struct Warm<R> {
    rival: R,
    _home: Runtime,
}

impl<R: Rival> Warm<R> {
    fn start() -> Self {
        let home = workers(1);
        let rival = home.block_on(async {
            let rival = R::start(&Source::new(LONG, Duration::ZERO)).await;
            rival.header().await.unwrap();
            rival
        });
        Self { rival, _home: home }
    }
}

fn workers(count: usize) -> Runtime {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(count).enable_all().build().unwrap()
}

fn one_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// What the whole process has used so far.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// How often a loop is to be run to take about as long as a round, by what a few runs took.
fn times_for(round: Duration, few: u64, took: Duration) -> u64 {
    let each = took.as_secs_f64() / few as f64;
    ((round.as_secs_f64() / each) as u64).max(10)
}

fn spread(values: &[f64]) -> Spread {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let median = if sorted.len() % 2 == 1 {
        sorted[middle]
    } else {
        f64::midpoint(sorted[middle - 1], sorted[middle])
    };
    Spread {
        median,
        least: sorted[0],
        most: sorted[sorted.len() - 1],
    }
}

/// Round 1 of each, then round 2 of each, and so on: what the machine does beside it then falls on
/// all of them alike.
fn interleaved<L, T>(
    rounds: usize,
    lanes: &mut [L],
    mut round: impl FnMut(&mut L) -> T,
) -> Vec<Vec<T>> {
    let mut found: Vec<Vec<T>> = lanes.iter().map(|_| Vec::new()).collect();
    for _ in 0..rounds {
        for (lane, found) in lanes.iter_mut().zip(&mut found) {
            found.push(round(lane));
        }
    }
    found
}

/// The spread of one of several numbers of each round.
fn spread_of<T>(rounds: &[T], number: impl Fn(&T) -> f64) -> Spread {
    let numbers: Vec<f64> = rounds.iter().map(number).collect();
    spread(&numbers)
}

fn not_driven(rival: &str, reason: impl Into<String>) -> NotDriven {
    NotDriven {
        rival: rival.to_owned(),
        reason: reason.into(),
    }
}
