//! Two daemons on one token file. The provider rotates the token after about a second, again and again. Each time, one
//! daemon rotates it, and the other loads the stored token. At random moments, one of the daemons is stopped and
//! continued, also while it holds the lease of the store.
//!
//! The revocation of a long-term token ends what was minted from it, the server returns the same short-term token to
//! both daemons, and a gateway answers some requests for a long-term token with a 401.
//!
//! ```sh
//! cargo run --release --example sharing -- --rotations 50
//! ```

mod daemon;
mod judgement;
mod process;
mod stops;

use std::process::ExitCode;
use std::time::Duration;

use everbearer::testkit::{AuthServer, Endpoint, Fault};
use everbearer::{AuthApi, FileStore, Grant, Record, TokenIssuer, TokenStore};

use judgement::judge;
use process::{Daemon, Tally};
use stops::Stops;

const USAGE: &str = "\
Runs two daemons on one token file, stops one of them now and then, and counts the rotations.

Usage: sharing [--rotations N] [--seed N]

  --rotations N  number of rotations to wait for [default: 50]
  --seed N       repeats the stops of the run that printed this seed [default: random]
  --help         print this and stop

The exit code is 0 if each rotation happened once, no request failed and no token was lost, and 1 otherwise.";

/// Much longer than a stop: what is not rotated before the long-term token expires is lost.
const LONG_TERM_LIFE: Duration = Duration::from_secs(12);
const SHORT_TERM_LIFE: Duration = Duration::from_secs(2);

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[tokio::main]
async fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        [daemon::FLAG, base_url, client_id, jobs, path] => {
            daemon::run(base_url, client_id, jobs, path).await
        }
        ["--help" | "-h"] => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        options => match parse(options) {
            Ok((rotations, seed)) => run(rotations, seed).await,
            Err(mistake) => {
                eprintln!("error: {mistake}\n\n{USAGE}");
                return ExitCode::from(2);
            }
        },
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn parse(mut options: &[&str]) -> std::result::Result<(u64, u64), String> {
    let (mut rotations, mut seed) = (50, fastrand::u64(..));
    while let [name, value, rest @ ..] = options {
        let number = value
            .parse()
            .map_err(|_| format!("expected a whole number, not {value:?}"))?;
        match *name {
            "--rotations" => rotations = number,
            "--seed" => seed = number,
            _ => return Err(format!("unknown argument {name:?}")),
        }
        options = rest;
    }
    match options {
        [] => Ok((rotations, seed)),
        [name, ..] => Err(format!(
            "unknown argument, or one without a value: {name:?}"
        )),
    }
}

async fn run(rotations: u64, seed: u64) -> Result<bool> {
    let server = AuthServer::builder()
        .long_term_lifetime(LONG_TERM_LIFE)
        .short_term_lifetime(SHORT_TERM_LIFE)
        .fractional_timestamps(true)
        .cascade_revocations(true)
        .repeat_short_term_tokens(true)
        .start()
        .await?;
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("token");
    let grant = Grant::client_secret(server.client_id(), server.client_secret());
    let token = AuthApi::new(server.base_url())?
        .obtain(&grant, None)
        .await?;
    let store = FileStore::new(&path);
    store.store(&Record::from(token), None).await?;
    script_gateway(&server, rotations, seed);

    println!(
        "two daemons on {}, until they have rotated the token {rotations} times; seed {seed}",
        path.display()
    );
    let mut daemons = [
        Daemon::spawn(&server, &path)?,
        Daemon::spawn(&server, &path)?,
    ];
    let pids = daemons.iter().map(Daemon::pid);
    let mut stops = Stops::new(seed, &path, pids.collect::<Result<_>>()?);
    while server.counts().long_term_issued <= rotations {
        for daemon in &mut daemons {
            daemon.check_runs()?;
        }
        stops.next(&server).await?;
    }
    for daemon in &mut daemons {
        daemon.idle().await?;
    }
    stops.end(&server);
    let mut told = Tally::default();
    for (nth, daemon) in daemons.into_iter().enumerate() {
        let tally = daemon.stop().await?;
        println!("  daemon {}: {tally}", nth + 1);
        told.add(&tally);
    }
    judge(&server, &store, &stops, &told).await
}

/// One of eight requests for a long-term token gets the 401 of a gateway, without a code.
fn script_gateway(server: &AuthServer, rotations: u64, seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..rotations {
        let refused = random.usize(..8);
        let faults = (0..8).map(|nth| {
            if nth == refused {
                Fault::status(401)
            } else {
                Fault::Pass
            }
        });
        server.script(Endpoint::LongTerm, faults);
    }
}
