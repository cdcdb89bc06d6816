//! Token lifetimes by what answers state, over real sockets, and tokens that are returned again.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use everbearer::testkit::{Reply, ScriptedIssuer};
use everbearer::{
    AuthApi, ErrorKind, Event, LongTermToken, RefreshPolicy, RequestBuilderExt as _,
    ShortTermToken, TokenProvider,
};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::{builder, millis, provider, secs, settle};

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

fn jwt(claims: &Value) -> String {
    let header = BASE64.encode(json!({"alg": "ES256K"}).to_string());
    format!("{header}.{}.c2ln", BASE64.encode(claims.to_string()))
}

fn date(unix: u64) -> String {
    httpdate::fmt_http_date(UNIX_EPOCH + secs(unix))
}

/// Starts a server that gives this answer with these headers only: hyper would add a `Date`.
async fn server_that_answers(headers: &str, body: &Value) -> AuthApi {
    let body = body.to_string();
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n{headers}\r\n{body}",
        body.len()
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move {
                let mut request = vec![0; 16 * 1024];
                while let Ok(1..) = socket.read(&mut request).await {
                    socket.write_all(answer.as_bytes()).await.unwrap();
                }
            });
        }
    });
    AuthApi::new(url).unwrap()
}

/// Returns how long the token of this answer is usable, or why it is not.
async fn usable_for(headers: &str, body: &Value) -> Result<Duration, ErrorKind> {
    let api = server_that_answers(headers, body).await;
    let long_term = LongTermToken::new("lt_0d51e9bd2f6449cf").unwrap();
    let provider = TokenProvider::builder(api, long_term).build().unwrap();
    match provider.token().await {
        Ok(_) => Ok(provider.status().usable_for),
        Err(error) => Err(error.kind()),
    }
}

fn body(access_token: &str, more: Value) -> Value {
    let mut body = json!({"token_type": "Bearer", "access_token": access_token});
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

#[tokio::test]
async fn w19_answers_whose_statements_contradict_each_other() {
    let now = now();
    let date_is = |unix| format!("date: {}\r\n", date(unix));
    let fresh = jwt(&json!({"iat": now, "exp": now + 900}));
    let in_millis = jwt(&json!({"iat": now * 1_000, "exp": now + 900}));
    let rows = [
        (
            date_is(now + 20 * 60),
            body(&fresh, json!({"expires_in": 900})),
        ),
        (String::new(), body(&in_millis, json!({"expires_in": 900}))),
        (date_is(now), body(&in_millis, json!({"expires_in": 900}))),
        (
            date_is(now),
            body(
                "a.b.c",
                json!({"expires_in": 900, "expires_at": "2024-01-01T00:00:00Z"}),
            ),
        ),
    ];
    for (headers, body) in rows {
        let usable = usable_for(&headers, &body).await;
        let usable = usable.unwrap_or_else(|kind| panic!("{headers} {body}: {kind:?}"));
        assert!(
            usable <= secs(895) && usable > secs(850),
            "{body}: {usable:?}"
        );
    }
    let dead = jwt(&json!({"iat": now - 3_600, "exp": now - 300}));
    let dead = body(&dead, json!({"expires_in": 900}));
    assert_eq!(
        usable_for(&date_is(now), &dead).await,
        Err(ErrorKind::Protocol)
    );
}

#[tokio::test]
async fn w20_an_exp_in_milliseconds_is_given_the_default_life() {
    for exp in [
        json!((now() + 900) * 1_000),
        json!(1e300),
        json!(1_u64 << 63),
    ] {
        let body = body(&jwt(&json!({"exp": exp})), json!({}));
        for headers in [String::new(), format!("date: {}\r\n", date(now()))] {
            let usable = usable_for(&headers, &body).await.unwrap();
            assert!(usable <= secs(295) && usable > secs(250), "{usable:?}");
        }
    }
}

/// Answers with the same opaque token until it expires, then with the next one.
fn one_token_until_its_end(issuer: &ScriptedIssuer, life: Duration) {
    let began = tokio::time::Instant::now();
    issuer.default_reply(Reply::from_fn(move |_| {
        let (life, passed) = (life.as_secs(), began.elapsed().as_secs());
        let name = format!("shared-{}", passed / life);
        ShortTermToken::builder(&name)
            .token_id(&name)
            .expires_in(secs(life - passed % life))
            .build()
    }));
}

#[tokio::test(start_paused = true)]
async fn w21_the_same_token_again_is_no_swap() {
    let issuer = ScriptedIssuer::new();
    one_token_until_its_end(&issuer, secs(900));
    let (provider, clock) = provider(&issuer);
    let mut events = provider.subscribe();
    provider.ready().await.unwrap();
    clock.advance(secs(899)).await;
    assert_eq!(provider.token().await.unwrap().expose(), "shared-0");
    assert!(issuer.exchanges() <= 4, "{}", issuer.exchanges());
    clock.advance(secs(3)).await;
    assert_eq!(provider.token().await.unwrap().expose(), "shared-1");
    settle().await;
    provider.shutdown().await;
    let (mut swaps, mut repetitions) = (Vec::new(), 0);
    while let Some(event) = events.next().await {
        match event {
            Event::Swapped { generation, .. } => swaps.push(generation),
            Event::Unchanged { .. } => repetitions += 1,
            Event::ExchangeFailed { error, .. } => panic!("{error}"),
            Event::ShutDown => break,
            _ => {}
        }
    }
    assert_eq!(swaps, [1, 2]);
    assert_eq!(repetitions, 3);
}

#[tokio::test(start_paused = true)]
async fn w21_a_fleet_that_was_handed_one_token_does_not_ask_for_the_next_one_together() {
    let mut asked_at = std::collections::BTreeSet::new();
    for seed in 0..50 {
        let issuer = ScriptedIssuer::new();
        one_token_until_its_end(&issuer, secs(900));
        let provider = builder(&issuer).jitter_seed(seed).build().unwrap();
        provider.ready().await.unwrap();
        tokio::time::sleep(secs(890)).await;
        let next = provider.status().next_exchange_in.unwrap();
        let after_the_end = next.saturating_sub(provider.status().usable_for);
        assert!(after_the_end <= secs(2), "{after_the_end:?}");
        asked_at.insert(next.as_millis());
        provider.shutdown().await;
    }
    assert!(asked_at.len() > 40, "{} of 50 differ", asked_at.len());
}

#[tokio::test]
async fn w21_after_a_401_that_brings_the_same_token_the_401_is_returned() {
    let server = MockServer::start().await;
    Mock::given(any())
        .respond_with(ResponseTemplate::new(401))
        .mount(&server)
        .await;
    let issuer = ScriptedIssuer::new();
    let same = |_: &str| {
        let token = ShortTermToken::builder("shared").expires_in(secs(900));
        token.build()
    };
    issuer.default_reply(Reply::from_fn(same));
    let provider = builder(&issuer)
        .clock(everbearer::SystemClock::default())
        .origins([server.uri()])
        .build()
        .unwrap();
    let client = reqwest::Client::new();
    for _ in 0..3 {
        let response = client.get(server.uri()).send_with(&provider).await;
        let response = response.unwrap();
        assert_eq!(response.status(), 401);
    }
    assert_eq!(server.received_requests().await.unwrap().len(), 3);
    assert_eq!(issuer.exchanges(), 2);
}

#[tokio::test(start_paused = true)]
async fn w22_the_swap_is_told_when_the_token_takes_its_place() {
    let issuer = ScriptedIssuer::new();
    let policy = RefreshPolicy::default().settling_time(secs(20)).jitter(0.0);
    let provider = builder(&issuer).refresh_policy(policy).build().unwrap();
    provider.ready().await.unwrap();
    let mut events = provider.subscribe();
    tokio::time::sleep(secs(672)).await;
    assert_eq!((issuer.exchanges(), provider.status().generation), (2, 1));
    tokio::time::sleep(secs(20)).await;
    assert_eq!(provider.status().generation, 2);
    loop {
        if let Some(Event::Swapped { previous_left, .. }) = events.next().await {
            let left = previous_left.unwrap();
            assert!(
                left < secs(210) && left > secs(200) - millis(100),
                "{left:?}"
            );
            break;
        }
    }
}
