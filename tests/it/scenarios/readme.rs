//! Checks the table in the README of tests/scenarios against the timelines and the tests.

use std::collections::BTreeMap;
use std::fs;
use std::ops::RangeInclusive;
use std::path::Path;

use super::directory;

/// The sections of behaviours, and the numbers that each has.
const SECTIONS: &[(&str, RangeInclusive<u32>)] = &[
    ("W", 1..=22),
    ("W", 24..=24),
    ("J", 1..=4),
    ("F", 1..=15),
    ("E", 1..=20),
    ("L", 1..=20),
    ("S", 1..=13),
    ("D", 1..=13),
    ("A", 1..=6),
    ("R", 1..=16),
    ("V", 1..=4),
    ("O", 1..=25),
];

/// The table in the README: every behaviour of these sections has a row with a proof, and every
/// proof that is named there exists.
#[test]
fn the_readme_maps_each_behaviour_to_its_proof() {
    let readme = fs::read_to_string(directory().join("README.md")).unwrap();
    let mut proven = BTreeMap::new();
    for row in readme.lines().filter(|line| line.starts_with('|')) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let &[id, _, proofs] = cells.as_slice() else {
            continue;
        };
        let named: Vec<&str> = proofs.split('`').skip(1).step_by(2).collect();
        let count = named.iter().filter(|name| is_proof(name, id)).count();
        *proven.entry(id.to_owned()).or_insert(0) += count;
    }
    for (section, numbers) in SECTIONS {
        for number in numbers.clone() {
            let id = format!("{section}{number}");
            let count = proven.get(&id).unwrap_or_else(|| panic!("{id} has no row"));
            assert!(*count > 0, "the row of {id} names no proof");
        }
    }
}

/// Returns whether this is the name of a timeline or of a test. Panics if the timeline or test does not
/// exist, or if the `shows` of the timeline lacks the ID.
fn is_proof(name: &str, id: &str) -> bool {
    if name.ends_with(".json") {
        let text = fs::read_to_string(directory().join(name));
        let text = text.unwrap_or_else(|error| panic!("{id}: {name}: {error}"));
        let shows = format!("{id:?}");
        assert!(
            text.contains(&shows),
            "{name} does not say that it shows {shows}"
        );
        return true;
    }
    let Some((file, test)) = name.split_once("::") else {
        return false;
    };
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file));
    let text = text.unwrap_or_else(|error| panic!("{id}: {file}: {error}"));
    let function = format!("fn {test}(");
    assert!(text.contains(&function), "{id}: {test} is not in {file}");
    true
}
