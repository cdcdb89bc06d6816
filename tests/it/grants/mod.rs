//! The ways to obtain a long-term token, over a real socket.

mod assertions;
#[cfg(feature = "assertion")]
mod keys;
mod one_time_codes;
mod refused;
mod sources;

use std::error::Error as _;
use std::fmt::Write as _;

use everbearer::models::ShortTokenRequest;
use everbearer::testkit::{AuthServer, TokenKind};
use everbearer::{
    AuthApi, Credential, Error, ErrorKind, Grant, LongTermToken, SecretSource, ShortTermToken,
    TokenIssuer as _, TokenProvider,
};

use crate::support::secs;

/// For `assert_says`, where there is no secret that could be shown.
const NO_SECRET: &str = "\0";

async fn start() -> (AuthServer, AuthApi) {
    let server = AuthServer::start().await.unwrap();
    let api = AuthApi::new(server.base_url()).unwrap();
    (server, api)
}

/// The long-term token that the server has issued for the grant.
async fn obtain(server: &AuthServer, api: &AuthApi, grant: &Grant) -> LongTermToken {
    let token = api.obtain(grant, None).await.unwrap();
    let record = server.token(token.token_id().unwrap()).unwrap();
    assert_eq!(record.kind, TokenKind::LongTerm);
    token
}

/// All that an error shows of itself and of what caused it.
fn all_of(error: &Error) -> String {
    let mut text = format!("{error} {error:?}");
    let mut source = error.source();
    while let Some(cause) = source {
        write!(text, " {cause} {cause:?}").unwrap();
        source = cause.source();
    }
    text
}

/// An error of this kind, on one line, that names these and shows nothing of the secret.
#[track_caller]
fn assert_says(error: &Error, kind: ErrorKind, names: &[&str], secret: &str) {
    assert_eq!(error.kind(), kind, "{error}");
    let text = error.to_string();
    assert!(!text.contains('\n'), "{text}");
    for name in names {
        assert!(text.contains(name), "{text} does not name {name}");
    }
    assert!(!all_of(error).contains(secret), "{}", all_of(error));
}

#[tokio::test]
async fn scopes_and_ttl_go_with_every_mechanism() {
    let (server, api) = start().await;
    let lent = lent(&server, &api, &["tokens:write"]).await;
    let code = server.new_otp();
    let id = server.client_id();
    for grant in [
        Grant::client_secret(id, server.client_secret()),
        Grant::otp(id, move || {
            let code = code.clone();
            async move { Ok(code.into()) }
        }),
        Grant::bootstrap_token(id, lent.expose()),
    ] {
        let grant = grant.scopes(["jobs:read"]).ttl(secs(7_200));
        let token = obtain(&server, &api, &grant).await;
        let record = server.token(token.token_id().unwrap()).unwrap();
        assert_eq!(record.scopes, ["jobs:read"]);
        let life = record.expires_at.duration_since(record.issued_at).unwrap();
        assert_eq!(life, secs(7_200));
    }
}

#[tokio::test]
async fn a_lent_short_term_token_needs_its_scope_and_is_not_shown() {
    let (server, api) = start().await;
    let id = server.client_id();
    let reader = lent(&server, &api, &["jobs:read"]).await;
    let grant = Grant::bootstrap_token(id, reader.expose());
    assert!(!format!("{grant:?}").contains(reader.expose()));
    let error = api.obtain(&grant, None).await.unwrap_err();
    assert_says(
        &error,
        ErrorKind::Denied,
        &["issue_long_term_token"],
        reader.expose(),
    );
    assert_eq!(error.code(), Some("insufficient_scope"));

    let grant = Grant::bootstrap_token(id, "no token");
    let error = api.obtain(&grant, None).await.unwrap_err();
    assert_says(&error, ErrorKind::InvalidToken, &["space"], "no token");
    assert_eq!(server.counts().long_term.requests, 2);
}

#[tokio::test]
async fn the_provider_s_own_token_rotates_and_does_not_start() {
    let (server, api) = start().await;
    let grant = Grant::self_rotation(server.client_id()).scopes(["jobs:read"]);
    let error = api.obtain(&grant, None).await.unwrap_err();
    assert_says(&error, ErrorKind::Config, &["another grant"], NO_SECRET);
    assert_eq!(server.counts().long_term.requests, 0);

    let authority = lent(&server, &api, &["tokens:write"]).await;
    let next = api.obtain(&grant, Some(&authority)).await.unwrap();
    assert_eq!(next.scopes(), ["jobs:read"]);
    assert_eq!(server.counts().long_term_issued, 2);
}

#[tokio::test]
async fn a_grant_that_cannot_work_is_refused_when_the_provider_is_built() {
    let (_server, api) = start().await;
    let build =
        |grant: Grant| TokenProvider::builder(api.clone(), Credential::Grant(grant)).build();
    for (grant, about) in [
        (Grant::client_secret("id", ""), "client secret is empty"),
        (
            Grant::bootstrap_token("id", ""),
            "short-term token is empty",
        ),
        (
            Grant::client_secret("id", SecretSource::env("")),
            "whose name is empty",
        ),
        (
            Grant::client_secret("id", SecretSource::file("")),
            "whose path is empty",
        ),
        (
            Grant::client_secret("id", "hunter2").audience("https://auth.example.com"),
            "audience is for Grant::assertion only",
        ),
        (
            Grant::self_rotation("id").key_id("2026-11"),
            "key ID is for Grant::assertion only",
        ),
    ] {
        let error = build(grant).unwrap_err();
        assert_says(&error, ErrorKind::Config, &[about], "hunter2");
    }
}

/// A short-term token of these scopes, as somebody else would lend it.
async fn lent(server: &AuthServer, api: &AuthApi, scopes: &[&str]) -> ShortTermToken {
    let grant = Grant::client_secret(server.client_id(), server.client_secret());
    let long_term = api.obtain(&grant, None).await.unwrap();
    let request = ShortTokenRequest::scopes(scopes.iter().copied());
    let response = api.issue_short_term_token(&long_term, Some(&request)).await;
    response.unwrap().into_token().unwrap()
}
