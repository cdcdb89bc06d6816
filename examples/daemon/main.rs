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
mod place;
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
use tracing_subscriber::filter::{EnvFilter, LevelFilter};

#[cfg(unix)]
const USAGE: &str = "\
Calls a URL at an interval, with a token that stays fresh.

Usage: daemon CONFIG.toml

Each key of the file can be given as EVERBEARER_<SECTION>__<KEY> in the environment instead, such as
EVERBEARER_AUTH__BASE_URL. RUST_LOG says how much is logged, such as `debug` or `info,everbearer=debug`;
LOG_FORMAT=json logs in JSON. SIGHUP reads the file again; SIGTERM and SIGINT stop it.

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
    let format = std::env::var("LOG_FORMAT").unwrap_or_default();
    let is_json = match format.as_str() {
        "" | "text" => false,
        "json" => true,
        _ => {
            eprintln!("error: LOG_FORMAT is neither `json` nor `text`");
            return ExitCode::from(2);
        }
    };
    let filter = EnvFilter::builder().with_default_directive(LevelFilter::INFO.into());
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter.from_env_lossy())
        .with_writer(std::io::stderr)
        .with_ansi(false);
    if is_json {
        log.json().init();
    } else {
        log.init();
    }
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
            // Unless RUST_LOG leaves out errors.
            if is_json && tracing::enabled!(tracing::Level::ERROR) {
                tracing::error!(%failure, "the daemon does not run");
            } else {
                eprintln!("error: {failure}");
            }
            failure.exit_code()
        }
    }
}

#[cfg(not(unix))]
fn main() -> ExitCode {
    eprintln!("error: this example uses signals and file modes, which only Unix systems have");
    ExitCode::FAILURE
}
