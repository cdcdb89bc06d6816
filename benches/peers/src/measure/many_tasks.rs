//! Many tasks on two workers.

use std::time::{Duration, Instant};

use http::HeaderMap;
use tokio::runtime::Runtime;

use super::{Plan, Warm, interleaved, repeat, spread, times_for, workers};
use crate::report::ManyTasks;
use crate::rival::Rival;
use crate::rivals::of_every_rival;

const TASKS: u64 = 64;
/// How many operations a task makes before it lets another one run.
const AT_A_TIME: u64 = 64;

struct Lane {
    name: &'static str,
    millions_a_second: Box<dyn FnMut() -> f64>,
}

pub(super) fn run(plan: Plan) -> Vec<ManyTasks> {
    let mut lanes = of_every_rival!(lane(plan));
    let found = interleaved(plan.rounds, &mut lanes, |lane| (lane.millions_a_second)());
    let found = lanes.iter().zip(&found);
    found
        .map(|(lane, millions)| ManyTasks {
            rival: lane.name.to_owned(),
            millions_a_second: spread(millions),
        })
        .collect()
}

fn lane<R: Rival>(plan: Plan) -> Lane {
    let warm = Warm::<R>::start();
    let runtime = workers(2);
    let took = on_workers(&runtime, &warm.rival, 2);
    let turns = times_for(4 * plan.round, 2, took);
    Lane {
        name: R::NAME,
        millions_a_second: Box::new(move || {
            let took = on_workers(&runtime, &warm.rival, turns);
            (TASKS * AT_A_TIME * turns) as f64 / took.as_secs_f64() / 1e6
        }),
    }
}

fn on_workers<R: Rival>(runtime: &Runtime, rival: &R, turns: u64) -> Duration {
    runtime.block_on(async {
        let began = Instant::now();
        let tasks: Vec<_> = (0..TASKS)
            .map(|_| {
                let rival = rival.clone();
                tokio::spawn(async move {
                    let mut map = HeaderMap::new();
                    for _ in 0..turns {
                        repeat(&rival, &mut map, AT_A_TIME).await;
                        tokio::task::yield_now().await;
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        began.elapsed()
    })
}
