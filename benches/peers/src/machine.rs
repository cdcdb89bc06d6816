//! What a run was made on, and with.

use std::fs;
use std::process::Command;

use crate::report::Machine;

const CRATES: [&str; 19] = [
    "everbearer",
    "tokio",
    "reqwest",
    "reqwest-middleware",
    "arc-swap",
    "moka",
    "middle",
    "aliri_tokens",
    "huskarl",
    "aws-smithy-runtime",
    "object_store",
    "google-cloud-auth",
    "gcp_auth",
    "token-source",
    "gcloud-auth",
    "reqwest-auth",
    "yup-oauth2",
    "azure_core",
    "http",
];

pub(crate) fn describe(machine: &mut Machine) {
    machine.processor = processor();
    machine.cores = std::thread::available_parallelism().map_or(1, usize::from);
    let version = fs::read_to_string("/proc/version").unwrap_or_default();
    machine.kernel = version.split(" (").next().unwrap_or_default().to_owned();
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    machine.rustc = says(&rustc, "--version");
    machine.date = says("date", "+%Y-%m-%d");
    machine.crates = CRATES
        .iter()
        .map(|name| ((*name).to_owned(), versions(name)))
        .collect();
}

fn processor() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = info
        .lines()
        .find_map(|line| line.strip_prefix("model name"));
    let name = line.and_then(|line| line.split_once(": "));
    name.map_or("unknown", |(_, name)| name).to_owned()
}

fn says(program: &str, argument: &str) -> String {
    let output = Command::new(program).arg(argument).output();
    output.map_or("unknown".to_owned(), |output| {
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    })
}

/// Of a crate by this name, as it was built: two of them where a rival wants an older one.
fn versions(name: &str) -> String {
    let lock = include_str!("../Cargo.lock");
    let entry = format!("name = \"{name}\"\nversion = \"");
    let versions: Vec<&str> = lock
        .split(&entry)
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .collect();
    versions.join(", ")
}
