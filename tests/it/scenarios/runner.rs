//! What the runner makes of timelines.

use super::run;

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
