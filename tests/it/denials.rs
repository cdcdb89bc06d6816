//! A 401 from a resource server.

use everbearer::testkit::{AuthServer, Endpoint, Fault, Reply, ScriptedIssuer};
use everbearer::{Error, ErrorKind, RefreshPolicy, RequestBuilderExt, TokenProvider};
use reqwest::{Client, StatusCode};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware};
use wiremock::matchers::{any, header};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::{builder, millis, provider, provider_at, secs};

fn client(provider: &TokenProvider) -> ClientWithMiddleware {
    ClientBuilder::new(Client::new())
        .with(provider.middleware())
        .build()
}

/// A provider on the real clock, whose tokens go to this server.
fn provider_for(server: &MockServer, issuer: &ScriptedIssuer) -> TokenProvider {
    builder(issuer)
        .clock(everbearer::SystemClock::default())
        .origins([server.uri()])
        .build()
        .unwrap()
}

async fn refusing(token: &str, answer: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(header("authorization", format!("Bearer {token}").as_str()))
        .respond_with(answer)
        .mount(&server)
        .await;
    Mock::given(any())
        .respond_with(ResponseTemplate::new(200))
        .mount(&server)
        .await;
    server
}

async fn sent(server: &MockServer) -> Vec<String> {
    let requests = server.received_requests().await.unwrap();
    requests
        .iter()
        .map(|request| {
            let header = request.headers.get("authorization");
            header.map_or("none", |it| it.to_str().unwrap()).to_owned()
        })
        .collect()
}

#[tokio::test]
async fn r1_after_one_401_the_request_is_sent_again_with_a_new_token() {
    let server = AuthServer::start().await.unwrap();
    let provider = provider_at(&server).build().unwrap();
    let token = provider.token().await.unwrap();
    assert!(server.revoke(token.token_id().unwrap()));
    let request = client(&provider).post(server.url("/jobs")).body("a job");
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert!(response.text().await.unwrap().contains("\"bytes\":5"));
    let counts = server.counts().jobs_outcomes;
    assert_eq!(
        (counts.served, counts.revoked, counts.without_token),
        (1, 1, 0)
    );
}

#[tokio::test]
async fn r8_without_a_resend_the_401_is_returned_and_brings_a_newer_token_about() {
    let server = AuthServer::start().await.unwrap();
    let provider = provider_at(&server).build().unwrap();
    let token = provider.token().await.unwrap();
    server.revoke(token.token_id().unwrap());
    let client = reqwest_middleware::ClientBuilder::new(Client::new())
        .with(provider.middleware().resend(false))
        .build();
    let get = async || client.get(server.url("/jobs")).send().await.unwrap();
    assert_eq!(get().await.status(), StatusCode::UNAUTHORIZED);
    let counts = server.counts().jobs_outcomes;
    assert_eq!((counts.served, counts.revoked), (0, 1));
    let is_newer = |it: &everbearer::ShortTermToken| it.token_id() != token.token_id();
    while !provider.current().as_ref().is_some_and(is_newer) {
        tokio::time::sleep(millis(5)).await;
    }
    assert_eq!(get().await.status(), StatusCode::OK);
}

#[tokio::test]
async fn r1_holds_for_a_plain_client_too() {
    let server = AuthServer::start().await.unwrap();
    let provider = provider_at(&server).build().unwrap();
    let token = provider.token().await.unwrap();
    server.revoke(token.token_id().unwrap());
    let request = Client::new().post(server.url("/jobs")).body("a job");
    let response = request.send_with(&provider).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let counts = server.counts();
    assert_eq!(counts.jobs_outcomes.revoked, 1);
    assert_eq!(counts.exchanges_succeeded, 2);
}

#[tokio::test]
async fn r2_after_two_401s_the_second_is_returned() {
    let server = AuthServer::start().await.unwrap();
    server.script(
        Endpoint::Jobs,
        ["first", "second", "third"].map(|which| Fault::body(401, which)),
    );
    let provider = provider_at(&server).build().unwrap();
    let response = client(&provider).get(server.url("/jobs")).send().await;
    let response = response.unwrap();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(response.text().await.unwrap(), "second");
    let counts = server.counts();
    assert_eq!(counts.jobs.requests, 2, "one resend");
    assert_eq!(counts.exchanges_succeeded, 2);
}

#[tokio::test]
async fn r3_a_401_for_an_old_token_is_answered_with_the_newer_one_and_no_exchange() {
    let issuer = ScriptedIssuer::new();
    let server = MockServer::start().await;
    let late = ResponseTemplate::new(401).set_delay(std::time::Duration::from_millis(300));
    Mock::given(header("authorization", "Bearer st-1"))
        .respond_with(late)
        .mount(&server)
        .await;
    Mock::given(any())
        .respond_with(ResponseTemplate::new(200))
        .mount(&server)
        .await;
    let provider = provider_for(&server, &issuer);
    provider.token().await.unwrap();
    let request = tokio::spawn(client(&provider).get(server.uri()).send());
    while sent(&server).await.is_empty() {
        tokio::task::yield_now().await;
    }
    provider.refresh().await.unwrap();
    let response = request.await.unwrap().unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(sent(&server).await, ["Bearer st-1", "Bearer st-2"]);
    assert_eq!(issuer.exchanges(), 2, "none for the 401");
}

#[tokio::test]
async fn r3_rejecting_an_old_token_returns_the_one_in_use() {
    let issuer = ScriptedIssuer::new();
    let (provider, _) = provider(&issuer);
    let old = provider.token().await.unwrap();
    provider.refresh().await.unwrap();
    let newer = provider.invalidate(&old).await.unwrap();
    assert_eq!(newer.expose(), "st-2");
    assert_eq!(issuer.exchanges(), 2);
}

#[tokio::test]
async fn r4_a_hundred_late_401s_for_one_token_are_one_exchange() {
    let issuer = ScriptedIssuer::new();
    issuer.script([Reply::token(secs(900))]);
    let slow = Reply::token(secs(900)).after(std::time::Duration::from_millis(50));
    issuer.default_reply(slow);
    let server = refusing("st-1", ResponseTemplate::new(401)).await;
    let provider = provider_for(&server, &issuer);
    provider.token().await.unwrap();
    let client = client(&provider);
    let requests = crate::support::tasks(100, || client.get(server.uri()).send());
    for response in requests.join_all().await {
        assert_eq!(response.unwrap().status(), StatusCode::OK);
    }
    assert_eq!(issuer.exchanges(), 2);
}

#[tokio::test]
async fn r5_a_server_that_refuses_every_token_causes_no_storm() {
    let issuer = ScriptedIssuer::new();
    let server = MockServer::start().await;
    Mock::given(any())
        .respond_with(ResponseTemplate::new(401))
        .mount(&server)
        .await;
    let provider = provider_for(&server, &issuer);
    let client = client(&provider);
    for _ in 0..50 {
        let response = client.get(server.uri()).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    }
    assert_eq!(issuer.exchanges(), 2);
    let token = provider.token().await.unwrap();
    let error = provider.invalidate(&token).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
}

#[tokio::test]
async fn r6_a_token_that_grants_too_little_is_not_refreshed() {
    for answer in [
        ResponseTemplate::new(403),
        ResponseTemplate::new(401)
            .insert_header("www-authenticate", "Bearer error=\"insufficient_scope\""),
    ] {
        let issuer = ScriptedIssuer::new();
        let server = refusing("st-1", answer).await;
        let provider = provider_for(&server, &issuer);
        client(&provider).get(server.uri()).send().await.unwrap();
        assert_eq!(issuer.exchanges(), 1);
        assert_eq!(sent(&server).await.len(), 1);
    }
}

#[tokio::test]
async fn r7_a_body_that_streams_is_not_sent_again_but_the_token_is_refreshed() {
    let issuer = ScriptedIssuer::new();
    let server = refusing("st-1", ResponseTemplate::new(401)).await;
    let provider = provider_for(&server, &issuer);
    let client = client(&provider);
    let stream = reqwest::Body::wrap("a stream".to_owned());
    let response = client.post(server.uri()).body(stream).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    let response = client
        .post(server.uri())
        .body("a buffer")
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(issuer.exchanges(), 2);
}

#[tokio::test]
async fn r7_a_buffered_body_is_sent_again_to_the_byte_with_all_its_headers() {
    let issuer = ScriptedIssuer::new();
    let server = refusing("st-1", ResponseTemplate::new(401)).await;
    let provider = provider_for(&server, &issuer);
    let body: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let request = client(&provider).put(server.uri()).header("x-own", "kept");
    request.body(body.clone()).send().await.unwrap();
    let requests = server.received_requests().await.unwrap();
    assert_eq!(requests.len(), 2);
    for request in &requests {
        assert_eq!(request.method.as_str(), "PUT");
        assert_eq!(request.body, body);
        assert_eq!(request.headers["x-own"], "kept");
        assert_eq!(request.headers.get_all("authorization").iter().count(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn rejecting_when_there_is_no_token_says_why_there_is_none() {
    let issuer = ScriptedIssuer::new();
    issuer.default_reply(Reply::error(Error::terminal("the reason")));
    let (provider, _) = provider(&issuer);
    let error = provider.token().await.unwrap_err();
    let old = everbearer::ShortTermToken::builder("old").build().unwrap();
    let rejected = provider.invalidate(&old).await.unwrap_err();
    assert_eq!(rejected.to_string(), error.to_string());
}

#[tokio::test]
async fn when_no_newer_token_is_to_be_had_the_401_is_returned() {
    let issuer = ScriptedIssuer::new();
    issuer.script([Reply::token(secs(900))]);
    issuer.default_reply(Reply::error(Error::terminal("no more")));
    let server = refusing("st-1", ResponseTemplate::new(401)).await;
    let provider = provider_for(&server, &issuer);
    let response = client(&provider).get(server.uri()).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(
        provider.token().await.unwrap().expose(),
        "st-1",
        "not withdrawn"
    );
}

#[tokio::test]
async fn a6_insufficient_scope_counts_in_its_own_parameter_only() {
    let challenges = [
        (r#"Bearer error="insufficient_scope""#, false),
        (
            r#"bearer realm="x", scope="a b", ERROR="insufficient_scope""#,
            false,
        ),
        ("Bearer error=insufficient_scope", false),
        (
            r#"Basic realm="x", Bearer error="insufficient_scope""#,
            false,
        ),
        (
            r#"Bearer error="invalid_token", error_description="not insufficient_scope""#,
            true,
        ),
        (r#"Bearer realm="insufficient_scope""#, true),
        (r#"Bearer scope="insufficient_scope""#, true),
        (r#"Bearer error="not_insufficient_scope""#, true),
        (
            r#"Bearer error_uri="https://a.example/?error=insufficient_scope""#,
            true,
        ),
        (r#"Bearer x="a, error=\"insufficient_scope\"""#, true),
        ("insufficient_scope", true),
        ("", true),
    ];
    for (challenge, is_sent_again) in challenges {
        let issuer = ScriptedIssuer::new();
        let answer = ResponseTemplate::new(401).insert_header("www-authenticate", challenge);
        let server = refusing("st-1", answer).await;
        let provider = provider_for(&server, &issuer);
        client(&provider).get(server.uri()).send().await.unwrap();
        let expected = if is_sent_again { 2 } else { 1 };
        assert_eq!(sent(&server).await.len(), expected, "{challenge}");
    }
}

/// Waits until the token in use is of this generation, for 5 s at most.
async fn becomes(provider: &TokenProvider, generation: u64) {
    for _ in 0..250 {
        if provider.status().generation == generation {
            return;
        }
        tokio::time::sleep(millis(20)).await;
    }
    panic!("{:?}", provider.status());
}

/// Sends a request that is refused and not sent again.
async fn is_refused(provider: &TokenProvider, server: &MockServer) {
    let middleware = provider.middleware().resend(false);
    let client = ClientBuilder::new(Client::new()).with(middleware).build();
    let response = client.get(server.uri()).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn w22_a_token_that_is_refused_without_a_resend_is_replaced_at_once() {
    let server = refusing("st-1", ResponseTemplate::new(401)).await;
    for takes in [millis(0), millis(500)] {
        let issuer = ScriptedIssuer::new();
        issuer.script([
            Reply::token(secs(20)),
            Reply::token(secs(2_000)).after(takes),
        ]);
        let policy = RefreshPolicy::default()
            .settling_time(secs(60))
            .jitter(0.0)
            .fraction(0.05);
        let provider = builder(&issuer)
            .clock(everbearer::SystemClock::default())
            .origins([server.uri()])
            .refresh_policy(policy)
            .build()
            .unwrap();
        provider.token().await.unwrap();
        while issuer.asked_scopes().len() < 2 {
            tokio::time::sleep(millis(20)).await;
        }
        tokio::time::sleep(millis(100)).await;
        assert_eq!(provider.status().generation, 1, "it is held back");
        is_refused(&provider, &server).await;
        becomes(&provider, 2).await;
    }
}
