//! Kills a process that rotates its long-term token again and again, at random moments, with SIGKILL. The next
//! process must continue from the file that is left, without another secret or manual intervention.
//!
//! ```sh
//! cargo run --release --example crash -- --kills 1000
//! ```

mod judgement;
mod life;
mod victim;

use std::env;
use std::process::ExitCode;

use everbearer::testkit::OldLongTermToken;

use judgement::Judgement;
use life::{Behaviour, live};

const USAGE: &str = "\
Kills a process that rotates its token at random moments, and checks that no token is lost.

Usage: crash [--kills N] [--seed N]

  --kills N  number of kills for each behaviour of the server [default: 100]
  --seed N   repeats the moments of the run that printed this seed [default: random]
  --help     print this and stop

The exit code is 0 if no token was lost and none is left to revoke, and 1 otherwise.";

const BEHAVIOURS: [Behaviour; 3] = [
    Behaviour {
        name: "the old token stays valid",
        old: OldLongTermToken::LivesOn,
        loses_responses: false,
    },
    Behaviour {
        name: "the old token is invalidated at once",
        old: OldLongTermToken::DiesAtOnce,
        loses_responses: false,
    },
    Behaviour {
        name: "the old token is invalidated at once, and every third response is lost",
        old: OldLongTermToken::DiesAtOnce,
        loses_responses: true,
    },
];

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[tokio::main]
async fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let outcome = match args.next().as_deref() {
        Some(victim::FLAG) => victim::run(args).await.map(|()| true),
        first => match options(first.map(str::to_owned).into_iter().chain(args)) {
            Ok(Some((kills, seed))) => run(kills, seed).await,
            Ok(None) => {
                println!("{USAGE}");
                return ExitCode::SUCCESS;
            }
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

async fn run(kills: u32, seed: u64) -> Result<bool> {
    println!("{kills} kills for each behaviour of the server; seed {seed}\n");
    let mut is_well = true;
    for behaviour in BEHAVIOURS {
        let judgement: Judgement = live(&behaviour, kills, seed).await?;
        println!("{judgement}");
        is_well &= judgement.is_well();
    }
    println!(
        "{}",
        if is_well {
            "All checks passed."
        } else {
            "Some checks failed: a token was lost or not revoked."
        }
    );
    Ok(is_well)
}

/// Returns `None` if `--help` is given.
fn options(
    mut args: impl Iterator<Item = String>,
) -> std::result::Result<Option<(u32, u64)>, String> {
    let (mut kills, mut seed) = (100, fastrand::u64(..));
    while let Some(name) = args.next() {
        let mut value = || args.next().ok_or(format!("{name} needs a value"));
        let number = |value: String| {
            value
                .parse()
                .map_err(|_| format!("expected a whole number, not {value:?}"))
        };
        match name.as_str() {
            "--help" | "-h" => return Ok(None),
            "--kills" => {
                let value = value()?;
                kills = value
                    .parse()
                    .map_err(|_| format!("expected a whole number, not {value:?}"))?;
            }
            "--seed" => seed = number(value()?)?,
            _ => return Err(format!("unknown argument {name:?}")),
        }
    }
    Ok(Some((kills, seed)))
}
