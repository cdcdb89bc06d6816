//! A round in a process of its own: its memory and its CPU time are then nobody else's.

use std::process::{Command, Stdio};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{idle, stampede};

/// Runs this program again, for one round of one measurement.
pub(super) fn ask<T: DeserializeOwned>(arguments: &[&str]) -> T {
    let program = std::env::current_exe().unwrap();
    let output = Command::new(program)
        .args(["--round"])
        .args(arguments)
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success(), "the round of {arguments:?} failed");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What such a process does, by the arguments that it was given.
pub(crate) fn answer(arguments: &[&str]) {
    match arguments {
        ["stampede", rival] => print(&stampede::round(rival)),
        ["idle"] => print(&idle::round()),
        _ => panic!("no such round: {arguments:?}"),
    }
}

fn print<T: Serialize>(found: &T) {
    println!("{}", serde_json::to_string(found).unwrap());
}
