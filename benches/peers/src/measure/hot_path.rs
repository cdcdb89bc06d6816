//! One thread.

use std::time::Instant;

use http::HeaderMap;

use super::{Plan, Warm, interleaved, one_thread, repeat, spread, times_for};
use crate::counting;
use crate::report::HotPath;
use crate::rival::Rival;
use crate::rivals::of_every_rival;

struct Lane {
    name: &'static str,
    allocations: f64,
    nanos: Box<dyn FnMut() -> f64>,
}

pub(super) fn run(plan: Plan) -> Vec<HotPath> {
    let mut lanes = of_every_rival!(lane(plan));
    let found = interleaved(plan.rounds, &mut lanes, |lane| (lane.nanos)());
    let found = lanes.iter().zip(&found);
    found
        .map(|(lane, nanos)| HotPath {
            rival: lane.name.to_owned(),
            nanos: spread(nanos),
            allocations: lane.allocations,
        })
        .collect()
}

fn lane<R: Rival>(plan: Plan) -> Lane {
    const FEW: u64 = 1000;

    let warm = Warm::<R>::start();
    let runtime = one_thread();
    let mut map = HeaderMap::new();
    runtime.block_on(repeat(&warm.rival, &mut map, FEW));

    let before = counting::allocations();
    runtime.block_on(repeat(&warm.rival, &mut map, FEW));
    let allocated = counting::allocations() - before;

    let began = Instant::now();
    runtime.block_on(repeat(&warm.rival, &mut map, FEW));
    let times = times_for(plan.round, FEW, began.elapsed());

    Lane {
        name: R::NAME,
        allocations: allocated as f64 / FEW as f64,
        nanos: Box::new(move || {
            let began = Instant::now();
            runtime.block_on(repeat(&warm.rival, &mut map, times));
            began.elapsed().as_nanos() as f64 / times as f64
        }),
    }
}
