//! A process that does not run for a while, as when its machine sleeps.

use std::io::{BufRead, Write};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use everbearer::testkit::{AuthServer, TokenKind};
use everbearer::{AuthApi, Grant, TokenProvider};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::RwLock;
use tokio::time::{sleep, timeout};

use crate::support::{millis, secs};

const NAME: &str =
    "suspended::w14_a_process_that_was_stopped_past_the_tokens_end_sends_no_expired_token";
const SERVER: &str = "SUSPENDED_SERVER";
const TARGET: &str = "SUSPENDED_TARGET";
const CLIENT_ID: &str = "SUSPENDED_CLIENT_ID";
const CLIENT_SECRET: &str = "SUSPENDED_CLIENT_SECRET";

const ROUNDS: usize = 3;
const SENDERS: usize = 8;
const SERVED_PER_ROUND: u64 = 50;
const PATIENCE: Duration = secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn w14_a_process_that_was_stopped_past_the_tokens_end_sends_no_expired_token() {
    if std::env::var_os(SERVER).is_some() {
        return be_the_daemon().await;
    }
    let server = AuthServer::builder()
        .short_term_lifetime(secs(2))
        .fractional_timestamps(true)
        .start()
        .await
        .unwrap();
    let mut daemon = Daemon::start(&server);
    for _ in 0..ROUNDS {
        some_are_served(&server).await;
        daemon.tell("pause").await;
        daemon.says("paused").await;
        daemon.signal("STOP").await;
        every_token_has_ended(&server).await;
        daemon.tell("go on").await;
        daemon.signal("CONT").await;
    }
    some_are_served(&server).await;
    daemon.ends().await;

    let counts = server.counts();
    let jobs = counts.jobs_outcomes.clone();
    assert_eq!(
        (jobs.expired, jobs.without_token, jobs.invalid, jobs.revoked),
        (0, 0, 0, 0),
        "{counts:?}"
    );
    assert!(counts.exchanges_succeeded > ROUNDS as u64, "{counts:?}");
}

/// The process that is stopped and continued. It sends requests from several tasks until its
/// standard input ends.
///
/// A request that is stopped between taking its token and reaching the server arrives with an
/// expired token, so no request is in flight when the process is stopped. The order
/// to go on is there before the process wakes: the first requests race with the refresh that is long
/// due, and find the token that has ended.
async fn be_the_daemon() {
    let variable = |name| std::env::var(name).unwrap();
    let api = AuthApi::new(variable(SERVER)).unwrap();
    let grant = Grant::client_secret(variable(CLIENT_ID), variable(CLIENT_SECRET));
    let provider = TokenProvider::builder(api, grant).build().unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let client = ClientBuilder::new(client)
        .with(provider.middleware())
        .build();

    let sending = Arc::new(RwLock::new(()));
    for _ in 0..SENDERS {
        tokio::spawn(send_for_ever(
            client.clone(),
            variable(TARGET),
            Arc::clone(&sending),
        ));
    }
    let orders = Arc::clone(&sending);
    tokio::task::spawn_blocking(move || {
        let mut paused = None;
        for order in std::io::stdin().lock().lines() {
            match order.unwrap().as_str() {
                "pause" => {
                    paused = Some(orders.blocking_write());
                    // `println` would be kept back until the test ends.
                    std::io::stdout().write_all(b"paused\n").unwrap();
                }
                _ => paused = None,
            }
        }
        drop(paused);
    })
    .await
    .unwrap();
    // No request is in flight when its token is revoked.
    let _sent = sending.write().await;
    assert!(provider.shutdown().await.all_revoked());
}

async fn send_for_ever(client: ClientWithMiddleware, target: String, sending: Arc<RwLock<()>>) {
    loop {
        let allowed = sending.read().await;
        // Whether it is served is for the server to say.
        if let Ok(response) = client.get(&target).send().await {
            let _ = response.bytes().await;
        }
        drop(allowed);
        sleep(millis(2)).await;
    }
}

struct Daemon {
    process: Child,
    orders: ChildStdin,
    words: Lines<BufReader<ChildStdout>>,
}

impl Daemon {
    fn start(server: &AuthServer) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", NAME])
            .env(SERVER, server.base_url())
            .env(TARGET, server.url("/jobs"))
            .env(CLIENT_ID, server.client_id())
            .env(CLIENT_SECRET, server.client_secret())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self {
            orders: process.stdin.take().unwrap(),
            words: BufReader::new(process.stdout.take().unwrap()).lines(),
            process,
        }
    }

    async fn tell(&mut self, order: &str) {
        let order = format!("{order}\n");
        self.orders.write_all(order.as_bytes()).await.unwrap();
    }

    async fn says(&mut self, word: &str) {
        let mut said = Vec::new();
        let heard = timeout(PATIENCE, async {
            while let Some(line) = self.words.next_line().await.unwrap() {
                // The test harness may have begun the line.
                if line.ends_with(word) {
                    return true;
                }
                said.push(line);
            }
            false
        });
        assert_eq!(heard.await, Ok(true), "it did not say {word:?}: {said:#?}");
    }

    async fn signal(&self, name: &str) {
        let pid = self.process.id().unwrap().to_string();
        let command = format!("kill -{name} {pid}");
        let status = Command::new("sh").args(["-c", &command]).status().await;
        assert!(status.unwrap().success(), "{command}");
    }

    async fn ends(mut self) {
        drop(self.orders);
        let ended = timeout(PATIENCE, self.process.wait()).await;
        let status = ended.expect("it goes on without orders").unwrap();
        let mut said = Vec::new();
        while let Some(line) = self.words.next_line().await.unwrap() {
            said.push(line);
        }
        assert!(status.success(), "{said:#?}");
    }
}

async fn some_are_served(server: &AuthServer) {
    let served = || server.counts().jobs_outcomes.served;
    let enough = served() + SERVED_PER_ROUND;
    until("too few requests are served", || served() >= enough).await;
}

/// By the server's clock.
async fn every_token_has_ended(server: &AuthServer) {
    until("a token goes on living", || {
        server
            .tokens()
            .iter()
            .filter(|token| token.kind == TokenKind::ShortTerm)
            .all(|token| !server.is_live(&token.token_id))
    })
    .await;
}

async fn until(otherwise: &str, is_so: impl Fn() -> bool) {
    let coming = async {
        while !is_so() {
            sleep(millis(5)).await;
        }
    };
    timeout(PATIENCE, coming).await.expect(otherwise);
}
