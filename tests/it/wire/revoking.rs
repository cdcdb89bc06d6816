//! What the answers to a revocation mean.

use everbearer::{
    AuthApi, ErrorKind, RetryPolicy, RevocationOutcome, ShutdownReport, TokenProvider,
};
use serde_json::json;
use wiremock::matchers::{any, path_regex};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::{answer, long_term, page, revocation_answered, token};
use crate::support::{millis, secs};

#[tokio::test]
async fn d3_any_2xx_without_a_body_or_with_json_without_a_code_is_a_revocation() {
    for template in [
        ResponseTemplate::new(204),
        ResponseTemplate::new(200),
        ResponseTemplate::new(202),
        answer(200, &json!({})),
        answer(200, &json!({"revoked": true, "code": null})),
        answer(200, &json!(null)),
        answer(201, &json!([])),
        ResponseTemplate::new(200).set_body_string(" \n"),
    ] {
        let text = format!("{template:?}");
        let (outcome, requests) = revocation_answered(template).await;
        outcome.unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(requests, 1);
    }
}

#[tokio::test]
async fn a4_a_page_or_an_error_in_a_200_is_no_revocation() {
    for template in [
        page(200),
        page(404),
        answer(200, &json!({"code": "invalid_token", "message": "x"})),
        answer(200, &json!({"code": 401})),
        answer(
            404,
            &json!({"message": "no Route matched with those values"}),
        ),
        ResponseTemplate::new(200).set_body_string("welcome"),
    ] {
        let text = format!("{template:?}");
        let (outcome, _) = revocation_answered(template).await;
        let error = outcome.expect_err(&text);
        assert_eq!(error.kind(), ErrorKind::Protocol, "{text}: {error}");
    }
    let not_found = answer(404, &json!({"code": "not_found", "message": "x"}));
    revocation_answered(not_found).await.0.unwrap();
}

/// Returns the shutdown report of a provider whose revocations get this answer, and their number.
async fn shutdown_answered(template: ResponseTemplate) -> (ShutdownReport, usize) {
    let server = MockServer::start().await;
    Mock::given(path_regex("/revoke$"))
        .respond_with(template)
        .with_priority(1)
        .mount(&server)
        .await;
    Mock::given(any())
        .respond_with(token())
        .mount(&server)
        .await;
    let api = AuthApi::new(server.uri()).unwrap();
    let policy = RetryPolicy::default().backoff(millis(100), millis(100));
    let provider = TokenProvider::builder(api, long_term())
        .retry_policy(policy)
        .shutdown_policy(everbearer::ShutdownPolicy::default().deadline(secs(1)))
        .build()
        .unwrap();
    provider.token().await.unwrap();
    let report = provider.shutdown().await;
    let requests = server.received_requests().await.unwrap();
    let revocations = requests
        .iter()
        .filter(|request| request.url.path().ends_with("/revoke"));
    (report, revocations.count())
}

#[tokio::test]
async fn d3_an_empty_404_is_reported_as_unknown_and_not_tried_again() {
    let (report, revocations) = shutdown_answered(ResponseTemplate::new(404)).await;
    assert!(!report.all_revoked());
    assert_eq!(revocations, 1);
    let outcome = &report.tokens[0].outcome;
    assert!(
        matches!(outcome, RevocationOutcome::Unknown(_)),
        "{report:?}"
    );
    let shown = report.to_string();
    assert!(
        shown.contains("; unknown whether revoked: short-term token"),
        "{shown}"
    );

    let (report, revocations) = shutdown_answered(answer(200, &json!({}))).await;
    assert!(report.all_revoked(), "{report:?}");
    assert_eq!(revocations, 1);

    for transient in [page(404), page(200), ResponseTemplate::new(503)] {
        let (report, revocations) = shutdown_answered(transient).await;
        assert!(!report.all_revoked());
        assert!(revocations > 1, "{revocations}");
    }
}

#[tokio::test]
async fn d3_a_404_counts_as_revoked_with_the_contracts_code_only() {
    for (code, kind) in [
        ("rate_limited", ErrorKind::RateLimited),
        ("temporarily_unavailable", ErrorKind::Server),
        ("invalid_token", ErrorKind::Denied),
        ("rest_no_route", ErrorKind::InvalidRequest),
    ] {
        let template = answer(404, &json!({"code": code, "message": "x"}));
        let error = revocation_answered(template).await.0.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
    }
    for body in ["", " ", "\n"] {
        let template = ResponseTemplate::new(404).set_body_string(body);
        let error = revocation_answered(template).await.0.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{error}");
    }
}
