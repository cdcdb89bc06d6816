//! Measures everbearer beside other crates that keep a token fresh, in one run.

mod counting;
mod figures;
mod machine;
mod measure;
mod report;
mod rival;
mod rivals;
mod source;
mod tables;

use measure::Plan;

const RESULTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/results.json");
const FIGURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/figures");

fn main() {
    rivals::tls::provide();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let plan = match arguments[..] {
        [] => Plan::full(),
        ["--quick"] => Plan::quick(),
        ["--round", ref round @ ..] => return measure::answer(round),
        _ => {
            eprintln!("usage: peers [--quick]");
            std::process::exit(2);
        }
    };
    let mut report = measure::everything(plan);
    machine::describe(&mut report.machine);
    tables::print(&report);
    if arguments == ["--quick"] {
        return; // too few rounds to be kept
    }
    let json = serde_json::to_string_pretty(&report).unwrap();
    std::fs::write(RESULTS, json + "\n").unwrap();
    std::fs::create_dir_all(FIGURES).unwrap();
    figures::draw(&report, FIGURES.as_ref()).unwrap();
    println!("\nwritten to {RESULTS} and {FIGURES}");
}
