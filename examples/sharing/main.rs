//! Two daemons on one token file. The token lives for seconds, so it is rotated again and again. Each time, one daemon
//! rotates it, and the other loads the stored token.
//!
//! ```sh
//! cargo run --release --example sharing -- --rotations 50
//! ```

mod daemon;

use std::path::Path;
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use everbearer::testkit::AuthServer;
use everbearer::{AuthApi, FileStore, Grant, Record, TokenIssuer, TokenStore};
use tokio::process::{Child, Command};

const USAGE: &str = "\
Runs two daemons on one token file, and counts the rotations.

Usage: sharing [--rotations N]

  --rotations N  number of rotations to wait for [default: 50]
  --help         print this and stop

The exit code is 0 if each rotation happened once and no request failed, and 1 otherwise.";

const LONG_TERM_LIFE: Duration = Duration::from_secs(3);
const SHORT_TERM_LIFE: Duration = Duration::from_secs(1);

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[tokio::main]
async fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let outcome = match args.as_slice() {
        [daemon::FLAG, base_url, client_id, jobs, path] => {
            daemon::run(base_url, client_id, jobs, path).await
        }
        [] => run(50).await,
        ["--rotations", number] if number.parse::<u64>().is_ok() => {
            run(number.parse().unwrap_or_default()).await
        }
        ["--help" | "-h"] => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        other => {
            eprintln!("error: unknown arguments {other:?}\n\n{USAGE}");
            return ExitCode::from(2);
        }
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

async fn run(rotations: u64) -> Result<bool> {
    let server = AuthServer::builder()
        .long_term_lifetime(LONG_TERM_LIFE)
        .short_term_lifetime(SHORT_TERM_LIFE)
        .fractional_timestamps(true)
        .start()
        .await?;
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("token");
    let grant = Grant::client_secret(server.client_id(), server.client_secret());
    let token = AuthApi::new(server.base_url())?
        .obtain(&grant, None)
        .await?;
    FileStore::new(&path)
        .store(&Record::from(token), None)
        .await?;

    println!(
        "two daemons on {}, until they have rotated the token {rotations} times",
        path.display()
    );
    let mut daemons = [spawn(&server, &path)?, spawn(&server, &path)?];
    while server.counts().long_term_issued <= rotations {
        for daemon in &mut daemons {
            if let Some(status) = daemon.try_wait()? {
                return Err(format!("a daemon ended early: {status}").into());
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut told = Tally::default();
    for (nth, daemon) in daemons.into_iter().enumerate() {
        let tally = stop(daemon).await?;
        println!("  daemon {}: {tally}", nth + 1);
        told.add(&tally);
    }
    let at_server = server.counts().long_term_issued - 1;
    // A daemon that stops during a rotation leaves the rest of it to the next process.
    let unproven = u64::from(std::fs::read_to_string(&path)?.contains("\"next\""));
    println!("  rotations counted by the server  {at_server:>6}");
    println!("  rotations that the daemons made  {:>6}", told.rotated);
    println!("  rotations begun and not finished {unproven:>6}");
    println!("  tokens loaded from the store     {:>6}", told.followed);
    println!(
        "  requests that failed             {:>6} of {}",
        told.failed, told.requests
    );
    let jobs = server.counts().jobs_outcomes;
    let refused = jobs.without_token + jobs.expired + jobs.revoked + jobs.invalid;
    println!("  requests that the server refused {refused:>6}");
    let is_well = at_server == told.rotated + unproven && told.failed == 0 && refused == 0;
    println!(
        "{}",
        if is_well {
            "All checks passed."
        } else {
            "Some checks failed; see the counts above."
        }
    );
    Ok(is_well)
}

/// The counts that a daemon prints when it ends.
#[derive(Debug, Default)]
struct Tally {
    rotated: u64,
    followed: u64,
    requests: u64,
    failed: u64,
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.rotated += other.rotated;
        self.followed += other.followed;
        self.requests += other.requests;
        self.failed += other.failed;
    }

    fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split_whitespace().map(str::parse);
        let mut number = || numbers.next()?.ok();
        Some(Self {
            rotated: number()?,
            followed: number()?,
            requests: number()?,
            failed: number()?,
        })
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "rotated {} times, reloaded {} times, {} requests, {} failed",
            self.rotated, self.followed, self.requests, self.failed
        )
    }
}

fn spawn(server: &AuthServer, path: &Path) -> Result<Child> {
    Ok(Command::new(std::env::current_exe()?)
        .args([daemon::FLAG, server.base_url(), server.client_id()])
        .arg(server.url("/jobs"))
        .arg(path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?)
}

/// Ends the standard input of the daemon, and reads its counts.
async fn stop(mut daemon: Child) -> Result<Tally> {
    drop(daemon.stdin.take());
    let output = daemon.wait_with_output().await?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(Tally::parse(&printed).ok_or(format!(
        "a daemon printed {printed:?} instead of its counts"
    ))?)
}
