//! A daemon to copy from: it keeps its long-term token in a file and rotates it, calls a URL at an
//! interval, says how it is over HTTP, and stops as a service should. The README beside it walks
//! through all of that.
//!
//! ```sh
//! cargo run --example daemon -- examples/daemon/daemon.toml
//! ```

#[cfg(unix)]
mod config;
#[cfg(unix)]
mod duration;
#[cfg(unix)]
mod failure;
#[cfg(unix)]
mod http;
#[cfg(unix)]
mod job;
#[cfg(unix)]
mod life;
#[cfg(unix)]
mod load;
#[cfg(unix)]
mod report;
#[cfg(unix)]
mod secret;
#[cfg(unix)]
mod service;
#[cfg(unix)]
use std::path::PathBuf;
use std::process::ExitCode;

#[cfg(unix)]
const USAGE: &str = "\
Calls a URL at an interval, with a token that stays fresh.

Usage: daemon CONFIG.toml

Each key of the file can be given as EVERBEARER_<SECTION>__<KEY> in the environment instead, such as
EVERBEARER_AUTH__BASE_URL. RUST_LOG=debug, or another level, says how much is logged. SIGHUP reads the file again; SIGTERM and SIGINT stop it.

It exits with 0 when all that was to be revoked is revoked, 1 when it cannot run, 2 when the config
is wrong, and 3 when it stopped and a token may live on.";

#[cfg(unix)]
fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    let path = match (args.next(), args.next()) {
        (Some(path), None) if path == "--help" || path == "-h" => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        (Some(path), None) => PathBuf::from(path),
        _ => {
            eprintln!("error: name the config file, and nothing else\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let level = std::env::var("RUST_LOG").ok();
    let level = level.and_then(|level| level.parse().ok());
    tracing_subscriber::fmt()
        .with_max_level(level.unwrap_or(tracing::Level::INFO))
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: the system gives no threads to run on: {error}");
            return ExitCode::FAILURE;
        }
    };
    let outcome = runtime.block_on(life::run(&path));
    // A disk that hangs must not keep a process that has said its last word.
    runtime.shutdown_background();
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(3),
        Err(failure) => {
            eprintln!("error: {failure}");
            failure.exit_code()
        }
    }
}

#[cfg(not(unix))]
fn main() -> ExitCode {
    eprintln!("error: this example uses signals and file modes, which only Unix systems have");
    ExitCode::FAILURE
}
