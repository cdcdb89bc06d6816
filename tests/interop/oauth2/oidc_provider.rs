//! oidc-provider, which is OpenID-certified.

use everbearer::{
    Assertion, ClientAuth, Credential, ErrorKind, FileStore, OAuth2, SigningKey, TokenEndpoint,
    TokenProvider,
};

use super::report;
use super::server::{CLIENT_SECRET, KEY, Server};

const LIFETIME: u32 = 600;

fn signer() -> ClientAuth {
    let key = SigningKey::from_pem(KEY).unwrap();
    ClientAuth::jwt(Assertion::new("signer", key).key_id("2026-11"))
}

/// The secret has characters that the server accepts only if they are encoded, and each assertion is accepted once.
#[tokio::test]
async fn each_way_to_authenticate_is_accepted() {
    let server = Server::oidc_provider(LIFETIME).await;
    let hmac = Assertion::client_secret("hmac", CLIENT_SECRET.repeat(2));
    let clients = [
        ClientAuth::basic("billing service", CLIENT_SECRET),
        ClientAuth::post("poster", CLIENT_SECRET),
        ClientAuth::jwt(hmac.audience(server.url(""))),
        signer(),
    ];
    let mut exchanges = 0;
    let mut revoked = 0;
    for client in clients {
        let endpoint = TokenEndpoint::discover(server.url(""));
        let builder = OAuth2::client_credentials_with(endpoint, client);
        let provider = builder.provider().unwrap().build().unwrap();
        provider.token().await.unwrap();
        provider.refresh().await.unwrap();
        exchanges += 2;
        let tokens = provider.shutdown().await;
        assert!(tokens.all_revoked(), "{tokens}");
        revoked += tokens.tokens.len();
    }
    report(
        "oidc-provider",
        "four ways to authenticate, discovered endpoints",
        &[
            ("exchanges", exchanges, server.responses("POST /token 200")),
            ("refused exchanges", 0, server.responses("POST /token 4")),
            (
                "revocations",
                revoked,
                server.responses("POST /token/revocation 200"),
            ),
        ],
    );
}

#[tokio::test]
async fn a_secret_that_is_not_encoded_is_refused_and_the_error_says_so() {
    let server = Server::oidc_provider(LIFETIME).await;
    let client = ClientAuth::basic_unencoded("billing service", CLIENT_SECRET);
    let builder = server.client().client_auth(client);
    let provider = builder.provider().unwrap().build().unwrap();
    let error = provider.token().await.unwrap_err();
    assert!(!error.is_retryable());
    assert_eq!(error.kind(), ErrorKind::InvalidRequest);
    assert_eq!(error.code(), Some("invalid_request"));
}

#[tokio::test]
async fn refresh_tokens_are_replaced_and_survive_a_restart() {
    const REFRESHES: usize = 50;
    let mut server = Server::oidc_provider(LIFETIME).await;
    let store = server.state().join("refresh-token");
    let issuer = |server: &Server| {
        let client = ClientAuth::public("rotating");
        let endpoint = OAuth2::refresh_token(server.url("/token"), client);
        let endpoint = endpoint.revocation_url(server.url("/token/revocation"));
        endpoint.build().unwrap()
    };
    let first = server.refresh_token().await;
    let provider = TokenProvider::builder(issuer(&server), first)
        .store(FileStore::new(&store))
        .build()
        .unwrap();
    provider.ready().await.unwrap();
    for _ in 1..REFRESHES {
        provider.refresh().await.unwrap();
    }
    provider.shutdown().await;
    server.kill();
    server.restart().await;
    let provider = TokenProvider::builder(issuer(&server), Credential::Stored)
        .store(FileStore::new(&store))
        .build()
        .unwrap();
    let token = provider.token().await;
    assert!(token.is_ok(), "{token:?} {}", server.log());
    report(
        "oidc-provider",
        "refresh tokens whose reuse ends the family, one process",
        &[
            (
                "exchanges",
                REFRESHES + 1,
                server.responses("POST /token 200"),
            ),
            ("refused exchanges", 0, server.responses("POST /token 4")),
        ],
    );
}
