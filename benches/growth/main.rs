//! What more providers, sets of scopes and waiters cost: one table.
//!
//! ```sh
//! cargo bench --bench growth
//! ```
//!
//! Each row is measured in a process of its own. Bytes are those that are held once all is in place,
//! the token of 1.2 KB included: on the heap, and by what the process has grown. CPU is for putting
//! it in place, and idle CPU what is used over 35 seconds afterwards, in which every timer of the
//! crate that an idle provider has goes off once. An exponent of 1 is growth in proportion; it is
//! that of the totals, from the row above to this one.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on panics")]

#[allow(dead_code, reason = "other benchmarks use the rest")]
#[path = "../common/mod.rs"]
mod common;
mod issuer;
mod kinds;
mod meter;
mod row;

use std::env;
use std::process::{Child, Command, Stdio};

use kinds::Kind;
use row::Row;

fn main() {
    let mut arguments = env::args().skip(1).filter(|it| it != "--bench");
    match (arguments.next(), arguments.next()) {
        (Some(kind), Some(count)) => {
            let kind = Kind::named(&kind).unwrap();
            println!("{}", kind.measure(count.parse().unwrap()).to_line());
        }
        _ => table(),
    }
}

fn table() {
    println!("{}", Row::HEADING);
    for kind in Kind::ALL {
        let counts = kind.counts();
        let rows: Vec<Row> = if kind.idles() {
            // Idle ones do not disturb each other, but what they need to begin would.
            let children = counts.iter().map(|count| begin(kind, *count));
            children.collect::<Vec<_>>().into_iter().map(end).collect()
        } else {
            let one_by_one = counts.iter().map(|count| end(begin(kind, *count)));
            one_by_one.collect()
        };
        let mut above = None;
        for row in &rows {
            println!("{}", row.shown(kind, above));
            above = Some(row);
        }
    }
}

fn begin(kind: Kind, count: usize) -> Child {
    Command::new(env::current_exe().unwrap())
        .args([kind.name(), &count.to_string()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

fn end(child: Child) -> Row {
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "a row could not be measured");
    Row::from_line(&String::from_utf8(output.stdout).unwrap()).unwrap()
}
