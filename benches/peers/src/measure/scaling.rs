//! Several threads, each with a runtime of its own and its own handle to the rival.

use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use http::HeaderMap;
use rustix::thread::{CpuSet, sched_setaffinity};

use super::{Plan, Warm, cores, interleaved, one_thread, repeat, spread, times_for};
use crate::report::Scaling;
use crate::rival::Rival;
use crate::rivals::of_every_rival;

const THREADS: [usize; 4] = [1, 2, 3, 4];

struct Lane {
    name: &'static str,
    threads: usize,
    nanos: Box<dyn FnMut() -> f64>,
}

pub(super) fn run(plan: Plan) -> Vec<Scaling> {
    let lanes: Vec<Vec<Lane>> = of_every_rival!(lanes(plan));
    let mut lanes: Vec<Lane> = lanes.into_iter().flatten().collect();
    let found = interleaved(plan.rounds, &mut lanes, |lane| (lane.nanos)());
    let found = lanes.iter().zip(&found);
    found
        .map(|(lane, nanos)| Scaling {
            rival: lane.name.to_owned(),
            threads: lane.threads,
            nanos: spread(nanos),
        })
        .collect()
}

fn lanes<R: Rival>(plan: Plan) -> Vec<Lane> {
    let warm = Arc::new(Warm::<R>::start());
    let lane = |&threads| {
        let warm = Arc::clone(&warm);
        let few = 500;
        let took = together(&warm.rival, threads, few);
        let times = times_for(2 * plan.round, few * threads as u64, took);
        Lane {
            name: R::NAME,
            threads,
            nanos: Box::new(move || {
                let took = together(&warm.rival, threads, times);
                took.as_nanos() as f64 / (times * threads as u64) as f64
            }),
        }
    };
    THREADS.iter().map(lane).collect()
}

/// For how long so many threads take up the cores, all of these together, for so many operations
/// each. Threads that share a core take turns on it.
fn together<R: Rival>(rival: &R, threads: usize, times: u64) -> Duration {
    let barrier = &Barrier::new(threads);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..threads)
            .map(|number| {
                scope.spawn(move || {
                    let core = number % cores();
                    stay_on(core);
                    let rival = rival.clone();
                    let runtime = one_thread();
                    let mut map = HeaderMap::new();
                    runtime.block_on(repeat(&rival, &mut map, 10));
                    barrier.wait();
                    let began = Instant::now();
                    runtime.block_on(repeat(&rival, &mut map, times));
                    (core, began, Instant::now())
                })
            })
            .collect();
        let ran: Vec<_> = threads.into_iter().map(|it| it.join().unwrap()).collect();
        let taken = |core| {
            let here = || ran.iter().filter(move |it| it.0 == core);
            let began = here().map(|it| it.1).min()?;
            let ended = here().map(|it| it.2).max()?;
            Some(ended - began)
        };
        (0..cores()).filter_map(taken).sum()
    })
}

/// Without this, threads that one thread has woken can share its core for a whole round.
fn stay_on(core: usize) {
    let mut cores = CpuSet::new();
    cores.set(core);
    // Where that is not allowed, the system chooses.
    let _ = sched_setaffinity(None, &cores);
}
