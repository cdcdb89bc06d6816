//! Kills a process that rotates its long-term token again and again, at random moments, with SIGKILL. The next
//! process must continue from the file that is left, without another secret or manual intervention. While a process
//! runs, it sends requests, and the server must accept the token of each one.
//!
//! ```sh
//! cargo run --release --example crash -- --kills 1000
//! cargo run --release --example crash -- --server cascading --server gateway
//! ```

mod judgement;
mod life;
mod options;
mod servers;
mod victim;

use std::env;
use std::process::ExitCode;

use life::live;
use options::{Options, usage};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[tokio::main]
async fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let outcome = match args.next().as_deref() {
        Some(victim::FLAG) => victim::run(args).await.map(|()| true),
        first => match Options::parse(first.map(str::to_owned).into_iter().chain(args)) {
            Ok(Some(options)) => run(options).await,
            Ok(None) => {
                println!("{}", usage());
                return ExitCode::SUCCESS;
            }
            Err(mistake) => {
                eprintln!("error: {mistake}\n\n{}", usage());
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

async fn run(options: Options) -> Result<bool> {
    let Options {
        kills,
        seed,
        behaviours,
    } = options;
    println!("{kills} kills for each behaviour of the server; seed {seed}\n");
    let mut is_well = true;
    for behaviour in behaviours {
        let judgement = live(behaviour, kills, seed).await?;
        println!("{judgement}");
        is_well &= judgement.is_well();
    }
    println!(
        "{}",
        if is_well {
            "All checks passed."
        } else {
            "Some checks failed; see the lines marked with `<== FAILED`."
        }
    );
    Ok(is_well)
}
