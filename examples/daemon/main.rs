//! A daemon to copy from: it keeps its long-term token in a file and rotates it, calls a URL at an interval, reports its
//! health over HTTP, and shuts down gracefully. The README beside it describes all of that.
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
Calls a URL at an interval, with a token that the provider keeps fresh.

Usage: daemon CONFIG.toml

The environment variable EVERBEARER_<SECTION>__<KEY>, such as EVERBEARER_AUTH__BASE_URL, overrides a key of the file.
RUST_LOG sets the log level, such as `debug` or `info,everbearer=debug`; LOG_FORMAT=json logs in JSON.
SIGHUP reloads the file; SIGTERM and SIGINT stop the daemon.

Exit codes: 0, all tokens are revoked; 1, the daemon cannot run; 2, the config is invalid; 3, the daemon stopped and a
token may still be valid.";

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
            eprintln!("error: expected one argument, the config file\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let format = std::env::var("LOG_FORMAT").unwrap_or_default();
    let is_json = match format.as_str() {
        "" | "text" => false,
        "json" => true,
        _ => {
            eprintln!("error: LOG_FORMAT must be `json` or `text`");
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
            eprintln!("error: cannot start the tokio runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let outcome = runtime.block_on(life::run(&path));
    // Does not wait for blocking work, such as on a disk that hangs.
    runtime.shutdown_background();
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(3),
        Err(failure) => {
            // If RUST_LOG disables errors, prints to stderr.
            if is_json && tracing::enabled!(tracing::Level::ERROR) {
                tracing::error!(%failure, "the daemon cannot run");
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
