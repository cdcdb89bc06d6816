//! A server on Authlib.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use everbearer::{
    ClientAuth, Error, ErrorKind, MemoryStore, OAuth2, OAuth2Builder, Secret, SecretSource,
    TokenProvider,
};

use super::report;
use super::server::Server;

const CLIENT_ID: &str = "client:1";
const SECRET: &str = "correct horse+battery";

fn at(server: &Server, builder: OAuth2Builder) -> OAuth2Builder {
    builder.revocation_url(server.url("/revoke"))
}

#[tokio::test]
async fn client_credentials_are_obtained_and_revoked() {
    let server = Server::authlib().await;
    let client = ClientAuth::post(CLIENT_ID, SECRET);
    let builder = OAuth2::client_credentials_with(server.url("/token"), client);
    let builder = at(&server, builder).provider().unwrap();
    let provider = builder.scopes(["jobs"]).build().unwrap();
    let token = provider.token().await.unwrap();
    assert_eq!(token.scopes(), ["jobs"]);
    let status = |token: String| {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = client.get(server.url("/api")).bearer_auth(token);
        async move { request.send().await.unwrap().status().as_u16() }
    };
    assert_eq!(status(token.expose().to_owned()).await, 200);
    let tokens = provider.shutdown().await;
    assert!(tokens.all_revoked(), "{tokens}");
    assert_eq!(status(token.expose().to_owned()).await, 401);
    report(
        "Authlib",
        "client credentials, revocation answered with `{}`",
        &[
            ("exchanges", 1, server.responses("POST /token 200")),
            ("revocations", 1, server.responses("POST /revoke 200")),
        ],
    );
}

#[tokio::test]
async fn refresh_tokens_are_replaced() {
    const REFRESHES: usize = 20;
    let server = Server::authlib().await;
    let client = ClientAuth::post(CLIENT_ID, SECRET);
    let builder = at(&server, OAuth2::refresh_token(server.url("/token"), client));
    let first = server.refresh_token().await;
    let provider = TokenProvider::builder(builder.build().unwrap(), first)
        .store(MemoryStore::new())
        .build()
        .unwrap();
    provider.ready().await.unwrap();
    for _ in 1..REFRESHES {
        provider.refresh().await.unwrap();
    }
    report(
        "Authlib",
        "refresh tokens whose reuse ends the family",
        &[
            ("exchanges", REFRESHES, server.responses("POST /token 200")),
            ("refused exchanges", 0, server.responses("POST /token 4")),
        ],
    );
}

/// The server accepts a subject token once.
#[tokio::test]
async fn each_exchange_has_a_subject_token_of_its_own() {
    let server = Server::authlib().await;
    let read = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&read);
    let subject = SecretSource::from_fn(move || {
        let number = counter.fetch_add(1, Ordering::SeqCst);
        async move { Ok::<_, Error>(Secret::from(format!("subject-{number}"))) }
    });
    let jwt = "urn:ietf:params:oauth:token-type:jwt";
    let builder = OAuth2::token_exchange(server.url("/token"), subject, jwt)
        .client_auth(ClientAuth::post(CLIENT_ID, SECRET))
        .audience("jobs");
    let provider = builder.provider().unwrap().build().unwrap();
    provider.token().await.unwrap();
    provider.refresh().await.unwrap();
    assert_eq!(read.load(Ordering::SeqCst), 2);
    report(
        "Authlib",
        "token exchange (RFC 8693)",
        &[("exchanges", 2, server.responses("POST /token 200"))],
    );
}

#[tokio::test]
async fn a_wrong_secret_is_refused() {
    let server = Server::authlib().await;
    let builder = OAuth2::client_credentials(server.url("/token"), CLIENT_ID, "wrong");
    let provider = builder.provider().unwrap().build().unwrap();
    let error = provider.token().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
}
