//! What a run has found, as it is written to `results.json`.

use serde::{Deserialize, Serialize};

#[derive(Debug, Default, Deserialize, Serialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) hot_path: Vec<HotPath>,
    pub(crate) scaling: Vec<Scaling>,
    pub(crate) many_tasks: Vec<ManyTasks>,
    pub(crate) stampede: Vec<Stampede>,
    pub(crate) paced: Vec<Paced>,
    pub(crate) layer: Vec<Layer>,
    pub(crate) idle: Vec<Idle>,
    pub(crate) not_driven: Vec<NotDriven>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) cores: usize,
    pub(crate) kernel: String,
    pub(crate) rustc: String,
    pub(crate) date: String,
    pub(crate) rounds: usize,
    pub(crate) paced_rounds: usize,
    /// Each crate that is measured, with its version.
    pub(crate) crates: Vec<(String, String)>,
}

/// The middle of several rounds, and how far they lie apart.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

/// One thread; one operation gets the header of a good token and puts it into a map of headers.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct HotPath {
    pub(crate) rival: String,
    pub(crate) nanos: Spread,
    pub(crate) allocations: f64,
}

/// The same on several threads at once: nanoseconds for each operation of one of them.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Scaling {
    pub(crate) rival: String,
    pub(crate) threads: usize,
    pub(crate) nanos: Spread,
}

/// 64 tasks on two workers.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct ManyTasks {
    pub(crate) rival: String,
    pub(crate) millions_a_second: Spread,
}

/// 10,000 callers, nothing cached, an exchange of 20 ms.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Stampede {
    pub(crate) rival: String,
    pub(crate) exchanges: Spread,
    pub(crate) refused: Spread,
    pub(crate) last_millis: Spread,
    pub(crate) cpu_millis: Spread,
    pub(crate) peak_megabytes: Spread,
}

/// 64 callers, 1 ms between the calls of each, exchanges of 20 ms; latencies from the moment at
/// which a call was to begin.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Paced {
    pub(crate) rival: String,
    /// Of each token. Much longer than the run where nothing is to be refreshed.
    pub(crate) life_millis: f64,
    pub(crate) refreshes: bool,
    pub(crate) exchanges: Spread,
    pub(crate) p50_micros: Spread,
    pub(crate) p99_micros: Spread,
    pub(crate) p999_micros: Spread,
    pub(crate) max_micros: Spread,
    /// Calls that took longer than 5 ms, in percent.
    pub(crate) waited_percent: Spread,
    pub(crate) refused_percent: Spread,
}

/// One request through a reqwest-middleware chain that answers without a network.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Layer {
    pub(crate) layer: String,
    pub(crate) nanos: Spread,
    pub(crate) above_no_op: Spread,
}

/// So many providers, each with a token, that nobody asks.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Idle {
    pub(crate) providers: usize,
    pub(crate) bytes_each: Spread,
    /// Microseconds of CPU that each takes in a second.
    pub(crate) cpu_micros_each: Spread,
}

#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct NotDriven {
    pub(crate) rival: String,
    pub(crate) reason: String,
}
