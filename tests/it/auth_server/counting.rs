//! What a test can read afterwards.

use everbearer::testkit::{AuthServer, Counts, Endpoint, Fault, TokenKind};
use serde_json::json;

use super::support::{DAY, Site};

#[tokio::test]
async fn a_server_that_nobody_asked_has_counted_nothing() {
    let site = Site::start().await;

    assert_eq!(site.server.counts(), Counts::default());
    assert!(site.server.tokens().is_empty());
}

#[tokio::test]
async fn requests_are_counted_by_endpoint_and_class() {
    let site = Site::start().await;
    let long_term = site.long_term().await;
    let token = site.exchange(&long_term.text).await.token();
    site.exchange("junk").await;
    let faults = [Fault::status(503), Fault::status(302)];
    site.server.script(Endpoint::ShortTerm, faults);
    site.exchange(&long_term.text).await;
    site.exchange(&long_term.text).await;
    site.revoke(&token.id, &long_term.text).await;

    let counts = site.server.counts();

    let short_term = &counts.short_term;
    assert_eq!(short_term.requests, 4);
    assert_eq!(short_term.successes, 1);
    assert_eq!(short_term.redirections, 1);
    assert_eq!(short_term.client_errors, 1);
    assert_eq!(short_term.server_errors, 1);
    assert_eq!(short_term.unanswered(), 0);
    assert_eq!(
        (counts.long_term.requests, counts.long_term.successes),
        (1, 1)
    );
    assert_eq!((counts.revoke.requests, counts.revoke.successes), (1, 1));
    assert_eq!(counts.jobs.requests, 0);
    assert_eq!(counts.long_term_issued, 1);
    assert_eq!(counts.exchanges_succeeded, 1);
    assert_eq!(counts.revocations, 1);
}

#[tokio::test]
async fn requests_to_jobs_are_counted_by_what_was_wrong_with_the_token() {
    let site = Site::start().await;
    let good = site.short_term().await;
    let reader = site.short_term_for(&["jobs:read"]).await;
    let revoked = site.short_term().await;
    site.server.revoke(&revoked.id);

    site.get("/jobs", &good.text).await;
    site.post("/jobs", Some(&reader.text), &json!({})).await;
    site.get("/jobs", &revoked.text).await;
    site.get("/jobs", "junk").await;
    site.post("/jobs", None, &json!({})).await;
    site.server.set_clock_offset(DAY);
    site.get("/jobs", &good.text).await;

    let jobs = site.server.counts().jobs_outcomes;
    assert_eq!(
        [
            jobs.served,
            jobs.forbidden,
            jobs.revoked,
            jobs.invalid,
            jobs.without_token,
            jobs.expired
        ],
        [1; 6]
    );
}

#[tokio::test]
async fn each_token_knows_what_was_done_with_it() {
    let site = Site::start().await;
    let long_term = site.long_term().await;
    let short_term = site.exchange(&long_term.text).await.token();
    site.exchange_for(&long_term.text, &json!({ "scopes": ["admin"] }))
        .await;
    site.get("/jobs", &short_term.text).await;
    site.get("/jobs", &short_term.text).await;
    site.exchange(&short_term.text).await;

    let records = site.server.tokens();

    let kinds: Vec<_> = records.iter().map(|record| record.kind).collect();
    assert_eq!(kinds, [TokenKind::LongTerm, TokenKind::ShortTerm]);
    assert_eq!((records[0].served, records[0].refused), (1, 1));
    assert_eq!((records[1].served, records[1].refused), (2, 1));
    assert_eq!(records[1].client_id, site.server.client_id());
    assert_eq!(
        site.server.token(&short_term.id).as_ref(),
        Some(&records[1])
    );
    assert_eq!(site.server.token("tok_st_unknown"), None);
}

#[tokio::test]
async fn concurrent_exchanges_are_seen_as_such() {
    let site = Site::start().await;
    let long_term = site.long_term().await;
    for _ in 0..3 {
        site.exchange(&long_term.text).await.token();
    }
    assert_eq!(site.server.counts().max_concurrent_exchanges, 1);
    site.server.fault_always(Endpoint::ShortTerm, Fault::Hang);

    let exchanges = [(); 5].map(|()| site.spawn_exchange(&long_term.text));
    site.until_exchanges_in_progress_are(5).await;
    exchanges.iter().for_each(tokio::task::JoinHandle::abort);
    site.until_exchanges_in_progress_are(0).await;

    let counts = site.server.counts();
    assert_eq!(counts.max_concurrent_exchanges, 5);
    assert_eq!(counts.short_term.unanswered(), 5);
}

#[tokio::test]
async fn nothing_that_is_printed_holds_a_secret() {
    let builder = AuthServer::builder().client("my-id", "my-secret");
    assert!(!format!("{builder:?}").contains("my-secret"));
    let site = Site::with(builder).await;
    let long_term = site.long_term().await;
    let short_term = site.exchange(&long_term.text).await.token();

    let printed = format!(
        "{:?} {:?} {:?}",
        site.server,
        site.server.counts(),
        site.server.tokens()
    );

    for secret in ["my-secret", &long_term.text, &short_term.text] {
        assert!(!printed.contains(secret));
    }
}
