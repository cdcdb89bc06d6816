//! What an answer states about its token, as the engine sees it.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use serde_json::{Value, json};

use super::format::Claims;
use super::run;

/// What is stated, each followed by how long the token is then usable, less the margin.
const STATED: &str = r#"
{"expires_in": "10m"}
    9m 55s
{"expires_at": "+10m"}
    9m 55s
{"expires_at": "-40m", "date": "-50m"}
    9m 55s
{"claims": {"iat": "+0s", "exp": "+10m"}}
    9m 55s
{"claims": {"exp": "+10m"}}
    9m 55s
{"claims": {"exp": "-40m"}, "date": "-50m"}
    9m 55s
{"claims": {"exp": "+10.25s"}, "date": "+0.25s"}
    7.5s
{"claims": {"iat": "-50m", "exp": "+10m", "jti": "another ID", "aud": ["a", null]}}
    9m 55s
{"claims": {}, "expires_in": "10m"}
    9m 55s
{"claims": {"exp": "soon", "iat": "+0s"}, "expires_in": "10m"}
    9m 55s
{"claims": {"exp": null, "nbf": "+1h"}, "expires_in": "10m"}
    9m 55s
{"claims": {"exp": 1e300}, "expires_in": "10m"}
    9m 55s
{"claims": {"exp": 9223372036854775808}, "expires_in": "10m"}
    9m 55s
{}
    4m 55s
"#;

#[test]
fn a_stated_answer_states_what_its_fields_say() {
    let lines: Vec<&str> = STATED.lines().filter(|line| !line.is_empty()).collect();
    for pair in lines.chunks(2) {
        let (stated, usable) = (pair[0], pair[1].trim());
        let text = format!(
            r#"{{"title": "states {{}}", "shows": ["-"],
                "given": {{"exchanges": [{{"stated": {stated}}}]}},
                "steps": [{{"expect": {{"current": "st-1", "usable_for": ["{usable}", "{usable}"]}}}}]
            }}"#
        );
        run::run("test.json", &text).unwrap_or_else(|failure| panic!("{stated}\n{failure}"));
    }
}

#[test]
fn claims_are_written_as_they_stand_but_for_dates() {
    let claims: Claims = serde_json::from_str(
        r#"{
            "iat": "+0s", "nbf": "-1h 0.5s", "exp": {"millis": "+15m"},
            "aud": ["+15m", null], "jti": 17, "auth_time": "+15m"
        }"#,
    )
    .unwrap();
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600);
    let written = read(&claims.jwt("st-7", now));
    let expected = json!({
        "sub": "st-7", "iat": 1_767_225_600, "nbf": 1_767_221_999.5, "exp": 1_767_226_500_000_i64,
        "aud": ["+15m", null], "jti": 17, "auth_time": "+15m",
    });
    assert_eq!(written, expected);
    let claims = r#"{"iat": 1e300, "nbf": null, "exp": 9223372036854775808}"#;
    let claims: Claims = serde_json::from_str(claims).unwrap();
    let expected =
        json!({"sub": "st-8", "iat": 1e300, "nbf": null, "exp": 9_223_372_036_854_775_808_u64});
    assert_eq!(read(&claims.jwt("st-8", now)), expected);
    let claims: Claims = serde_json::from_str(r#"{"iat": -1.5, "exp": "soon"}"#).unwrap();
    let expected = json!({"sub": "st-9", "iat": -1.5, "exp": "soon"});
    assert_eq!(read(&claims.jwt("st-9", now)), expected);
}

/// The claims of a JWT.
fn read(jwt: &str) -> Value {
    let parts: Vec<&str> = jwt.split('.').collect();
    let [_, claims, "c2ln"] = parts[..] else {
        panic!("{jwt} is no JWT")
    };
    serde_json::from_slice(&BASE64.decode(claims).unwrap()).unwrap()
}

#[test]
fn dates_are_those_of_the_wall_clock_at_the_moment_of_the_answer() {
    let text = r#"{
        "title": "the wall clock is a day ahead, and the answer takes 10 s",
        "shows": ["-"],
        "given": {
            "refresh": {"lazy": true},
            "otherwise": {"stated": {"claims": {"exp": "+10m"}}, "after": "10s"}
        },
        "steps": [
            {"at": "1s", "wall_forward": "24h"},
            {"at": "1s", "call": {"what": "token", "as": "a"}},
            {"at": "11.1s", "expect": {
                "calls": {"a": {"served": "st-1"}}, "usable_for": ["9m 44.5s", "9m 55s"]
            }},
            {"at": "11.1s", "wall_back": "48h"},
            {"at": "12s", "call": {"what": "refresh", "as": "b"}},
            {"at": "22.1s", "expect": {
                "calls": {"b": {"served": "st-2"}}, "usable_for": ["9m 44.5s", "9m 55s"]
            }}
        ]
    }"#;
    run::run("test.json", text).unwrap();
}

#[test]
fn calls_and_expectations_name_jwts_by_their_ids() {
    let text = r#"{
        "title": "JWTs are served, rejected and revoked",
        "shows": ["-"],
        "given": {"otherwise": {"stated": {"claims": {"iat": "+0s", "exp": "+15m"}}}},
        "steps": [
            {"at": "1s", "call": {"what": "token", "as": "token"},
                "expect": {"calls": {"token": {"served": "st-1"}}, "current": "st-1"}},
            {"at": "1s", "call": {"what": "authorization", "as": "header"},
                "expect": {"calls": {"header": {"served": "st-1"}}}},
            {"at": "20s", "call": {"what": {"reject": "st-1"}, "as": "rejected"},
                "expect": {"calls": {"rejected": {"served": "st-2"}}, "exchanges": 2}},
            {"at": "20s", "call": {"what": "authorization", "as": "then"},
                "expect": {"calls": {"then": {"served": "st-2"}}}},
            {"at": "21s", "call": {"what": "shutdown", "as": "shutdown"},
                "expect": {
                    "calls": {"shutdown": {"report": {"revoked": ["st-1", "st-2"]}}},
                    "revoked": ["st-1", "st-2"]
                }}
        ]
    }"#;
    run::run("test.json", text).unwrap();
}

#[test]
fn the_last_token_can_be_handed_out_again_and_uses_up_no_number() {
    let text = r#"{
        "title": "st-1, again st-1, then st-2",
        "shows": ["-"],
        "given": {
            "exchanges": [
                {"stated": {"claims": {"aud": "jobs"}, "expires_in": "10m"}},
                {"token": "5m", "again": true},
                {"stated": {"expires_in": "6m"}, "again": true},
                {"token": "7m"},
                {"token_without_end": true, "again": true}
            ]
        },
        "steps": [
            {"expect": {"current": "st-1", "usable_for": ["9m 55s", "9m 55s"]}},
            {"at": "2s", "call": {"what": "refresh", "as": "second"}, "expect": {
                "calls": {"second": {"served": "st-1"}}, "usable_for": ["5m", "5m"]}},
            {"at": "2s", "call": {"what": "authorization", "as": "header"},
                "expect": {"calls": {"header": {"served": "st-1"}}}},
            {"at": "4s", "call": {"what": "refresh", "as": "third"}, "expect": {
                "calls": {"third": {"served": "st-1"}}, "usable_for": ["6m", "6m"]}},
            {"at": "6s", "call": {"what": "refresh", "as": "fourth"}, "expect": {
                "calls": {"fourth": {"served": "st-2"}}, "usable_for": ["6m 55s", "6m 55s"]}},
            {"at": "8s", "call": {"what": "refresh", "as": "fifth"}, "expect": {
                "calls": {"fifth": {"served": "st-2"}}, "usable_for": ["5m", "5m"]}},
            {"at": "10s", "call": {"what": "refresh", "as": "last"}, "expect": {
                "calls": {"last": {"served": "st-3"}}, "exchanges": 6}}
        ]
    }"#;
    run::run("test.json", text).unwrap();
}

#[test]
fn a_token_cannot_be_handed_out_again_before_there_is_one() {
    let text = r#"{
        "title": "the first exchange fails, the second is to hand out its token again",
        "shows": ["-"],
        "given": {"exchanges": [{"fail": "transient"}, {"token": "1m", "again": true}]},
        "steps": [{"at": "2s", "call": {"what": "refresh", "as": "a"}}, {"at": "1m"}]
    }"#;
    let error = run::run("test.json", text).unwrap_err();
    let told = "at the end:\n  an answer with `again` came before any exchange had succeeded";
    assert!(error.contains(told), "{error}");
}
