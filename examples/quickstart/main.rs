//! The life of a provider in 15 seconds: obtain, exchange, refresh under load, revoke at the end.
//!
//! ```sh
//! cargo run --example quickstart
//! ```
//!
//! By default, it starts an auth server of its own, whose tokens live for 4 seconds. It uses your
//! server with `EVERBEARER_BASE_URL`, `EVERBEARER_TARGET_URL` (what to call)
//! and either `EVERBEARER_CLIENT_ID` and `EVERBEARER_CLIENT_SECRET` or
//! `EVERBEARER_LONG_TERM_TOKEN`.

#![allow(
    clippy::disallowed_methods,
    reason = "an example may read the clock directly"
)]

mod load;
mod setting;
mod timeline;

use std::process::ExitCode;
use std::time::Duration;

use everbearer::{AuthApi, RevocationOutcome, ShutdownPolicy, ShutdownReport, TokenProvider};

use load::{Load, Measured};
use setting::Setting;
use timeline::Timeline;

const TASKS: u32 = 8;
const PER_SECOND: u32 = 200;
const LASTS: Duration = Duration::from_secs(15);

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("\nSome checks failed; see the summary.");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error}");
            let mut cause = error.source();
            while let Some(error) = cause {
                eprintln!("  caused by: {error}");
                cause = error.source();
            }
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<bool> {
    let setting = Setting::find().await?;
    println!("Auth server  {}", setting.describe_server());
    println!("Calling      {}", setting.target);
    println!("Load         {PER_SECOND} requests a second from {TASKS} tasks for {LASTS:?}\n");

    let api = AuthApi::new(&setting.base_url)?;
    let provider = TokenProvider::builder(api, setting.credential.clone())
        .origins([setting.target.clone()])
        .shutdown_policy(ShutdownPolicy::default().revoke_long_term(setting.owns_long_term()))
        .build()?;
    let (timeline, printing) = Timeline::follow(&provider);
    provider.token().await?;

    let load = Load {
        tasks: TASKS,
        per_second: PER_SECOND,
        lasts: LASTS,
    };
    let measured = load
        .run(setting.client()?, &provider, &setting.target, &timeline)
        .await;

    timeline.note("the load has ended; shutting down");
    let report = provider.shutdown().await;
    let told = printing.await?;

    let accepted = setting.still_accepted(&told.tokens, &report).await?;
    print_summary(&measured, &told, &report, &accepted);
    let refreshed = told.exchanges >= setting.least_exchanges();
    Ok(measured.failed == 0 && refreshed && report.all_revoked() && accepted.is_empty())
}

fn print_summary(
    measured: &Measured,
    told: &timeline::Told,
    report: &ShutdownReport,
    accepted: &[String],
) {
    let revoked = report
        .tokens
        .iter()
        .filter(|token| matches!(token.outcome, RevocationOutcome::Revoked));
    println!("\nSummary");
    println!(
        "  requests            {}, {} failed",
        measured.requests, measured.failed
    );
    println!(
        "  exchanges           {}, {} failed",
        told.exchanges, told.exchanges_failed
    );
    println!(
        "  longest wait        {:.3} ms for a token",
        measured.longest_wait.as_secs_f64() * 1_000.0
    );
    println!("  served per token    {}", measured.served_per_token());
    println!(
        "  revoked             {} in {:.1?}",
        revoked.count(),
        report.took
    );
    for token in report.not_revoked() {
        println!("  NOT revoked         {token:?}");
    }
    if accepted.is_empty() {
        println!("  confirmed           the server accepts none of the tokens");
    } else {
        println!("  STILL ACCEPTED      {}", accepted.join(", "));
    }
}
