//! `AuthApi` and the provider over it, against the contract's server side on a real socket: each
//! operation, each mechanism, each status.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use everbearer::models::{GrantType, JWT_BEARER, LongTokenRequest, ShortTokenRequest};
use everbearer::testkit::{AuthServer, ClientKey, Endpoint, Fault, TokenIds, TokenKind};
use everbearer::{AuthApi, Clock, Error, ErrorKind, Grant, LongTermToken, Secret, SystemClock};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::json;

use crate::support::{provider_at, secs};

async fn start() -> (AuthServer, AuthApi) {
    let server = AuthServer::start().await.unwrap();
    let api = AuthApi::new(server.base_url()).unwrap();
    (server, api)
}

fn by_secret(server: &AuthServer, secret: &str) -> LongTokenRequest {
    let mut request = LongTokenRequest::new(GrantType::ClientCredentials, server.client_id());
    request.client_secret = Some(Secret::from(secret));
    request
}

async fn long_term(server: &AuthServer, api: &AuthApi) -> LongTermToken {
    obtain(api, &by_secret(server, server.client_secret()))
        .await
        .unwrap()
}

async fn obtain(api: &AuthApi, request: &LongTokenRequest) -> Result<LongTermToken, Error> {
    api.issue_long_term_token(request, None).await?.into_token()
}

fn code(error: &Error) -> (Option<u16>, &str) {
    (error.status(), error.code().unwrap_or_default())
}

#[tokio::test]
async fn a_long_term_token_by_client_secret() {
    let (server, api) = start().await;
    let mut request = by_secret(&server, server.client_secret());
    request.scopes = Some(vec!["jobs:read".to_owned()]);
    request.ttl_seconds = Some(3_600);
    let token = obtain(&api, &request).await.unwrap();
    let record = server.token(token.token_id().unwrap()).unwrap();
    assert_eq!(record.kind, TokenKind::LongTerm);
    assert_eq!(record.scopes, ["jobs:read"]);
    assert_eq!(token.scopes(), ["jobs:read"]);
    assert_eq!(token.expires_at(), Some(record.expires_at));
    let life = record.expires_at.duration_since(record.issued_at).unwrap();
    assert_eq!(life, secs(3_600));

    let wrong = obtain(&api, &by_secret(&server, "wrong"))
        .await
        .unwrap_err();
    assert_eq!(wrong.kind(), ErrorKind::Denied);
    assert_eq!(code(&wrong), (Some(401), "invalid_client"));
    request.ttl_seconds = Some(60);
    let too_short = obtain(&api, &request).await.unwrap_err();
    assert_eq!(too_short.kind(), ErrorKind::InvalidRequest);
    assert_eq!(code(&too_short), (Some(400), "invalid_request"));
}

#[tokio::test]
async fn a_long_term_token_by_one_time_code() {
    let (server, api) = start().await;
    let mut request = LongTokenRequest::new(GrantType::ClientCredentials, server.client_id());
    request.otp_code = Some(Secret::from(server.new_otp()));
    obtain(&api, &request).await.unwrap();
    let again = obtain(&api, &request).await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::Denied);
    assert_eq!(code(&again), (Some(400), "invalid_grant"));
}

#[tokio::test]
async fn a_long_term_token_by_assertion() {
    let key = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
    let public = ClientKey::EdDsa(key.public_key().as_ref().to_vec());
    let server = AuthServer::builder()
        .client_key(public)
        .start()
        .await
        .unwrap();
    let api = AuthApi::new(server.base_url()).unwrap();
    let now = SystemClock::default().wall();
    let now = now.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let header = json!({"alg": "EdDSA", "typ": "JWT"});
    let claims = json!({
        "iss": server.client_id(),
        "sub": server.client_id(),
        "aud": server.base_url(),
        "iat": now,
        "exp": now + 60,
        "jti": "assertion-1",
    });
    let signed = format!(
        "{}.{}",
        BASE64.encode(header.to_string()),
        BASE64.encode(claims.to_string())
    );
    let assertion = format!("{signed}.{}", BASE64.encode(key.sign(signed.as_bytes())));

    let mut request = LongTokenRequest::new(GrantType::Assertion, server.client_id());
    request.assertion_type = Some(JWT_BEARER.to_owned());
    request.assertion = Some(Secret::from(assertion));
    obtain(&api, &request).await.unwrap();
    let replayed = obtain(&api, &request).await.unwrap_err();
    assert_eq!(code(&replayed), (Some(400), "invalid_grant"));
}

#[tokio::test]
async fn a_long_term_token_by_short_term_token() {
    let (server, api) = start().await;
    let long = long_term(&server, &api).await;
    let short = |scope: &'static str| {
        let (api, long) = (api.clone(), long.clone());
        async move {
            let request = ShortTokenRequest::scopes([scope]);
            let response = api.issue_short_term_token(&long, Some(&request)).await;
            response.unwrap().into_token().unwrap()
        }
    };
    let request = LongTokenRequest::new(GrantType::ClientCredentials, server.client_id());
    let writer = short("tokens:write").await;
    let rotated = api.issue_long_term_token(&request, Some(&writer)).await;
    let rotated = rotated.unwrap().into_token().unwrap();
    assert_ne!(rotated.token_id(), long.token_id());
    api.issue_short_term_token(&rotated, None).await.unwrap();

    let reader = short("jobs:read").await;
    let error = api
        .issue_long_term_token(&request, Some(&reader))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert_eq!(code(&error), (Some(403), "insufficient_scope"));
}

#[tokio::test]
async fn two_mechanisms_at_once_or_none_are_an_invalid_request() {
    let (server, api) = start().await;
    let mut both = by_secret(&server, server.client_secret());
    both.otp_code = Some(Secret::from(server.new_otp()));
    let none = LongTokenRequest::new(GrantType::ClientCredentials, server.client_id());
    for request in [both, none] {
        let error = obtain(&api, &request).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidRequest);
        assert_eq!(code(&error), (Some(400), "invalid_request"));
    }
}

#[tokio::test]
async fn an_exchange_brings_a_short_lived_jwt_with_its_claims() {
    let (server, api) = start().await;
    let long = long_term(&server, &api).await;
    let request = ShortTokenRequest::scopes(["jobs:read"]);
    let short = api.issue_short_term_token(&long, Some(&request)).await;
    let short = short.unwrap().into_token().unwrap();
    let record = server.token(short.token_id().unwrap()).unwrap();
    assert_eq!(record.kind, TokenKind::ShortTerm);
    assert_eq!(record.scopes, ["jobs:read"]);
    assert_eq!(short.expires_at(), Some(record.expires_at));
    assert_eq!(short.issued_at(), Some(record.issued_at));
    assert_eq!(short.not_before(), Some(record.issued_at));
    assert_eq!(short.expose().split('.').count(), 3);
}

#[tokio::test]
async fn an_exchange_never_widens_and_says_so() {
    let (server, api) = start().await;
    let long = long_term(&server, &api).await;
    let request = ShortTokenRequest::scopes(["admin:all"]);
    let error = api
        .issue_short_term_token(&long, Some(&request))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidRequest);
    assert_eq!(error.status(), Some(400));
}

#[tokio::test]
async fn an_exchange_with_an_unknown_a_revoked_or_an_expired_token_is_denied() {
    let (server, api) = start().await;
    let unknown = LongTermToken::new("lt_unknown").unwrap();
    let error = api
        .issue_short_term_token(&unknown, None)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert_eq!(code(&error), (Some(401), "invalid_token"));

    let revoked = long_term(&server, &api).await;
    api.revoke_token(revoked.token_id().unwrap(), &revoked)
        .await
        .unwrap();
    let error = api
        .issue_short_term_token(&revoked, None)
        .await
        .unwrap_err();
    assert_eq!(code(&error), (Some(401), "invalid_token"));

    let expired = long_term(&server, &api).await;
    server.set_clock_offset(100 * 24 * 60 * 60);
    let error = api
        .issue_short_term_token(&expired, None)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert_eq!(code(&error), (Some(401), "token_expired"));
}

#[tokio::test]
async fn a_pause_that_the_server_asks_for_is_kept_in_the_error() {
    let (server, api) = start().await;
    let long = long_term(&server, &api).await;
    server.script(Endpoint::ShortTerm, [Fault::rate_limited("17")]);
    let error = api.issue_short_term_token(&long, None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RateLimited);
    assert_eq!(error.retry_after(), Some(secs(17)));
}

#[tokio::test]
async fn revoking_is_idempotent_and_takes_effect_at_once() {
    let (server, api) = start().await;
    let long = long_term(&server, &api).await;
    let short = api.issue_short_term_token(&long, None).await;
    let short = short.unwrap().into_token().unwrap();
    let id = short.token_id().unwrap();
    assert!(server.is_live(id));
    api.revoke_token(id, &short).await.unwrap();
    assert!(!server.is_live(id));
    api.revoke_token(id, &short).await.unwrap();
    api.revoke_token(id, &long).await.unwrap();
    api.revoke_token("tok_unknown", &long).await.unwrap();
    assert_eq!(server.counts().revocations, 1);

    let stranger = LongTermToken::new("lt_unknown").unwrap();
    let error = api.revoke_token(id, &stranger).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert_eq!(code(&error), (Some(401), "invalid_token"));
}

#[tokio::test]
async fn every_fault_of_the_wire_is_a_typed_error_and_the_next_call_succeeds() {
    let (server, api) = start().await;
    let long = long_term(&server, &api).await;
    for (fault, kind) in [
        (Fault::status(503), ErrorKind::Server),
        (Fault::Html(502), ErrorKind::Server),
        (Fault::Garbage, ErrorKind::Protocol),
        (Fault::CloseEarly, ErrorKind::Unreachable),
        (Fault::error(400, "invalid_grant"), ErrorKind::Denied),
        (Fault::body(201, "{}"), ErrorKind::Protocol),
    ] {
        let text = format!("{fault:?}");
        server.script(Endpoint::ShortTerm, [fault]);
        let error = api.issue_short_term_token(&long, None).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{text}: {error}");
        api.issue_short_term_token(&long, None).await.unwrap();
    }
    // E20: an exchange whose connection breaks before the answer is sent once more.
    server.script(Endpoint::ShortTerm, [Fault::LoseResponse]);
    api.issue_short_term_token(&long, None).await.unwrap();
    server.script(
        Endpoint::ShortTerm,
        [Fault::LoseResponse, Fault::LoseResponse],
    );
    let error = api.issue_short_term_token(&long, None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
    api.issue_short_term_token(&long, None).await.unwrap();
}

#[tokio::test]
async fn a_provider_that_starts_from_nothing_obtains_exchanges_and_revokes() {
    let server = AuthServer::start().await.unwrap();
    let provider = provider_at(&server).scopes(["jobs:read"]).build().unwrap();
    let token = provider.token().await.unwrap();
    let id = token.token_id().unwrap();
    assert_eq!(server.token(id).unwrap().scopes, ["jobs:read"]);
    let report = provider.shutdown().await;
    assert!(report.all_revoked(), "{report:?}");
    assert!(!server.is_live(id));
    let counts = server.counts();
    assert_eq!(
        (counts.long_term_issued, counts.exchanges_succeeded),
        (1, 1)
    );
}

#[tokio::test]
async fn a_provider_whose_long_term_token_was_revoked_obtains_the_next_one_by_its_grant() {
    let server = AuthServer::start().await.unwrap();
    let provider = provider_at(&server).build().unwrap();
    provider.token().await.unwrap();
    let long_term = server.tokens().remove(0);
    server.revoke(&long_term.token_id);
    provider.refresh().await.unwrap();
    assert_eq!(server.counts().long_term_issued, 2);
}

#[tokio::test]
async fn a_gateway_that_refuses_for_the_server_is_no_reason_to_obtain_another_one() {
    let server = AuthServer::start().await.unwrap();
    let provider = provider_at(&server).build().unwrap();
    provider.token().await.unwrap();
    server.script(Endpoint::ShortTerm, [Fault::Html(401), Fault::status(403)]);
    for _ in 0..2 {
        let error = provider.refresh().await.unwrap_err();
        assert!(error.is_retryable(), "{error}");
    }
    assert_eq!(server.counts().long_term_issued, 1);
}

#[tokio::test]
async fn a_provider_whose_grant_is_refused_says_so() {
    let server = AuthServer::start().await.unwrap();
    let api = AuthApi::new(server.base_url()).unwrap();
    let grant = Grant::client_secret(server.client_id(), "wrong");
    let provider = everbearer::TokenProvider::builder(api, grant)
        .build()
        .unwrap();
    let error = provider.token().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert_eq!(code(&error), (Some(401), "invalid_client"));
    assert_eq!(server.counts().long_term.requests, 1);
}

#[tokio::test]
async fn w13_a_server_whose_clock_is_wrong_changes_nothing_in_the_schedule() {
    for offset in [-600, 600, -86_400, 86_400] {
        let server = AuthServer::builder().clock_offset(offset).start().await;
        let server = server.unwrap();
        let provider = provider_at(&server).build().unwrap();
        provider.token().await.unwrap();
        let usable_for = provider.status().usable_for;
        assert!(
            usable_for <= secs(895) && usable_for > secs(850),
            "{offset}: {usable_for:?}"
        );
    }
}

#[tokio::test]
async fn token_ids_are_found_wherever_the_server_puts_them() {
    for place in [TokenIds::Body, TokenIds::HeaderOnly, TokenIds::JtiOnly] {
        let text = format!("{place:?}");
        let builder = AuthServer::builder().token_ids(place).long_term_jwt(true);
        let server = builder.start().await.unwrap();
        let policy = everbearer::ShutdownPolicy::default().revoke_long_term(true);
        let provider = provider_at(&server)
            .shutdown_policy(policy)
            .build()
            .unwrap();
        provider.token().await.unwrap();
        let report = provider.shutdown().await;
        assert!(report.all_revoked(), "{text}: {report:?}");
        let tokens = server.tokens();
        assert_eq!(tokens.len(), 2);
        assert!(
            tokens.iter().all(|token| token.revoked),
            "{text}: {tokens:?}"
        );
    }
}

#[tokio::test]
async fn d3_a_token_that_the_server_holds_for_expired_is_gone_and_a_401_is_reported() {
    for clean in [true, false] {
        let server = AuthServer::start().await.unwrap();
        let provider = provider_at(&server).build().unwrap();
        let token = provider.token().await.unwrap();
        if clean {
            server.set_clock_offset(1_000);
        } else {
            let refused = || Fault::error(401, "invalid_token");
            server.script(Endpoint::Revoke, [refused(), refused()]);
        }
        let report = provider.shutdown().await;
        assert_eq!(report.all_revoked(), clean, "{report:?}");
        assert_eq!(server.is_live(token.token_id().unwrap()), !clean);
    }
}

#[tokio::test]
async fn d3_a_revocation_that_meets_a_503_is_tried_again() {
    let server = AuthServer::start().await.unwrap();
    let provider = provider_at(&server).build().unwrap();
    let token = provider.token().await.unwrap();
    server.script(Endpoint::Revoke, [Fault::status(503), Fault::LoseResponse]);
    assert!(provider.shutdown().await.all_revoked());
    assert!(!server.is_live(token.token_id().unwrap()));
}

#[tokio::test]
async fn d4_a_server_that_hangs_does_not_hold_up_the_shutdown() {
    let server = AuthServer::start().await.unwrap();
    let policy = everbearer::ShutdownPolicy::default().deadline(crate::support::millis(200));
    let provider = provider_at(&server)
        .shutdown_policy(policy)
        .build()
        .unwrap();
    let token = provider.token().await.unwrap();
    server.fault_always(Endpoint::Revoke, Fault::Hang);
    let report = provider.shutdown().await;
    let left: Vec<_> = report.not_revoked().collect();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].token_id.as_deref(), token.token_id());
    assert!(left[0].ends_at.is_some());
}
