//! A server that serves one connection at a time, and whose refusals are long.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use everbearer::testkit::ScriptedIssuer;
use everbearer::{RefreshPolicy, RequestBuilderExt as _, TokenProvider};
use reqwest_middleware::ClientBuilder;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{builder, millis, secs};

#[derive(Default)]
struct State {
    revoked: BTreeSet<String>,
    /// How often each job was executed.
    executed: BTreeMap<String, u32>,
    refusals: u32,
}

/// Refuses with a body of this many bytes. About one request of `revokes` revokes its token.
async fn serve(listener: TcpListener, state: Arc<Mutex<State>>, refusal: usize, revokes: u32) {
    loop {
        let (socket, _) = listener.accept().await.unwrap();
        serve_connection(socket, &state, refusal, revokes).await;
    }
}

async fn serve_connection(
    mut socket: TcpStream,
    state: &Mutex<State>,
    refusal: usize,
    revokes: u32,
) {
    let mut received = Vec::new();
    loop {
        let end = loop {
            if let Some(end) = received.windows(4).position(|it| it == b"\r\n\r\n") {
                break end + 4;
            }
            let mut buffer = [0; 4096];
            match socket.read(&mut buffer).await {
                Ok(length @ 1..) => received.extend_from_slice(&buffer[..length]),
                _ => return,
            }
        };
        let head = String::from_utf8(received.drain(..end).collect()).unwrap();
        let value = |name: &str| {
            let line = head.lines().find(|line| line.starts_with(name));
            line.map(|line| line[name.len() + 2..].to_owned())
        };
        let token = value("authorization").unwrap();
        let is_refused = {
            let mut state = state.lock().unwrap();
            if fastrand::u32(..revokes) == 0 {
                state.revoked.insert(token.clone());
            }
            let is_refused = state.revoked.contains(&token);
            if is_refused {
                state.refusals += 1;
            } else {
                *state.executed.entry(value("x-job").unwrap()).or_default() += 1;
            }
            is_refused
        };
        let (status, length) = if is_refused {
            ("401 Unauthorized", refusal)
        } else {
            ("200 OK", 2)
        };
        let head = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n");
        let answer = [head.into_bytes(), vec![b'x'; length]].concat();
        if socket.write_all(&answer).await.is_err() {
            return;
        }
    }
}

async fn start(
    refusal: usize,
    revokes: u32,
    min_reject_interval: Duration,
) -> (String, Arc<Mutex<State>>, TokenProvider) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let state = Arc::<Mutex<State>>::default();
    tokio::spawn(serve(listener, Arc::clone(&state), refusal, revokes));
    let policy = RefreshPolicy::default().min_reject_interval(min_reject_interval);
    let provider = builder(&ScriptedIssuer::new())
        .clock(everbearer::SystemClock::default())
        .refresh_policy(policy)
        .origins([&url])
        .build()
        .unwrap();
    (url, state, provider)
}

/// On several threads, reqwest alone hangs at such a server: it may open another connection before the
/// pool has the last one back.
#[tokio::test]
async fn r9_a_long_refusal_does_not_keep_the_only_connection() {
    for refusal in [0, 10, 60_000, 64 * 1024, 200_000] {
        for is_plain in [true, false] {
            let (url, state, provider) = start(refusal, 5, millis(0)).await;
            let plain = reqwest::Client::new();
            let middleware = ClientBuilder::new(plain.clone())
                .with(provider.middleware())
                .build();
            let requests = if refusal == 200_000 { 1_000 } else { 100 };
            for job in 0..requests {
                let send = async {
                    if is_plain {
                        let request = plain.post(&url).header("x-job", job);
                        request.send_with(&provider).await.unwrap()
                    } else {
                        let request = middleware.post(&url).header("x-job", job);
                        request.send().await.unwrap()
                    }
                };
                let response = tokio::time::timeout(secs(20), send).await;
                let response = response.expect("the request hangs");
                if response.status() == 401 {
                    assert_eq!(response.bytes().await.unwrap().len(), refusal);
                }
            }
            let state = state.lock().unwrap();
            assert!(state.executed.values().all(|count| *count == 1));
            let (executed, refusals) = (state.executed.len(), state.refusals);
            assert!(refusals > 0, "{refusal} {is_plain}");
            assert!(executed > requests / 2, "{executed} {refusals}");
        }
    }
}

#[tokio::test]
async fn r11_a_refusal_that_is_returned_does_not_keep_the_only_connection() {
    // Each request revokes its token. No exchange begins after the second refusal, so it is returned at once.
    let (url, state, provider) = start(60_000, 1, secs(60)).await;
    let mut refusals = Vec::new();
    for job in 0..5 {
        let stream = reqwest::Body::wrap(String::new());
        let request = reqwest::Client::new().post(&url).header("x-job", job);
        let request = request.header("connection", "close").body(stream);
        let answer = tokio::time::timeout(secs(20), request.send_with(&provider)).await;
        refusals.push(answer.expect("the request hangs").unwrap());
    }
    assert_eq!(state.lock().unwrap().refusals, 5);
    for refusal in refusals {
        assert_eq!(refusal.status(), 401);
        assert_eq!(refusal.bytes().await.unwrap().len(), 60_000);
    }
}
