//! Ten thousand callers at once, and nothing cached.

use std::fs;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::{LONG, Plan, child, cpu_time, interleaved, not_driven, spread_of, workers};
use crate::report::{NotDriven, Stampede};
use crate::rival::Rival;
use crate::rivals::aliri::Aliri;
use crate::rivals::middle::Middle;
use crate::rivals::of_every_rival;
use crate::rivals::reqwest_auth::ReqwestAuth;
use crate::rivals::shared_clone::SharedClone;
use crate::rivals::shared_clone_checked::SharedCloneChecked;
use crate::rivals::static_header::StaticHeader;
use crate::rivals::token_source::TokenSource;
use crate::source::Source;

const CALLERS: usize = 10_000;
const EXCHANGE: Duration = Duration::from_millis(20);

const NO_REFRESH: [&str; 3] = [
    StaticHeader::NAME,
    SharedClone::NAME,
    SharedCloneChecked::NAME,
];
const NEVER_COLD: [&str; 4] = [
    Aliri::NAME,
    Middle::NAME,
    TokenSource::NAME,
    ReqwestAuth::NAME,
];

#[derive(Deserialize, Serialize)]
pub(super) struct Round {
    exchanges: f64,
    refused: f64,
    last_millis: f64,
    cpu_millis: f64,
    peak_megabytes: f64,
}

pub(super) fn run(plan: Plan, left_out: &mut Vec<NotDriven>) -> Vec<Stampede> {
    for rival in NEVER_COLD {
        left_out.push(not_driven(
            rival,
            "stampede only: it has its first token before it can be asked, and so is never cold",
        ));
    }
    let mut names: Vec<&'static str> = of_every_rival!(name());
    names.retain(|name| !NO_REFRESH.contains(name) && !NEVER_COLD.contains(name));
    let found = interleaved(plan.rounds, &mut names, |name| {
        child::ask::<Round>(&["stampede", name])
    });
    let found = names.iter().zip(&found);
    found
        .map(|(name, rounds)| Stampede {
            rival: (*name).to_owned(),
            exchanges: spread_of(rounds, |round| round.exchanges),
            refused: spread_of(rounds, |round| round.refused),
            last_millis: spread_of(rounds, |round| round.last_millis),
            cpu_millis: spread_of(rounds, |round| round.cpu_millis),
            peak_megabytes: spread_of(rounds, |round| round.peak_megabytes),
        })
        .collect()
}

fn name<R: Rival>() -> &'static str {
    R::NAME
}

pub(super) fn round(rival: &str) -> Round {
    let lanes: Vec<Lane> = of_every_rival!(lane());
    let lane = lanes.into_iter().find(|lane| lane.name == rival);
    (lane.expect("a rival's name").round)()
}

struct Lane {
    name: &'static str,
    round: fn() -> Round,
}

fn lane<R: Rival>() -> Lane {
    Lane {
        name: R::NAME,
        round: all_at_once::<R>,
    }
}

fn all_at_once<R: Rival>() -> Round {
    workers(2).block_on(async {
        let source = Source::new(LONG, EXCHANGE);
        let rival = R::start(&source).await;
        let memory = Memory::now();
        let cpu = cpu_time();
        let began = Instant::now();
        let callers: Vec<_> = (0..CALLERS)
            .map(|_| {
                let rival = rival.clone();
                tokio::spawn(async move { rival.header().await.is_err() })
            })
            .collect();
        let mut refused = 0;
        for caller in callers {
            refused += u32::from(caller.await.unwrap());
        }
        Round {
            exchanges: source.minted() as f64,
            refused: f64::from(refused),
            last_millis: began.elapsed().as_secs_f64() * 1e3,
            cpu_millis: (cpu_time() - cpu).as_secs_f64() * 1e3,
            peak_megabytes: memory.peak_growth() / 1e6,
        }
    })
}

/// What the process had in memory.
struct Memory {
    resident: f64,
    peak: &'static str,
}

impl Memory {
    fn now() -> Self {
        // Sets the peak back to what is resident now.
        let reset = fs::write("/proc/self/clear_refs", "5").is_ok();
        Self {
            resident: status("VmRSS:"),
            // Without the right to do that: what is resident at the end.
            peak: if reset { "VmHWM:" } else { "VmRSS:" },
        }
    }

    fn peak_growth(&self) -> f64 {
        status(self.peak) - self.resident
    }
}

/// A line of the process's status, in bytes.
fn status(key: &str) -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.unwrap().parse::<f64>().unwrap() * 1024.0
}
