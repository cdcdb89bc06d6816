//! A provider under load for minutes while a third of all exchanges fail, and the subscriber, the
//! recorder, the issuer and the clock panic in about one call in a hundred. The auth server counts its requests,
//! and the exit code is 0 if all checks of the figures pass.
//!
//! The provider rotates its long-term token every few seconds. The revocation of a long-term token ends what was minted
//! from it, and the server returns a short-term token again while it lives.
//!
//! ```sh
//! cargo run --release --example soak -- --minutes 5
//! cargo run --release --example soak -- --minutes 5 --report FILE | head -5   # a log whose pipe breaks
//! ```

mod faults;
mod figures;
mod fragile;
mod load;
mod watched;

use std::env;
use std::fmt::Display;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use everbearer::testkit::AuthServer;
use everbearer::{AuthApi, Grant, RetryPolicy, RotationPolicy, ShutdownPolicy, TokenProvider};

use faults::Faults;
use figures::Figures;
use fragile::{FragileClock, Panics};
use load::Load;
use watched::Watched;

const USAGE: &str = "\
Runs a provider under load while a third of all exchanges fail, and checks the figures.

Usage: soak [--minutes N] [--seed N] [--report FILE]

  --minutes N    how long to run, from 0.1 to 10000 [default: 1]
  --seed N       repeats the faults of the run that printed this seed [default: random]
  --report FILE  also write the final figures into this file
  --help         print this and stop

The exit code is 0 if all checks pass, and 1 otherwise.";

/// The server returns a token again that has at least a second left.
const TOKENS_LIVE: Duration = Duration::from_secs(3);
const EXCHANGE_TIMEOUT: Duration = Duration::from_millis(300);
const LONG_TERM_TOKENS_LIVE: Duration = Duration::from_secs(6);
const SECONDS_PER_LINE: usize = 10;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[tokio::main]
async fn main() -> ExitCode {
    let options = match Options::parse(env::args().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => {
            say(USAGE);
            return ExitCode::SUCCESS;
        }
        Err(mistake) => {
            eprintln!("error: {mistake}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(&options).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Prints a line. Unlike `println!`, it does not panic if the pipe is closed.
fn say(line: impl Display) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

struct Options {
    lasts: Duration,
    seed: u64,
    report: Option<PathBuf>,
}

impl Options {
    /// Returns `None` if `--help` is given.
    fn parse(mut args: impl Iterator<Item = String>) -> std::result::Result<Option<Self>, String> {
        let (mut minutes, mut seed, mut report) = (1.0, fastrand::u64(..), None);
        while let Some(name) = args.next() {
            let mut value = || args.next().ok_or(format!("{name} needs a value"));
            match name.as_str() {
                "--help" | "-h" => return Ok(None),
                "--minutes" => {
                    let value = value()?;
                    let number = value.parse().ok();
                    minutes = number
                        .filter(|minutes| (0.1..=10_000.0).contains(minutes))
                        .ok_or(format!(
                            "--minutes must be from 0.1 to 10000, not {value:?}"
                        ))?;
                }
                "--seed" => {
                    let value = value()?;
                    let number = value.parse();
                    seed = number
                        .map_err(|_| format!("--seed must be a whole number, not {value:?}"))?;
                }
                "--report" => report = Some(PathBuf::from(value()?)),
                _ => return Err(format!("unknown argument {name:?}")),
            }
        }
        let lasts = Duration::from_secs(60).mul_f64(minutes);
        Ok(Some(Self {
            lasts,
            seed,
            report,
        }))
    }
}

async fn run(options: &Options) -> Result<bool> {
    let (lasts, seed) = (options.lasts, options.seed);
    let panics = Panics::install()?;
    let server = AuthServer::builder()
        .short_term_lifetime(TOKENS_LIVE)
        .long_term_lifetime(LONG_TERM_TOKENS_LIVE)
        .cascade_revocations(true)
        .repeat_short_term_tokens(true)
        .fractional_timestamps(true);
    let server = Arc::new(server.start().await?);
    let mut faults = Faults::new(seed);
    faults.keep_coming(&server);
    say(format_args!(
        "{} callers for {lasts:?}; tokens live for {TOKENS_LIVE:?}; seed {seed}",
        load::CALLERS
    ));

    let issuer = Watched::new(AuthApi::new(server.base_url())?, Arc::clone(&server));
    let grant = Grant::client_secret(server.client_id(), server.client_secret());
    let provider = TokenProvider::builder(issuer.clone(), grant)
        .retry_policy(for_short_lives())
        .rotation_policy(for_short_long_term_lives())
        .shutdown_policy(ShutdownPolicy::default().revoke_long_term(true))
        .clock(FragileClock)
        .build()?;
    let load = Load::start(&provider, server.url("/jobs"), seed)?;

    let mut figures = Figures::new(Arc::clone(&server), issuer, load.tally());
    for second in 1..=usize::try_from(lasts.as_secs())? {
        tokio::time::sleep(Duration::from_secs(1)).await;
        faults.keep_coming(&server);
        figures.sample(&provider.status(), faults.met(&server));
        if second % SECONDS_PER_LINE == 0 {
            say(figures.line());
        }
    }
    load.stop().await;
    // Until an exchange has ended that the server leaves hanging, and what it may have obtained has expired: the report
    // counts that as unknown.
    server.clear_faults();
    tokio::time::sleep(EXCHANGE_TIMEOUT + TOKENS_LIVE).await;
    let report = provider.shutdown().await;
    let (judgement, all_are_right) = figures.judge(&report, &panics);
    say(&judgement);
    if let Some(path) = &options.report {
        std::fs::write(path, judgement)?;
    }
    Ok(all_are_right)
}

fn for_short_long_term_lives() -> RotationPolicy {
    RotationPolicy::default()
        .fraction(0.5)
        .grace(Duration::from_millis(500))
        .backoff(Duration::from_millis(20), Duration::from_millis(200))
}

fn for_short_lives() -> RetryPolicy {
    RetryPolicy::default()
        .backoff(Duration::from_millis(20), Duration::from_millis(200))
        .max_retry_after(Duration::from_millis(100))
        .terminal_backoff(Duration::from_millis(100))
        .exchange_timeout(EXCHANGE_TIMEOUT)
        .wait_timeout(Duration::from_secs(3))
}
