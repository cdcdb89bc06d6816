//! The issuer in memory that tests script.

use std::time::{Duration, SystemTime};

use everbearer::testkit::{Reply, ScriptedIssuer};
use everbearer::{Clock, Error, Grant, ShortTermToken, TokenIssuer};

use crate::support::{builder, provider, secs};

fn opaque(name: &str) -> Result<ShortTermToken, Error> {
    ShortTermToken::builder(name).token_id(name).build()
}

#[tokio::test(start_paused = true)]
async fn a_closure_makes_the_token_under_the_next_name() {
    let issuer = ScriptedIssuer::new();
    let end = SystemTime::UNIX_EPOCH + secs(1_767_225_600 + 60);
    issuer.script([
        Reply::token(secs(60)),
        Reply::from_fn(move |name| {
            let token = ShortTermToken::builder(&format!("opaque-{name}"));
            token.token_id(name).expires_at(end).build()
        }),
    ]);
    let (provider, _) = provider(&issuer);
    assert_eq!(provider.token().await.unwrap().expose(), "st-1");
    let made = provider.refresh().await.unwrap();
    assert_eq!(made.expose(), "opaque-st-2");
    assert_eq!(made.token_id(), Some("st-2"));
    assert_eq!(made.expires_at(), Some(end));
    assert_eq!(provider.refresh().await.unwrap().expose(), "st-3");
}

#[tokio::test(start_paused = true)]
async fn a_closure_is_called_when_its_answer_is_due() {
    let issuer = ScriptedIssuer::new();
    let (provider, clock) = provider(&issuer);
    let readings = clock.clone();
    issuer.default_reply(
        Reply::from_fn(move |name| {
            let token = ShortTermToken::builder(name).token_id(name);
            token.expires_at(readings.wall() + secs(60)).build()
        })
        .after(secs(2)),
    );
    let asked = clock.wall();
    let token = provider.token().await.unwrap();
    assert_eq!(token.expires_at(), Some(asked + secs(62)));
}

#[tokio::test(start_paused = true)]
async fn the_same_text_once_more_and_a_failure_use_up_no_name() {
    let issuer = ScriptedIssuer::new();
    issuer.script([
        Reply::from_fn(opaque),
        Reply::from_fn(|_| opaque("st-1")),
        Reply::from_fn(|_| Err(Error::transient("no token this time"))),
        Reply::from_fn(opaque),
        Reply::token(secs(60)),
        Reply::from_fn(|_| opaque("st-3")),
        Reply::from_fn(|_| opaque("st-1")),
    ]);
    let mut texts = Vec::new();
    for _ in 0..8 {
        texts.push(exchange(&issuer).await);
    }
    // The second `st-1` in a row uses up no name; the last one is a new text and uses up `st-4`.
    let expected = [
        "st-1", "st-1", "failed", "st-2", "st-3", "st-3", "st-1", "st-5",
    ];
    assert_eq!(texts, expected);
}

#[tokio::test(start_paused = true)]
async fn a_closure_that_takes_a_later_name_does_not_stop_the_numbers() {
    let issuer = ScriptedIssuer::new();
    issuer.script([Reply::from_fn(|_| opaque("st-2"))]);
    let mut texts = Vec::new();
    for _ in 0..3 {
        texts.push(exchange(&issuer).await);
    }
    assert_eq!(texts, ["st-2", "st-2", "st-3"]);
}

/// Returns the text of the next token of the issuer, taken with a provider of its own.
async fn exchange(issuer: &ScriptedIssuer) -> String {
    let provider = builder(issuer).build().unwrap();
    match provider.token().await {
        Ok(token) => token.expose().to_owned(),
        Err(_) => "failed".to_owned(),
    }
}

#[tokio::test]
async fn a_closure_cannot_answer_a_revocation_or_a_grant() {
    let issuer = ScriptedIssuer::new();
    issuer.script_revocations([Reply::from_fn(opaque)]);
    issuer.script_long_term([Reply::from_fn(opaque)]);
    let token = opaque("st-1").unwrap();
    assert!(issuer.revoke((&token).into(), None).await.is_err());
    let grant = Grant::client_secret("id", "secret");
    assert!(issuer.obtain(&grant, None).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn debug_shows_no_token_that_a_closure_made() {
    let issuer = ScriptedIssuer::new();
    let answer = Reply::from_fn(|_| {
        let token = ShortTermToken::builder("s3cret");
        token.expires_in(Duration::from_secs(60)).build()
    });
    let shown = format!("{answer:?}");
    issuer.script([answer.clone(), answer]);
    let (provider, _) = provider(&issuer);
    assert_eq!(provider.token().await.unwrap().expose(), "s3cret");
    let issuer = format!("{issuer:?}");
    assert!(shown.contains("FromFn"), "{shown}");
    assert!(!issuer.contains("s3cret"), "{issuer}");
}
