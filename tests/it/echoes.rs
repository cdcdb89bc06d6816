//! Servers that repeat secrets, in token IDs and in messages (S8, S9).

use std::sync::Arc;

use everbearer::models::{LongTokenResponse, ShortTokenResponse};
use everbearer::testkit::{Reply, ScriptedIssuer};
use everbearer::{
    AuthApi, Error, ErrorKind, Grant, LongTermToken, ShortTermToken, Subscription, TokenProvider,
};
use serde_json::json;
use tokio::sync::Mutex;
use wiremock::matchers::{any, path, path_regex};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::{Log, builder, secs, settle};

const LONG_TERM: &str = "lt_0d51e9bd2f6449cf";
const CLIENT_SECRET: &str = "correct-horse-battery";

/// Collects what is logged at any level, as text and as JSON.
fn log_everything() -> (Log, tracing::subscriber::DefaultGuard) {
    use tracing_subscriber::layer::SubscriberExt as _;

    let log = Log::default();
    let (text, json) = (log.clone(), log.clone());
    let text = tracing_subscriber::fmt::layer()
        .with_ansi(false)
        .with_writer(move || text.clone());
    let json = tracing_subscriber::fmt::layer()
        .json()
        .with_writer(move || json.clone());
    let subscriber = tracing_subscriber::registry().with(text).with(json);
    (log, tracing::subscriber::set_default(subscriber))
}

async fn events(subscription: &mut Subscription) -> String {
    let mut all = String::new();
    while let Ok(Some(it)) = tokio::time::timeout(secs(0), subscription.next()).await {
        all += &format!("{it:?}");
    }
    all
}

/// Nowhere that the provider shows itself stands this text, or any other of this length.
fn check_shown(shown: &str, hidden: &str) {
    assert!(!shown.contains(hidden), "{shown}");
    assert!(shown.len() < 100_000, "{}", shown.len());
}

#[tokio::test]
async fn s8_an_id_that_contains_the_token_revokes_it_and_is_not_shown() {
    let jwt = "a.b.c".to_owned();
    let opaque = "st_9f3d2c7b51e0a8d4".to_owned();
    for (token, id) in [
        (jwt.clone(), jwt),
        (opaque.clone(), format!("id-of-{opaque}")),
        (opaque.clone(), format!("\u{202e}{}", "x".repeat(20))),
        (opaque, "y".repeat(4_000)),
    ] {
        let (log, _logging) = log_everything();
        let issuer = ScriptedIssuer::new();
        let made = (token.clone(), id.clone());
        issuer.default_reply(Reply::from_fn(move |_| {
            let builder = ShortTermToken::builder(&made.0).expires_in(secs(900));
            builder.token_id(&made.1).scopes([&made.1]).build()
        }));
        let provider = builder(&issuer).build().unwrap();
        let mut subscription = provider.subscribe();
        let short_term = provider.token().await.unwrap();
        assert_eq!(short_term.token_id(), Some(id.as_str()));
        let mut shown = format!("{short_term:?} {:?} {provider:?}", provider.status());
        assert!(provider.status().token_id.is_none());
        provider.scoped(["other"]).token().await.unwrap();
        let report = provider.shutdown().await;
        shown += &format!("{report:?} {report}");
        shown += &events(&mut subscription).await;
        shown += &log.text();
        check_shown(&shown, &id);
        check_shown(&shown, &token);
        assert_eq!(issuer.revoked(), [id], "the ID is of use all the same");
    }
}

#[test]
fn s8_builders_and_answers_show_no_token_in_their_other_fields() {
    let token = "st_9f3d2c7b51e0a8d4";
    let body = json!({
        "token_type": token,
        "access_token": token,
        "scopes": ["jobs:read", token],
        "token_id": token,
    });
    let short: ShortTokenResponse = serde_json::from_value(body.clone()).unwrap();
    let long: LongTokenResponse = serde_json::from_value(body).unwrap();
    let builder = ShortTermToken::builder(token).token_id(token);
    let builder = builder.scopes(["jobs:read", token]);
    let mut shown = format!("{short:?} {long:?} {builder:?}");
    shown += &format!("{:?}", builder.build());
    assert!(!shown.contains(token), "{shown}");
    assert_eq!(shown.matches("jobs:read").count(), 4);
}

#[test]
fn s8_an_id_of_900_kb_counts_as_none() {
    let id = "x".repeat(900_000);
    let token = LongTermToken::builder(LONG_TERM).token_id(&id);
    assert!(token.build().unwrap().token_id().is_none());
    let token = ShortTermToken::builder("opaque").token_id("y".repeat(4 * 1024));
    assert!(token.build().unwrap().token_id().is_some());
}

/// It would be sent in a URL.
#[tokio::test]
async fn s8_an_id_that_contains_the_long_term_token_is_not_used() {
    let server = MockServer::start().await;
    let body = json!({
        "token_type": "Bearer",
        "access_token": "aaa.bbb.ccc",
        "expires_in": 900,
        "token_id": format!("of-{LONG_TERM}"),
    });
    Mock::given(any())
        .respond_with(ResponseTemplate::new(200).set_body_json(body))
        .mount(&server)
        .await;
    let api = AuthApi::new(server.uri()).unwrap();
    let long_term = LongTermToken::new(LONG_TERM).unwrap();
    let answer = api.issue_short_term_token(&long_term, None).await.unwrap();
    assert!(answer.token_id.is_none());
    assert!(answer.into_token().unwrap().token_id().is_none());
}

fn refusal(code: &str, message: &str) -> ResponseTemplate {
    ResponseTemplate::new(401).set_body_json(json!({"code": code, "message": message}))
}

async fn exchange_refused(answer: ResponseTemplate) -> Error {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(answer).mount(&server).await;
    let api = AuthApi::new(server.uri()).unwrap();
    let long_term = LongTermToken::new(LONG_TERM).unwrap();
    api.issue_short_term_token(&long_term, None)
        .await
        .unwrap_err()
}

#[tokio::test]
async fn s9_a_message_of_a_megabyte_is_cut_before_it_is_searched() {
    for message in [
        format!("{LONG_TERM} {}", "x".repeat(900_000)),
        format!("{} {LONG_TERM}", "x".repeat(900_000)),
        LONG_TERM.repeat(50_000),
    ] {
        let error = exchange_refused(refusal("invalid_token", &message)).await;
        assert_eq!(error.code(), Some("invalid_token"));
        let shown = format!("{error} {error:?}");
        assert!(shown.len() < 1_000, "{}", shown.len());
        assert!(!shown.contains(&LONG_TERM[..8]), "{shown}");
    }
}

/// Searching each stretch of such a token in the whole message took minutes, on a thread of the runtime.
#[tokio::test]
async fn s9_a_token_of_60_kb_blocks_no_thread() {
    let server = MockServer::start().await;
    let message = "y".repeat(900_000);
    Mock::given(any())
        .respond_with(refusal("invalid_token", &message))
        .mount(&server)
        .await;
    let api = AuthApi::new(server.uri()).unwrap();
    let long_term = LongTermToken::new("0123456789".repeat(6_000)).unwrap();
    let error = api.issue_short_term_token(&long_term, None).await;
    assert_eq!(error.unwrap_err().code(), Some("invalid_token"));
}

#[tokio::test]
async fn s9_no_character_of_a_message_ends_a_line_or_turns_its_direction() {
    let (log, _logging) = log_everything();
    let server = MockServer::start().await;
    let message = "one\u{2028}two\u{202e}three\u{2066}four\u{85}five\r\nsix";
    Mock::given(any())
        .respond_with(refusal("invalid_token", message))
        .mount(&server)
        .await;
    let api = AuthApi::new(server.uri()).unwrap();
    let long_term = LongTermToken::new(LONG_TERM).unwrap();
    let provider = TokenProvider::builder(api, long_term).build().unwrap();
    let error = provider.token().await.unwrap_err().to_string();
    assert!(
        error.ends_with("invalid_token: one two three four five  six"),
        "{error}"
    );
    let log = log.text();
    assert!(log.contains("one two three four five  six"), "{log}");
    for char in ['\u{2028}', '\u{202e}', '\u{2066}', '\u{85}', '\r'] {
        assert!(!log.contains(char), "{log}");
    }
}

#[tokio::test]
async fn s9_a_short_secret_that_is_part_of_a_code_does_not_hide_the_code() {
    let server = MockServer::start().await;
    Mock::given(any())
        .respond_with(refusal("invalid_client", "no"))
        .mount(&server)
        .await;
    let api = AuthApi::new(server.uri()).unwrap();
    for secret in ["client", "i", "invalid_client"] {
        let provider = TokenProvider::builder(api.clone(), Grant::client_secret("id", secret));
        let error = provider.build().unwrap().token().await.unwrap_err();
        assert_eq!(error.code(), Some("invalid_client"), "{secret}");
        assert!(
            error.to_string().contains("answers invalid_client"),
            "{error}"
        );
    }
    let error = exchange_refused(refusal(LONG_TERM, "no")).await;
    assert!(
        !format!("{error} {error:?}").contains(LONG_TERM),
        "{error:?}"
    );
    assert_eq!(error.kind(), ErrorKind::Denied);
}

/// What one call sends, the answer to another call repeats.
#[tokio::test]
async fn s9_an_answer_is_searched_for_each_secret_of_the_provider() {
    let (log, _logging) = log_everything();
    let server = MockServer::start().await;
    let long_term = json!({"token_type": "Bearer", "access_token": LONG_TERM, "token_id": "lt"});
    Mock::given(path("/auth/tokens/long"))
        .respond_with(ResponseTemplate::new(200).set_body_json(long_term))
        .mount(&server)
        .await;
    let jwt = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.c2lnbmF0dXJl";
    let short_term = json!({
        "token_type": "Bearer", "access_token": jwt, "token_id": "st", "expires_in": 900
    });
    Mock::given(path("/auth/tokens/short"))
        .respond_with(ResponseTemplate::new(200).set_body_json(short_term))
        .up_to_n_times(1)
        .mount(&server)
        .await;
    for (secret, times) in [(CLIENT_SECRET, 1), (jwt, 100)] {
        Mock::given(path("/auth/tokens/short"))
            .respond_with(refusal("insufficient_scope", &format!("not with {secret}")))
            .up_to_n_times(times)
            .mount(&server)
            .await;
    }
    Mock::given(path_regex("revoke"))
        .respond_with(refusal(
            "access_denied",
            &format!("not with {CLIENT_SECRET}"),
        ))
        .mount(&server)
        .await;
    let api = AuthApi::new(server.uri()).unwrap();
    let grant = Grant::client_secret("id", CLIENT_SECRET);
    let provider = TokenProvider::builder(api, grant).build().unwrap();
    let mut subscription = provider.subscribe();
    provider.token().await.unwrap();
    let mut shown = String::new();
    for scope in ["a", "b"] {
        let error = provider.scoped([scope]).token().await.unwrap_err();
        assert_eq!(error.code(), Some("insufficient_scope"));
        assert!(
            error
                .to_string()
                .ends_with("(withheld: it repeats a secret)"),
            "{error}"
        );
        shown += &format!("{error:?}");
    }
    let report = provider.shutdown().await;
    assert!(!report.all_revoked());
    shown += &format!("{report:?} {report}");
    shown += &events(&mut subscription).await;
    shown += &log.text();
    for secret in [CLIENT_SECRET, LONG_TERM, jwt] {
        assert!(!shown.contains(&secret[..8]), "{shown}");
    }
}

/// So is an error of a user's own issuer, with all its causes.
#[tokio::test(start_paused = true)]
async fn s9_an_error_of_an_issuer_is_searched_for_each_secret_of_the_provider() {
    #[derive(Debug, thiserror::Error)]
    #[error("the vault said no")]
    struct Cause(#[source] Arc<std::io::Error>);

    let (log, _logging) = log_everything();
    let issuer = ScriptedIssuer::new();
    let long_term = LongTermToken::new(LONG_TERM).unwrap();
    let provider = TokenProvider::builder(issuer.clone(), long_term)
        .clock(everbearer::testkit::ManualClock::new());
    let provider = provider.build().unwrap();
    let shown = Mutex::new(String::new());
    let fail_with = |error: Error| {
        issuer.script([Reply::error(error)]);
        async {
            let error = provider.refresh().await.unwrap_err();
            *shown.lock().await += &format!("{error:?} {error} {:?}", provider.status());
            settle().await;
        }
    };
    provider.token().await.unwrap();
    let quoting = format!("POST https://vault/?token={LONG_TERM} failed");
    fail_with(Error::transient(quoting.clone())).await;
    fail_with(Error::transient(Cause(Arc::new(std::io::Error::other(
        quoting,
    )))))
    .await;
    fail_with(Error::transient("no").with_code(LONG_TERM)).await;
    let shown = shown.into_inner() + &log.text();
    assert!(!shown.contains(&LONG_TERM[..8]), "{shown}");
    assert!(shown.contains("(withheld: it repeats a secret)"), "{shown}");
}

/// A server that answers a revocation with another token.
#[tokio::test(start_paused = true)]
async fn s9_a_report_of_a_shutdown_repeats_no_token() {
    let tokens = ["st_9f3d2c7b51e0a8d4", "st_2b6e8d0f4a1c3e57"];
    let (log, _logging) = log_everything();
    let issuer = ScriptedIssuer::new();
    issuer.script(tokens.map(|token| {
        Reply::from_fn(move |_| {
            let builder = ShortTermToken::builder(token).expires_in(secs(900));
            builder.token_id(format!("id-{}", &token[..5])).build()
        })
    }));
    for token in tokens {
        issuer.script_revocations([Reply::error(Error::terminal(format!("not {token}")))]);
    }
    let provider = builder(&issuer).build().unwrap();
    provider.token().await.unwrap();
    provider.scoped(["a"]).token().await.unwrap();
    let report = provider.shutdown().await;
    assert!(!report.all_revoked());
    let shown = format!("{report:?} {report} {}", log.text());
    for token in tokens {
        assert!(!shown.contains(&token[..10]), "{shown}");
    }
}

/// The long-term token that a call has sent may have been replaced meanwhile.
#[tokio::test(start_paused = true)]
async fn s9_an_error_repeats_no_token_that_was_replaced_during_the_call() {
    let issuer = ScriptedIssuer::new();
    let quoting = Error::transient(format!("not with {LONG_TERM}"));
    issuer.script([Reply::error(quoting).after(secs(1))]);
    let long_term = LongTermToken::new(LONG_TERM).unwrap();
    let provider = TokenProvider::builder(issuer.clone(), long_term)
        .clock(everbearer::testkit::ManualClock::new());
    let provider = provider.build().unwrap();
    let waiting = tokio::spawn({
        let provider = provider.clone();
        async move { provider.token().await }
    });
    settle().await;
    provider.set_long_term_token(LongTermToken::new("lt_2b6e8d0f4a1c3e57").unwrap());
    let error = waiting.await.unwrap().unwrap_err();
    assert!(!format!("{error:?}").contains(LONG_TERM), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn s8_an_id_that_contains_the_long_term_token_is_not_shown() {
    let (log, _logging) = log_everything();
    let issuer = ScriptedIssuer::new();
    issuer.default_reply(Reply::from_fn(|_| {
        let builder = ShortTermToken::builder("a.b.c").expires_in(secs(900));
        builder.token_id(format!("of-{LONG_TERM}")).build()
    }));
    let long_term = LongTermToken::new(LONG_TERM).unwrap();
    let provider = TokenProvider::builder(issuer.clone(), long_term)
        .clock(everbearer::testkit::ManualClock::new());
    let provider = provider.build().unwrap();
    provider.token().await.unwrap();
    let report = provider.shutdown().await;
    let shown = format!("{report:?} {}", log.text());
    assert!(!shown.contains(LONG_TERM), "{shown}");
    assert_eq!(issuer.revoked(), [format!("of-{LONG_TERM}")]);
}
