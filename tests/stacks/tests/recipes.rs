//! The code of `guide::recipes` is that of these programs.

#![allow(
    clippy::unwrap_used,
    reason = "a test that panics is a test that fails"
)]

use std::fs;
use std::path::Path;

const BEGIN: &str = "// The code of a user";
const END: &str = "// End.";

/// The code between the marks, without the indentation of the first line.
fn code_of_users() -> Vec<String> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let mut found = Vec::new();
    for file in fs::read_dir(tests).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|it| it != "rs") || path.ends_with("recipes.rs") {
            continue;
        }
        let text = fs::read_to_string(path).unwrap();
        let mut lines = text.lines();
        while let Some(begin) = lines.find(|line| line.trim_start().starts_with(BEGIN)) {
            let indentation = begin.len() - begin.trim_start().len();
            let code = lines.by_ref().take_while(|line| line.trim() != END);
            let code: Vec<&str> = code.map(|it| it.get(indentation..).unwrap_or(it)).collect();
            found.push(code.join("\n"));
        }
    }
    found
}

#[test]
fn each_recipe_is_code_of_a_program() {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../src/guide/recipes.md");
    let guide = fs::read_to_string(guide).unwrap();
    let recipes: Vec<&str> = guide
        .split("```rust,ignore\n")
        .skip(1)
        .map(|rest| rest.split("\n```").next().unwrap())
        .collect();
    assert!(recipes.len() >= 10, "{} recipes", recipes.len());
    let code = code_of_users();
    for recipe in recipes {
        assert!(
            code.iter().any(|it| it == recipe),
            "no program has:\n{recipe}"
        );
    }
}
