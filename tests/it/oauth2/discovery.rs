//! Endpoints that are discovered.

use everbearer::{Revoked, TokenEndpoint, TokenRef};
use wiremock::matchers::{method, path};

use super::*;

const RFC_8414: &str = "/.well-known/oauth-authorization-server/realms/prod";
const OPENID: &str = "/realms/prod/.well-known/openid-configuration";

fn metadata(server: &MockServer) -> Value {
    let uri = server.uri();
    json!({
        "issuer": format!("{uri}/realms/prod"),
        "token_endpoint": format!("{uri}/found/token"),
        "revocation_endpoint": format!("{uri}/found/revoke"),
        "mtls_endpoint_aliases": {"token_endpoint": format!("{uri}/mtls/token")},
    })
}

async fn serving(at: &str, metadata: Value, server: &MockServer) {
    let found = Mock::given(method("GET"))
        .and(path(at))
        .respond_with(json(200, &metadata));
    found.mount(server).await;
    for endpoint in ["/found/token", "/mtls/token"] {
        let issued = Mock::given(method("POST"))
            .and(path(endpoint))
            .respond_with(token());
        issued.mount(server).await;
    }
    let revoked = Mock::given(path("/found/revoke")).respond_with(ResponseTemplate::new(200));
    revoked.mount(server).await;
}

fn client(server: &MockServer) -> OAuth2Builder {
    let endpoint = TokenEndpoint::discover(format!("{}/realms/prod/", server.uri()));
    OAuth2::client_credentials(endpoint, "id", "secret")
}

async fn paths(server: &MockServer) -> Vec<String> {
    let requests = server.received_requests().await.unwrap();
    requests.iter().map(|it| it.url.path().to_owned()).collect()
}

#[tokio::test]
async fn o25_the_endpoints_are_discovered_once_and_by_the_first_exchange() {
    for (at, tried) in [(RFC_8414, &[RFC_8414][..]), (OPENID, &[RFC_8414, OPENID])] {
        let server = MockServer::start().await;
        serving(at, metadata(&server), &server).await;
        let issuer = client(&server).build().unwrap();
        assert!(paths(&server).await.is_empty());
        issuer.exchange(None, &[]).await.unwrap();
        issuer.exchange(None, &[]).await.unwrap();
        let token = ShortTermToken::builder("opaque-token-1").build().unwrap();
        let outcome = issuer.revoke(TokenRef::from(&token), None).await;
        assert_eq!(outcome.unwrap(), Revoked::Gone);
        let mut expected = tried.to_vec();
        expected.extend(["/found/token", "/found/token", "/found/revoke"]);
        assert_eq!(paths(&server).await, expected);
    }
}

#[tokio::test]
async fn o25_a_failed_discovery_is_retried_like_an_exchange() {
    let server = MockServer::start().await;
    let issuer = client(&server).build().unwrap();
    let error = issuer.exchange(None, &[]).await.unwrap_err();
    assert!(error.is_retryable(), "{error}");
    serving(OPENID, metadata(&server), &server).await;
    issuer.exchange(None, &[]).await.unwrap();
}

#[tokio::test]
async fn o25_the_metadata_of_another_issuer_and_endpoints_on_plain_http_are_refused() {
    for (name, value, why) in [
        (
            "issuer",
            json!("https://evil.example.com"),
            "another issuer",
        ),
        (
            "token_endpoint",
            json!("http://auth.example.com/token"),
            "http",
        ),
        ("token_endpoint", json!(null), "no token_endpoint"),
    ] {
        let server = MockServer::start().await;
        let mut metadata = metadata(&server);
        metadata[name] = value;
        serving(OPENID, metadata, &server).await;
        let issuer = client(&server).build().unwrap();
        let error = issuer.exchange(None, &[]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains(why), "{error}");
        assert!(!paths(&server).await.contains(&"/found/token".to_owned()));
    }
}

#[tokio::test]
async fn o25_mtls_aliases_are_used_only_if_asked_for() {
    let server = MockServer::start().await;
    serving(OPENID, metadata(&server), &server).await;
    let issuer = client(&server).mtls_aliases(true).build().unwrap();
    issuer.exchange(None, &[]).await.unwrap();
    assert_eq!(paths(&server).await.last().unwrap(), "/mtls/token");
}

#[tokio::test]
async fn o2_a_secret_goes_into_the_body_where_the_server_takes_it_there_only() {
    let server = MockServer::start().await;
    let mut metadata = metadata(&server);
    metadata["token_endpoint_auth_methods_supported"] = json!(["client_secret_post"]);
    serving(OPENID, metadata, &server).await;
    let issuer = client(&server).build().unwrap();
    issuer.exchange(None, &[]).await.unwrap();
    let requests = server.received_requests().await.unwrap();
    let received = Received::of(requests.last().unwrap());
    assert_eq!(received.authorization, None);
    assert_eq!(received.get("client_secret"), Some("secret"));
}

/// A gateway answers all unknown paths, or the host has another issuer at its root.
#[tokio::test]
async fn o25_metadata_of_something_else_does_not_hide_that_of_openid_connect() {
    for other in [json!({}), json!({"issuer": "https://other.example.com"})] {
        let server = MockServer::start().await;
        serving(OPENID, metadata(&server), &server).await;
        let elsewhere = Mock::given(method("GET")).and(path(RFC_8414));
        let elsewhere = elsewhere.respond_with(json(200, &other));
        elsewhere.mount(&server).await;
        client(&server)
            .build()
            .unwrap()
            .exchange(None, &[])
            .await
            .unwrap();
    }
}
