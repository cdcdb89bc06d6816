//! Where a token may go.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use everbearer::testkit::{AuthServer, Endpoint, Fault, ScriptedIssuer};
use everbearer::{AuthApi, ErrorKind, Grant, RequestBuilderExt, SendError, TokenProvider};
use http::Extensions;
use reqwest::{Client, Request, Response};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware, Middleware, Next};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::{Log, builder, provider_at};

async fn recorder() -> MockServer {
    let server = MockServer::start().await;
    Mock::given(any())
        .respond_with(ResponseTemplate::new(200))
        .mount(&server)
        .await;
    server
}

async fn received(server: &MockServer) -> Vec<Option<String>> {
    let requests = server.received_requests().await.unwrap();
    requests
        .iter()
        .map(|request| {
            let header = request.headers.get("authorization")?;
            Some(header.to_str().unwrap().to_owned())
        })
        .collect()
}

fn provider_for(server: &MockServer) -> TokenProvider {
    builder(&ScriptedIssuer::new())
        .clock(everbearer::SystemClock::default())
        .origins([server.uri()])
        .build()
        .unwrap()
}

fn client(provider: &TokenProvider) -> ClientWithMiddleware {
    ClientBuilder::new(Client::new())
        .with(provider.middleware())
        .build()
}

#[tokio::test]
async fn s1_the_callers_own_authorization_is_kept() {
    let server = recorder().await;
    let provider = provider_for(&server);
    let own = "Basic b3du";
    let request = client(&provider).get(server.uri());
    request.header("authorization", own).send().await.unwrap();
    let request = Client::new().get(server.uri()).header("authorization", own);
    request.send_with(&provider).await.unwrap();
    assert_eq!(
        received(&server).await,
        [Some(own.into()), Some(own.into())]
    );
}

#[tokio::test]
async fn s1_overwriting_is_opt_in() {
    let server = recorder().await;
    let provider = provider_for(&server);
    let client = ClientBuilder::new(Client::new())
        .with(provider.middleware().overwrite(true))
        .build();
    let request = client
        .get(server.uri())
        .header("authorization", "Basic b3du");
    request.send().await.unwrap();
    assert_eq!(received(&server).await, [Some("Bearer st-1".into())]);
}

#[tokio::test]
async fn s2_plain_http_is_refused_wherever_it_is_configured() {
    let api = AuthApi::new("http://auth.example.com").unwrap_err();
    let origins = builder(&ScriptedIssuer::new())
        .origins(["http://jobs.example.com"])
        .build()
        .unwrap_err();
    let provider = builder(&ScriptedIssuer::new()).build().unwrap();
    let middleware = provider
        .middleware()
        .origins(["http://jobs.example.com"])
        .unwrap_err();
    for error in [api, origins, middleware] {
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains("use https"), "{error}");
    }
}

/// Whether a client of its own goes to a proxy that the environment names; in a process of its
/// own, since the environment is one for all tests.
#[tokio::test]
async fn s2_a_loopback_address_is_not_called_through_a_proxy() {
    if std::env::var_os("BEHIND_A_PROXY").is_some() {
        let server = AuthServer::start().await.unwrap();
        provider_at(&server).build().unwrap().token().await.unwrap();
        return;
    }
    let proxy = recorder().await;
    let name = "destinations::s2_a_loopback_address_is_not_called_through_a_proxy";
    let child = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name])
        .env("BEHIND_A_PROXY", "1")
        .env("http_proxy", proxy.uri())
        .env("ALL_PROXY", proxy.uri())
        .env_remove("no_proxy")
        .env_remove("NO_PROXY")
        .output()
        .await
        .unwrap();
    assert!(child.status.success(), "{child:?}");
    assert!(String::from_utf8_lossy(&child.stdout).contains("1 passed"));
    assert!(received(&proxy).await.is_empty());
}

#[tokio::test]
async fn a_requests_own_timeout_bounds_the_wait_for_a_token() {
    let issuer = ScriptedIssuer::new();
    issuer.default_reply(everbearer::testkit::Reply::hang());
    let provider = builder(&issuer).clock(everbearer::SystemClock::default());
    let provider = provider.origins(["http://127.0.0.1:9"]).build().unwrap();
    let request = Client::new().get("http://127.0.0.1:9/");
    let request = request.timeout(crate::support::millis(50));
    let error = request.send_with(&provider).await.unwrap_err();
    assert!(matches!(error, SendError::Token(error) if error.kind() == ErrorKind::WaitTimeout));
}

#[tokio::test]
async fn w4_no_expired_token_reaches_the_wire() {
    let server = AuthServer::start().await.unwrap();
    let clock = everbearer::testkit::ManualClock::new();
    let provider = provider_at(&server).clock(clock.clone()).build().unwrap();
    let client = client(&provider);
    for _ in 0..3 {
        client.get(server.url("/jobs")).send().await.unwrap();
        clock.suspend(crate::support::secs(3_600));
        server.revoke_all_short_term();
    }
    let counts = server.counts();
    assert_eq!(
        (counts.jobs_outcomes.served, counts.jobs_outcomes.revoked),
        (3, 0)
    );
    assert_eq!(counts.exchanges_succeeded, 3);
}

#[tokio::test]
async fn s3_a_request_to_another_origin_goes_out_without_a_token() {
    let (ours, other) = (recorder().await, recorder().await);
    let provider = provider_for(&ours);
    let client = client(&provider);
    client.get(ours.uri()).send().await.unwrap();
    client.get(other.uri()).send().await.unwrap();
    let plain = Client::new();
    plain.get(ours.uri()).send_with(&provider).await.unwrap();
    plain.get(other.uri()).send_with(&provider).await.unwrap();
    // The same port under another name of the host is another origin.
    let alias = ours.uri().replace("127.0.0.1", "localhost");
    client.get(alias).send().await.unwrap();
    let token = Some("Bearer st-1".to_owned());
    assert_eq!(received(&ours).await, [token.clone(), token, None]);
    assert_eq!(received(&other).await, [None, None]);
}

#[tokio::test]
async fn s3_by_default_the_token_goes_to_the_issuers_origin_and_nowhere_else() {
    let (server, other) = (AuthServer::start().await.unwrap(), recorder().await);
    let provider = provider_at(&server).build().unwrap();
    let client = client(&provider);
    client.get(server.url("/jobs")).send().await.unwrap();
    client.get(other.uri()).send().await.unwrap();
    assert_eq!(server.counts().jobs_outcomes.served, 1);
    assert_eq!(received(&other).await, [None]);
}

#[tokio::test]
async fn s4_a_redirect_to_another_origin_takes_no_token_along() {
    for status in [301, 302, 303, 307, 308] {
        let (ours, other) = (MockServer::start().await, MockServer::start().await);
        for (from, to) in [(&ours, &other), (&other, &ours)] {
            let location = format!("{}/next", to.uri());
            let redirect = ResponseTemplate::new(status);
            Mock::given(any())
                .respond_with(redirect.insert_header("location", location.as_str()))
                .up_to_n_times(1)
                .mount(from)
                .await;
            Mock::given(any())
                .respond_with(ResponseTemplate::new(200))
                .mount(from)
                .await;
        }
        let provider = provider_for(&ours);
        let response = client(&provider).get(ours.uri()).send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(received(&other).await, [None], "{status}");
        // A to B and back to A: once gone, it stays gone.
        assert_eq!(received(&ours).await, [Some("Bearer st-1".into()), None]);
    }
}

#[tokio::test]
async fn a_401_from_where_a_redirect_led_is_not_about_our_token() {
    let (ours, other) = (MockServer::start().await, MockServer::start().await);
    let redirect = ResponseTemplate::new(302).insert_header("location", other.uri().as_str());
    Mock::given(any()).respond_with(redirect).mount(&ours).await;
    Mock::given(any())
        .respond_with(ResponseTemplate::new(401))
        .mount(&other)
        .await;
    let issuer = ScriptedIssuer::new();
    let provider = builder(&issuer).clock(everbearer::SystemClock::default());
    let provider = provider.origins([ours.uri()]).build().unwrap();
    let response = client(&provider).get(ours.uri()).send().await.unwrap();
    assert_eq!(response.status(), 401);
    assert_eq!(issuer.exchanges(), 1);
}

/// Sees each request as it goes to the network.
struct Spy(Arc<Mutex<Vec<bool>>>);

#[async_trait]
impl Middleware for Spy {
    async fn handle(
        &self,
        request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> reqwest_middleware::Result<Response> {
        let header = &request.headers()["authorization"];
        self.0.lock().unwrap().push(header.is_sensitive());
        assert!(!format!("{request:?}").contains("st-1"));
        next.run(request, extensions).await
    }
}

#[tokio::test]
async fn s6_the_header_is_marked_sensitive() {
    let server = recorder().await;
    let provider = provider_for(&server);
    let seen = Arc::default();
    let client = ClientBuilder::new(Client::new())
        .with(provider.middleware())
        .with(Spy(Arc::clone(&seen)))
        .build();
    client.get(server.uri()).send().await.unwrap();
    assert_eq!(*seen.lock().unwrap(), [true]);
    assert!(provider.authorization().await.unwrap().is_sensitive());
}

#[tokio::test]
async fn without_a_token_the_request_is_not_sent() {
    let server = recorder().await;
    let provider = provider_for(&server);
    provider.shutdown().await;
    let error = client(&provider)
        .get(server.uri())
        .send()
        .await
        .unwrap_err();
    let reqwest_middleware::Error::Middleware(error) = error else {
        panic!("{error:?}");
    };
    let error: &everbearer::Error = error.downcast_ref().unwrap();
    assert_eq!(error.kind(), ErrorKind::ShutDown);
    let error = Client::new().get(server.uri()).send_with(&provider).await;
    assert!(matches!(error, Err(SendError::Token(error)) if error.kind() == ErrorKind::ShutDown));
    assert!(received(&server).await.is_empty());
}

#[tokio::test]
async fn s6_no_secret_is_logged_at_any_level_by_us_or_by_what_is_below_us() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    // For the whole process: what other tests log meanwhile has no secret to show either.
    tracing::subscriber::set_global_default(subscriber).unwrap();

    let server = AuthServer::start().await.unwrap();
    let provider = provider_at(&server).build().unwrap();
    let token = provider.token().await.unwrap();
    let client = client(&provider);
    client.get(server.url("/jobs")).send().await.unwrap();
    server.revoke(token.token_id().unwrap());
    client.get(server.url("/jobs")).send().await.unwrap();
    let newer = provider.token().await.unwrap();
    server.script(
        Endpoint::ShortTerm,
        [Fault::error(503, "busy"), Fault::Garbage],
    );
    for _ in 0..2 {
        provider.refresh().await.unwrap_err();
    }
    provider.shutdown().await;

    let log = log.text();
    for logged in [
        "published a new token",
        "refused the token",
        "exchange failed",
        "revoked",
    ] {
        assert!(log.contains(logged), "{logged}: {log}");
    }
    for secret in [
        server.client_secret(),
        token.expose(),
        newer.expose(),
        "Bearer ey",
    ] {
        assert!(!log.contains(secret), "{log}");
    }
    assert!(!log.replace("tok_lt_", "").contains("lt_"), "{log}");
}

#[tokio::test]
async fn s6_nothing_public_shows_a_secret() {
    let server = AuthServer::start().await.unwrap();
    let (id, secret) = (server.client_id(), server.client_secret());
    let grant = Grant::client_secret(id, secret);
    let api = AuthApi::new(server.base_url()).unwrap();
    let building = TokenProvider::builder(api.clone(), grant.clone());
    let mut seen = format!("{api:?} {grant:#?} {building:#?}");
    let provider = building.build().unwrap();
    let mut events = provider.subscribe();
    let token = provider.token().await.unwrap();
    let header = provider.authorization().await.unwrap();
    seen += &format!(
        "{token:#?} {header:?} {provider:#?} {:#?}",
        provider.middleware()
    );
    seen += &format!("{:#?} {:#?}", provider.status(), provider.shutdown().await);
    drop(provider);
    while let Some(event) = events.next().await {
        seen += &format!("{event:#?}");
    }
    assert!(seen.contains("Swapped") && seen.contains("ShutDown"));
    for secret in [secret, token.expose(), "Bearer ey"] {
        assert!(!seen.contains(secret), "{seen}");
    }
    let seen = seen.replace("tok_lt_", "").replace("default_lifetime", "");
    assert!(!seen.contains("lt_"), "{seen}");
}
