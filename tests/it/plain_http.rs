//! Plain http to hosts that were named for it (S13).

use everbearer::testkit::ScriptedIssuer;
use everbearer::{
    AuthApi, ErrorKind, LongTermToken, RequestBuilderExt as _, TokenProvider, TokenProviderBuilder,
};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::Log;

/// A client that finds these hosts at the address of the server.
fn client(server: &MockServer, hosts: &[&str]) -> reqwest::Client {
    let mut client = reqwest::Client::builder().no_proxy();
    for host in hosts {
        client = client.resolve(host, *server.address());
    }
    client.build().unwrap()
}

async fn server(body: serde_json::Value) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(any())
        .respond_with(ResponseTemplate::new(200).set_body_json(body))
        .mount(&server)
        .await;
    server
}

fn builder() -> TokenProviderBuilder {
    let long_term = LongTermToken::new("long-term").unwrap();
    TokenProvider::builder(ScriptedIssuer::new(), long_term).name("billing")
}

#[tokio::test]
async fn s13_a_token_goes_on_plain_http_to_the_host_that_was_named_and_to_no_other() {
    let (log, _logging) = Log::capture(tracing::Level::WARN);
    let server = server(serde_json::json!({})).await;
    let port = server.address().port();
    let [named, other] = ["jobs.internal", "other.jobs.internal"];
    let client = client(&server, &[named, other]);
    let origins = [format!("http://{named}:{port}")];
    let provider = builder()
        .origins(&origins)
        .allow_plain_http_to(named)
        .build()
        .unwrap();
    for host in [named, other] {
        let request = client.get(format!("http://{host}:{port}/"));
        request.send_with(&provider).await.unwrap();
    }
    let requests = server.received_requests().await.unwrap();
    let sent: Vec<_> = requests
        .iter()
        .map(|request| request.headers.contains_key("authorization"))
        .collect();
    assert_eq!(sent, [true, false]);

    #[cfg(feature = "reqwest-middleware")]
    {
        provider
            .middleware()
            .origins([format!("http://{other}")])
            .unwrap_err();
        let middleware = provider.middleware().origins([&origins[0]]).unwrap();
        let client = reqwest_middleware::ClientBuilder::new(client.clone());
        let client = client.with(middleware).build();
        client.get(&origins[0]).send().await.unwrap();
        let requests = server.received_requests().await.unwrap();
        let last = requests.last().unwrap();
        assert!(last.headers.contains_key("authorization"), "{last:?}");
    }

    let log = log.text();
    let lines: Vec<_> = log
        .lines()
        .filter(|line| line.contains("on plain http"))
        .collect();
    assert_eq!(lines.len(), 1, "{log}");
    assert!(lines[0].contains("provider=\"billing\""), "{log}");
    assert!(lines[0].contains(&origins[0]), "{log}");
}

#[test]
fn s13_without_the_permission_the_error_names_it() {
    for (origins, host) in [
        ("http://jobs", "other"),
        ("http://sub.jobs", "jobs"),
        ("http://jobs", "job"),
    ] {
        let provider = builder().origins([origins]).allow_plain_http_to(host);
        let error = provider.build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        let advice = "allow it for this host with `TokenProviderBuilder::allow_plain_http_to`";
        assert!(error.to_string().contains(advice), "{error}");
    }
    let api = AuthApi::builder("http://auth.internal").allow_plain_http_to("auth");
    let error = api.build().unwrap_err().to_string();
    let advice = "allow it for this host with `AuthApiBuilder::allow_plain_http_to`";
    assert!(error.contains(advice), "{error}");
    for error in [
        builder()
            .allow_plain_http_to("*.internal")
            .build()
            .unwrap_err(),
        AuthApi::builder("https://a")
            .allow_plain_http_to("http://a")
            .build()
            .unwrap_err(),
    ] {
        assert!(
            error.to_string().contains("the argument is not a host"),
            "{error}"
        );
    }
}

/// The permission for the auth server is not one for the token, nor the other way round.
#[tokio::test]
async fn s13_the_auth_server_and_the_token_have_permissions_of_their_own() {
    let (log, _logging) = Log::capture(tracing::Level::WARN);
    let server = server(serde_json::json!({
        "token_type": "Bearer", "access_token": "a.b.c", "expires_in": 900
    }))
    .await;
    let url = format!("http://auth.internal:{}", server.address().port());
    let client = client(&server, &["auth.internal"]);
    let api = AuthApi::builder(&url)
        .http_client(client.clone())
        .allow_plain_http_to("auth.internal");
    let api = api.build().unwrap();
    let long_term = LongTermToken::new("long-term").unwrap();

    let provider = TokenProvider::builder(api.clone(), long_term.clone());
    let provider = provider.build().unwrap();
    provider.token().await.unwrap();
    client.get(&url).send_with(&provider).await.unwrap();
    let requests = server.received_requests().await.unwrap();
    let last = requests.last().unwrap();
    assert!(!last.headers.contains_key("authorization"), "{last:?}");

    let provider = TokenProvider::builder(api.clone(), long_term.clone());
    assert!(provider.origins([&url]).build().is_err());
    let provider = TokenProvider::builder(api, long_term).allow_plain_http_to("auth.internal");
    client
        .get(&url)
        .send_with(&provider.build().unwrap())
        .await
        .unwrap();
    let requests = server.received_requests().await.unwrap();
    let last = requests.last().unwrap();
    assert_eq!(last.headers["authorization"], "Bearer a.b.c");

    let log = log.text();
    assert_eq!(
        log.matches("secrets go to the auth server on plain http")
            .count(),
        1,
        "{log}"
    );
    assert_eq!(
        log.matches("the token goes to this origin on plain http")
            .count(),
        1,
        "{log}"
    );
}
