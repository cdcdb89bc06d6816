//! What the runner refuses before it plays anything.

use std::panic::catch_unwind;

use super::run;

/// Answers that are contradictory or unknown, each followed by a part of the error.
const ANSWERS: &str = r#"
{}
    an answer needs one of `token`
{"times": 2}
    an answer needs one of `token`
{"token": "1m", "fail": "transient"}
    an answer cannot have both `token` and `fail`
{"token": "1m", "token_without_end": true}
    both `token` and `token_without_end`
{"hang": true, "panic": true}
    both `hang` and `panic`
{"token": "1m", "retry_after": "1s"}
    `retry_after` needs `fail`
{"hang": true, "retry_after": "1s"}
    `retry_after` needs `fail`
{"token_without_end": false}
    `false` has no meaning here
{"token": "1m", "hang": false}
    `false` has no meaning here
{"token": "1m", "times": 0}
    integer `0`
{"token": "1m", "retry_after": null}
    null has no meaning here
{"token": "1m", "token": "2m"}
    `token` is written twice
{"fail": "sometimes"}
    unknown variant `sometimes`
{"token": "1m", "tokens": 1}
    unknown field `tokens`
["15m"]
    given.exchanges[0]: a list has no meaning here
{"token": "15 minutes"}
    "15 minutes" is not a span
{"token": "PT15M"}
    "PT15M" is not a span
{"token": "-1m"}
    "-1m" is not a span
{"token": "1m 1h"}
    "1m 1h" is not a span
{"stated": {}, "token": "1m"}
    both `token` and `stated`
{"stated": {"life": "1m"}}
    unknown field `life`
{"stated": {"expires_at": "15m"}}
    "15m" is not a date
{"stated": {"date": "+15 minutes"}}
    "+15 minutes" is not a date
{"stated": {"date": {"millis": "+15m"}}}
    expected a string
{"stated": {"expires_at": "+9223372036854775807s"}}
    "+9223372036854775807s" is not a date
{"stated": {"expires_in": "+15m"}}
    "+15m" is not a span
{"stated": {"expires_in": null}}
    given.exchanges[0].stated.expires_in: null has no meaning here
{"stated": {"claims": null}}
    given.exchanges[0].stated.claims: null has no meaning here
{"stated": {"claims": {"exp": {"milis": "+15m"}}}}
    the claim `exp` cannot be {"milis":"+15m"}
{"stated": {"claims": {"iat": {"millis": "+15m", "at": 1}}}}
    the claim `iat` cannot be {"at":1,"millis":"+15m"}
{"stated": {"claims": {"nbf": {"millis": "soon"}}}}
    the claim `nbf` cannot be {"millis":"soon"}
{"stated": {"claims": {"exp": true}}}
    the claim `exp` cannot be true
{"stated": {"claims": {"exp": ["+15m"]}}}
    the claim `exp` cannot be ["+15m"]
{"stated": {"claims": {"sub": "me"}}}
    the claim `sub` is the token's name
{"stated": {"claims": {"exp": 1, "exp": 2}}}
    given.exchanges[0].stated.claims: `exp` is written twice
{"again": true}
    an answer needs one of `token`
{"fail": "transient", "again": true}
    `again` needs a token, not `fail`
{"hang": true, "again": true}
    `again` needs a token, not `hang`
{"token": "1m", "again": false}
    `false` has no meaning here
{"stated": {"claims": {}}, "again": true}
    `again` cannot stand beside `claims`
"#;

/// What cannot stand in `given`, each followed by a part of the error.
const GIVEN: &str = r#"
{"exchanges": [{"token": "1m"}, {"done": true}]}
    given.exchanges[1]: `done` answers a revocation
{"otherwise": {"done": true}}
    given.otherwise: `done` answers a revocation
{"revocations": [{"token": "1m"}]}
    given.revocations[0]: a token answers an exchange
{"revocations": [{"stated": {"expires_in": "1m"}}]}
    given.revocations[0]: a token answers an exchange
{"revocations": [{"token_without_end": true}]}
    given.revocations[0]: a token answers an exchange
{"refresh": {"fraction": 2}}
    given: RefreshPolicy::fraction is 2
{"retry": {"first_delay": "2m"}}
    given: RetryPolicy::backoff: the first delay is longer
{"retry": {"first_delay": "1s", "first_delay": "2s"}}
    given.retry: `first_delay` is written twice
{"refresh": null}
    given.refresh: null has no meaning
{"policy": {}}
    unknown field `policy`
{"scopes": [1, "1s"]}
    given.scopes: a list has no meaning here
"#;

/// Steps that are refused, each line followed by a part of the error about its last step. Before
/// them, a first step makes the call `first`, at 1s.
const STEPS: &str = r#"
# What is not in the tables of the README.
{"at": "2s", "expect": {"state": "tired"}}
    "tired" is not a state
{"at": "2s", "expect": {"error": "bad_luck"}}
    "bad_luck" is not a kind of error
{"at": "2s", "expect": {"calls": {"first": {"failed": "none"}}}}
    "none" is not a kind of error
{"at": "2s", "expect": {"calls": {"first": {"got": "st-1"}}}}
    unknown variant `got`
{"at": "2s", "expect": {"calls": {"first": {"report": {"revoked": [], "kept": 1}}}}}
    unknown field `kept`
{"at": "2s", "call": {"what": "tokens", "as": "a"}}
    unknown variant `tokens`
{"at": "2s", "expect": {"next_exchange_in": "never"}}
    `next_exchange_in` is [span, span] or "none"
{"at": "2s", "expect": {"next_exchange_in": "1s"}}
    `next_exchange_in` is [span, span] or "none"
{"at": "2s", "expect": {"exchanges": "2"}}
    a count is a whole number or [least, most]
{"at": "2s", "expect": {"exchanges": -1}}
    a count is a whole number or [least, most]
{"at": "2s", "expect": {"failures": [1]}}
    a count is a whole number or [least, most]
{"at": "2 s."}
    "2 s." is not a span
{"at": "2s", "renew": false}
    `false` has no meaning here
{"at": "2s", "drop_handles": false}
    `false` has no meaning here
["2s"]
    step 2: a list has no meaning here
{"at": "2s", "call": ["token", "a"]}
    step 2, call: a list has no meaning here
{"at": "2s", "expect": {"exchanges": null}}
    step 2, expect.exchanges: null has no meaning here
{"at": "2s", "call": {"what": "token", "as": "a", "times": 0}}
    integer `0`

# What is written twice: one of the two would not count.
{"at": "2s", "expect": {"exchanges": 1}, "expect": {"exchanges": 2}}
    step 2: `expect` is written twice
{"at": "2s", "expect": {"calls": {"first": "waiting", "first": "ready"}}}
    step 2, expect.calls: `first` is written twice

# Ranges the wrong way round, and lists out of order.
{"at": "2s", "expect": {"usable_for": ["2m", "1m"]}}
    the least is more than the most
{"at": "2s", "expect": {"next_exchange_in": ["2m", "1m"]}}
    the least is more than the most
{"at": "2s", "expect": {"exchanges": [2, 1]}}
    the least is more than the most
{"at": "2s", "expect": {"failures": [2, 1]}}
    the least is more than the most
{"at": "2s", "expect": {"revoked": ["st-2", "st-1"]}}
    is not in ascending order
{"at": "2s", "expect": {"calls": {"first": {"report": {"revoked": ["b", "a"]}}}}}
    is not in ascending order
{"at": "2s", "expect": {"asked": [["a"], ["b", "a"]]}}
    is not in ascending order without repetition
{"at": "2s", "expect": {"asked": [["a", "a"]]}}
    is not in ascending order without repetition

# What contradicts the steps before.
{"at": "0.5s"}
    is earlier than the step before
{"at": "2s", "call": {"what": "token", "as": "first"}}
    the name "first" is taken by an earlier call
{"at": "2s", "drop": "first"}, {"at": "3s", "call": {"what": "token", "as": "first"}}
    the name "first" is taken by an earlier call
{"at": "2s", "drop": "second"}
    there are no calls "second"
{"at": "2s", "drop": "first"}, {"at": "3s", "drop": "first"}
    the calls "first" were dropped
{"at": "2s", "expect": {"calls": {"second": "waiting"}}}
    there are no calls "second"
{"at": "2s", "drop": "first", "expect": {"calls": {"first": "waiting"}}}
    the calls "first" were dropped
{"at": "2s", "call": {"what": {"reject": "st-1"}, "as": "a"}}
    no earlier call can have been served a token to reject
{"at": "2s", "drop_handles": true}, {"at": "3s", "call": {"what": "token", "as": "a"}}
    a call after `drop_handles`
{"at": "2s", "drop_handles": true, "renew": true}
    `renew` after `drop_handles`
{"at": "2s", "drop_handles": true}, {"at": "3s", "drop_handles": true}
    `drop_handles` a second time
{"at": "2s", "drop_handles": true, "expect": {"generation": 1}}
    the engine's status cannot be expected after `drop_handles`
{"at": "2s", "drop_handles": true}, {"at": "3s", "expect": {"current": "none"}}
    the engine's status cannot be expected after `drop_handles`
"#;

/// Whole timelines that are refused, each followed by a part of the error.
const TIMELINES: &str = r#"
{"title": "t", "shows": [], "steps": [{"at": "1s"}]}
    `shows` is empty
{"title": "t", "shows": [" "], "steps": [{"at": "1s"}]}
    `shows` is empty or has an empty item
{"title": " ", "shows": ["-"], "steps": [{"at": "1s"}]}
    `title` is empty
{"title": "t", "shows": ["-"], "steps": []}
    `steps` is empty
{"title": "t", "title": "u", "shows": ["-"], "steps": [{"at": "1s"}]}
    `title` is written twice
{"title": "t", "shows": ["-"], "steps": [{"at": "1s"}]} {}
    trailing characters
"#;

#[test]
fn contradictory_answers_are_refused_before_anything_is_played() {
    assert_refused(ANSWERS, |answer| {
        let given = format!(r#"{{"exchanges": [{answer}]}}"#);
        (timeline(&given, r#"{"at": "2s"}"#), "test.json")
    });
    assert_refused(GIVEN, |given| {
        (timeline(given, r#"{"at": "2s"}"#), "test.json")
    });
}

#[test]
fn steps_that_cannot_be_met_are_refused_before_anything_is_played() {
    assert_refused(STEPS, |steps| {
        let last = if steps.contains("}, {") {
            "step 3"
        } else {
            "step 2"
        };
        (timeline("{}", steps), last)
    });
}

#[test]
fn timelines_that_say_nothing_are_refused() {
    assert_refused(TIMELINES, |text| (text.to_owned(), "test.json"));
}

/// A timeline that would fail in its first step if it were played.
fn timeline(given: &str, steps: &str) -> String {
    format!(
        r#"{{"title": "refused", "shows": ["-"], "given": {given}, "steps": [
            {{"at": "1s", "call": {{"what": "authorization", "as": "first"}},
              "expect": {{"exchanges": 99}}}},
            {steps}
        ]}}"#
    )
}

/// Each case is refused with the name of the file, the place that `make` names, and its part of an
/// error.
fn assert_refused(cases: &str, make: impl Fn(&str) -> (String, &'static str)) {
    let is_case = |line: &&str| !line.is_empty() && !line.starts_with('#');
    let lines: Vec<&str> = cases.lines().filter(is_case).collect();
    let mut wrong = String::new();
    for pair in lines.chunks(2) {
        let (case, part) = (pair[0], pair[1].trim());
        let (text, place) = make(case);
        let outcome = catch_unwind(|| run::run("test.json", &text));
        let error = match outcome {
            Ok(Ok(())) => "accepted".to_owned(),
            Ok(Err(error)) => error,
            Err(panic) => format!("panicked: {}", run::message(&*panic)),
        };
        let parts = ["test.json", place, part];
        if error.contains("Exactly(99)") || !parts.iter().all(|it| error.contains(it)) {
            wrong += &format!("{case}\n  must be refused with: {place} … {part}\n  {error}\n");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}
