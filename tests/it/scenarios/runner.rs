//! Tests of the timeline runner.

use std::fs;

use super::{play_all, run};

#[test]
fn a_timeline_that_expects_something_wrong_says_which_step_and_what_happened() {
    let text = r#"{
        "title": "two exchanges where there is one",
        "shows": ["none"],
        "steps": [
            {"at": "0s", "call": {"what": "token", "as": "a", "times": 3}},
            {"at": "1s", "expect": {
                "exchanges": 2, "state": "failing", "calls": {"a": {"served": "st-2"}}
            }}
        ]
    }"#;
    let error = run::run("wrong.json", text).unwrap_err();
    for part in [
        "wrong.json (two exchanges where there is one), step 2:",
        r#""state":"failing""#,
        "exchanges: expected Exactly(2), was 1",
        "state: expected \"failing\", was \"fresh\"",
        "calls.a: expected Served(\"st-2\"), was {Served(\"st-1\"): 3}",
    ] {
        assert!(error.contains(part), "{part}\nis not in\n{error}");
    }
    let error = run::run(
        "typo.json",
        &text.replace("\"at\": \"1s\"", "\"att\": \"1s\""),
    )
    .unwrap_err();
    assert!(error.contains("unknown field `att`"), "{error}");
}

#[test]
fn a_caller_that_panicked_fails_the_step_that_is_compared() {
    let text = r#"{
        "title": "rejects a token that no call was served",
        "shows": ["-"],
        "steps": [
            {"at": "0s", "call": {"what": "token", "as": "first"}},
            {"at": "1s", "call": {"what": {"reject": "st-9"}, "as": "late", "times": 2}},
            {"at": "2s", "expect": {"exchanges": 1, "calls": {"late": "waiting"}}}
        ]
    }"#;
    assert_fails(
        text,
        &[
            "step 3:",
            "calls.late, made in step 2, panicked: \
             no call was served the token \"st-9\" (2 times)",
        ],
    );
}

#[test]
fn a_caller_that_panicked_fails_the_timeline_at_its_end() {
    let text = r#"{
        "title": "rejects a token that no call was served",
        "shows": ["-"],
        "steps": [
            {"at": "0s", "call": {"what": "token", "as": "first"}},
            {"at": "1s", "expect": {"exchanges": 1}},
            {"at": "1s", "call": {"what": {"reject": "st-9"}, "as": "late"}},
            {"at": "2s", "drop": "late"}
        ]
    }"#;
    assert_fails(
        text,
        &[
            "test.json (rejects a token that no call was served), at the end:",
            "calls.late, made in step 3, panicked",
        ],
    );
}

#[test]
fn all_timelines_of_a_directory_are_played_and_all_failures_are_reported() {
    let directory = tempfile::tempdir().unwrap();
    let good = r#"{"title": "good", "shows": ["-"], "steps": [
        {"at": "1s", "expect": {"exchanges": 1}}
    ]}"#;
    let files = [
        ("a.json", good.to_owned()),
        (
            "b.json",
            good.replace("\"exchanges\": 1", "\"exchanges\": 2"),
        ),
        ("c.json", "{".to_owned()),
        ("d.json", good.to_owned()),
        (
            "e.json",
            good.replace("\"exchanges\": 1", "\"exchanges\": 3"),
        ),
        // Too long for a timer, so that playing the timeline panics.
        ("f.json", good.replace("1s", "9223372036854775807s")),
        ("notes.txt", "not a timeline".to_owned()),
    ];
    for (name, text) in files {
        fs::write(directory.path().join(name), text).unwrap();
    }
    let mut printed = Vec::new();
    let failures = play_all(directory.path(), &mut printed).unwrap_err();
    let mut expected = String::new();
    for (file, outcome) in [
        ("a", "ok"),
        ("b", "FAILED"),
        ("c", "FAILED"),
        ("d", "ok"),
        ("e", "FAILED"),
        ("f", "FAILED"),
    ] {
        let file = directory.path().join(file).with_extension("json");
        expected += &format!("timeline {} ... {outcome}\n", file.display());
    }
    assert_eq!(String::from_utf8(printed).unwrap(), expected);
    for part in [
        "4 of 6 timelines failed",
        "b.json (good), step 1:",
        "exchanges: expected Exactly(2), was 1",
        "c.json is no timeline: EOF while parsing",
        "exchanges: expected Exactly(3), was 1",
        "f.json",
        "overflow when adding duration to instant",
    ] {
        assert!(failures.contains(part), "{part}\nis not in\n{failures}");
    }
}

#[test]
fn the_long_term_token_of_each_exchange_can_be_expected() {
    let text = r#"{
        "title": "the long-term token is renewed",
        "shows": ["-"],
        "steps": [
            {"at": "1s", "renew": true},
            {"at": "12m", "expect": {"exchanged": ["lt-given", "lt-renewed"]}},
            {"at": "12m", "expect": {"exchanged": ["lt-renewed", "lt-given"]}}
        ]
    }"#;
    assert_fails(
        text,
        &[
            "step 3:",
            "exchanged: expected [\"lt-renewed\", \"lt-given\"], was [\"lt-given\", \"lt-renewed\"]",
        ],
    );
}

/// Plays a timeline that must fail with an error that has all of these parts.
fn assert_fails(text: &str, parts: &[&str]) {
    let error = run::run("test.json", text).expect_err("the timeline must fail");
    for part in parts {
        assert!(error.contains(part), "{part}\nis not in\n{error}");
    }
}
