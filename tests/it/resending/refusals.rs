//! Which answers refuse a token, and which requests are sent again.

use everbearer::testkit::ScriptedIssuer;
use everbearer::{ErrorKind, RequestBuilderExt as _, TokenProvider};
use reqwest::Client;
use reqwest_middleware::ClientBuilder;
use wiremock::matchers::{header, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::{Server, URL};
use crate::support::{Log, builder};

fn provider_for(server: &MockServer) -> TokenProvider {
    builder(&ScriptedIssuer::new())
        .clock(everbearer::SystemClock::default())
        .origins([server.uri()])
        .build()
        .unwrap()
}

/// Sends a request with the middleware, then one without it.
async fn post_both_ways(provider: &TokenProvider, url: &str) -> [u16; 2] {
    let client = ClientBuilder::new(Client::new())
        .with(provider.middleware())
        .build();
    let first = client.post(url).body("a job").send().await.unwrap();
    let request = Client::new().post(url).body("a job");
    let second = request.send_with(provider).await.unwrap();
    [first, second].map(|response| response.status().as_u16())
}

#[tokio::test]
async fn r10_nothing_is_sent_again_after_a_redirect() {
    for (status, to) in [(303, "/jobs/1"), (302, "/jobs/1"), (303, "/jobs?page=2")] {
        let server = MockServer::start().await;
        let redirect = ResponseTemplate::new(status).insert_header("location", to);
        Mock::given(method("POST"))
            .respond_with(redirect)
            .mount(&server)
            .await;
        Mock::given(method("GET"))
            .respond_with(ResponseTemplate::new(401))
            .mount(&server)
            .await;
        let provider = provider_for(&server);
        let url = format!("{}/jobs", server.uri());
        assert_eq!(post_both_ways(&provider, &url).await, [401; 2]);
        let requests = server.received_requests().await.unwrap();
        let posts = requests.iter().filter(|it| it.method.as_str() == "POST");
        assert_eq!(posts.count(), 2, "one for each client");
    }
}

#[tokio::test]
async fn r10_a_401_after_a_redirect_to_another_origin_is_not_about_the_token() {
    let other = MockServer::start().await;
    Mock::given(path("/jobs"))
        .respond_with(ResponseTemplate::new(401))
        .mount(&other)
        .await;
    let server = MockServer::start().await;
    let redirect = ResponseTemplate::new(307);
    let redirect = redirect.insert_header("location", format!("{}/jobs", other.uri()));
    Mock::given(path("/jobs"))
        .respond_with(redirect)
        .mount(&server)
        .await;
    let issuer = ScriptedIssuer::new();
    let provider = builder(&issuer)
        .clock(everbearer::SystemClock::default())
        .origins([server.uri(), other.uri()])
        .build()
        .unwrap();
    let url = format!("{}/jobs", server.uri());
    assert_eq!(post_both_ways(&provider, &url).await, [401; 2]);
    let client = ClientBuilder::new(Client::new())
        .with(provider.middleware().resend(false))
        .build();
    assert_eq!(client.get(url).send().await.unwrap().status(), 401);
    assert_eq!(issuer.exchanges(), 1);
    for request in other.received_requests().await.unwrap() {
        assert_eq!(request.headers.get("authorization"), None);
    }
}

#[tokio::test]
async fn r10_a_url_with_a_fragment_is_sent_again() {
    let server = MockServer::start().await;
    Mock::given(header("authorization", "Bearer st-1"))
        .respond_with(ResponseTemplate::new(401))
        .mount(&server)
        .await;
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(200))
        .mount(&server)
        .await;
    let url = format!("{}/jobs?q=a b&c=%20#part", server.uri());
    assert_eq!(post_both_ways(&provider_for(&server), &url).await, [200; 2]);
    assert_eq!(server.received_requests().await.unwrap().len(), 3);
}

async fn outcome(statuses: Option<Vec<u16>>, status: u16, challenge: Option<&str>) -> [u16; 2] {
    let server = MockServer::start().await;
    let mut refusal = ResponseTemplate::new(status);
    if let Some(challenge) = challenge {
        refusal = refusal.insert_header("www-authenticate", challenge);
    }
    for token in ["st-1", "st-3"] {
        Mock::given(header("authorization", format!("Bearer {token}").as_str()))
            .respond_with(refusal.clone())
            .up_to_n_times(1)
            .mount(&server)
            .await;
    }
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(200))
        .mount(&server)
        .await;
    let mut builder = builder(&ScriptedIssuer::new())
        .clock(everbearer::SystemClock::default())
        .origins([server.uri()]);
    if let Some(statuses) = statuses {
        builder = builder.refusal_statuses(statuses);
    }
    let provider = builder.build().unwrap();
    let first = post_both_ways(&provider, &server.uri()).await[0];
    let requests = server.received_requests().await.unwrap().len();
    [first, u16::try_from(requests - 1).unwrap()]
}

#[tokio::test]
async fn r13_which_statuses_refuse_a_token_can_be_set() {
    let invalid = Some(r#"Bearer realm="x", error="invalid_token""#);
    let insufficient = Some(r#"Bearer error="insufficient_scope", scope="a""#);
    let cases = [
        (None, 401, None, true),
        (None, 401, invalid, true),
        (None, 401, insufficient, false),
        (None, 403, None, false),
        (None, 403, invalid, true),
        (None, 403, insufficient, false),
        (None, 419, None, false),
        (None, 400, invalid, false),
        (None, 500, invalid, false),
        (Some(vec![401, 403, 419]), 403, None, true),
        (Some(vec![401, 403, 419]), 419, None, true),
        (Some(vec![401, 403, 419]), 403, insufficient, false),
        (Some(vec![403]), 401, None, false),
        (Some(vec![403]), 401, invalid, true),
    ];
    for (statuses, status, challenge, is_resent) in cases {
        let case = format!("{statuses:?} {status} {challenge:?}");
        let [got, requests] = outcome(statuses, status, challenge).await;
        let expected = if is_resent { [200, 2] } else { [status, 1] };
        assert_eq!([got, requests], expected, "{case}");
    }
}

#[tokio::test]
async fn r13_only_a_4xx_can_refuse_a_token() {
    for status in [0, 200, 302, 399, 500, 503, 1_000] {
        let builder = builder(&ScriptedIssuer::new()).refusal_statuses([401, status]);
        let error = builder.build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains("refusal_statuses"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn r15_an_origin_that_is_not_covered_is_warned_of_once_and_again_when_it_refuses() {
    let log = Log::default();
    let written = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::INFO)
        .with_ansi(false)
        .with_writer(move || written.clone());
    let _logging = tracing::subscriber::set_default(subscriber.finish());
    let builder = builder(&ScriptedIssuer::new()).origins(["https://auth.example.com"]);
    let provider = builder.build().unwrap();
    let client = Server::answering([200, 200, 401, 401]).client(&provider);
    for _ in 0..4 {
        client.get(URL).send().await.unwrap();
    }
    // A request with a token of its own, or to a covered origin, is none of them.
    let request = client.get("https://other.example.com");
    let request = request.header("authorization", "Basic b3du");
    request.send().await.unwrap();
    client.get("https://auth.example.com").send().await.unwrap();
    for number in 0..200 {
        let url = format!("https://host-{number}.example.com");
        client.get(url).send().await.unwrap();
    }
    let log = log.text();
    let lines = |text| log.lines().filter(move |line| line.contains(text)).count();
    assert_eq!(lines("sent a request without a token"), 64, "{log}");
    assert_eq!(lines("origin=\"https://api.example.com\""), 2, "{log}");
    assert_eq!(lines("a request without a token was answered with 401"), 1);
    assert_eq!(lines("other.example.com"), 0);
    assert_eq!(lines("WARN"), 65);
}
