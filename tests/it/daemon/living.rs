//! From its start to its end.

use std::os::unix::net::UnixDatagram;

use everbearer::testkit::{AuthServer, Endpoint, Fault, TokenKind};
use everbearer::{FileStore, LongTermToken, TokenStore};

use super::{Daemon, long_term_token};
use crate::support::{millis, secs};

fn live(server: &AuthServer, kind: TokenKind) -> usize {
    let tokens = server.tokens();
    let live = tokens.iter().filter(|it| it.kind == kind && !it.revoked);
    live.count()
}

fn sample(metrics: &str, name: &str) -> f64 {
    let lines: Vec<&str> = metrics.lines().filter(|it| it.starts_with(name)).collect();
    let value = lines.first().and_then(|line| line.rsplit(' ').next());
    value
        .unwrap_or_else(|| panic!("no {name} in {metrics}"))
        .parse()
        .unwrap()
}

#[tokio::test]
async fn it_serves_reloads_and_stops() {
    let server = AuthServer::start().await.unwrap();
    let mut daemon = Daemon::at(&server);
    daemon.put_token(long_term_token(&server).await.expose());
    daemon.start();

    daemon
        .until_it_answers("/readyz", 200, "ready: fresh")
        .await;
    daemon.until_it_answers("/healthz", 200, "alive").await;
    daemon.until_it_logs("did the job").await;
    let (status, metrics) = daemon.get("/metrics").await;
    assert_eq!(status, 200);
    assert_eq!(sample(&metrics, "everbearer_exchanges_total{"), 1.0);
    assert!(sample(&metrics, "daemon_jobs_total{outcome=\"success\"}") >= 1.0);
    assert!(sample(&metrics, "everbearer_token_expires_in_seconds{") > 800.0);
    let samples = metrics
        .lines()
        .filter(|it| !it.is_empty() && !it.starts_with('#'));
    for line in samples {
        assert!(
            line.rsplit_once(' ').unwrap().1.parse::<f64>().is_ok(),
            "{line}"
        );
    }

    daemon.put_token(long_term_token(&server).await.expose());
    daemon.until_it_logs("loaded another long-term token").await;

    daemon.change("every = \"50ms\"", "every = \"70ms\"");
    daemon.signal("HUP");
    daemon
        .until_it_logs("applied the job section of the configuration")
        .await;
    daemon.change("[http]", "[retry]\nfirst_delay = \"2s\"\n[http]");
    daemon.signal("HUP");
    daemon
        .until_it_logs("restart the daemon to apply them sections=\"retry\"")
        .await;
    daemon.change("every", "evry");
    daemon.signal("HUP");
    daemon.until_it_logs("the previous one stays in use").await;
    daemon.until_it_answers("/readyz", 200, "ready").await;

    assert_eq!(live(&server, TokenKind::ShortTerm), 1);
    assert_eq!(daemon.stop(), 0, "{}", daemon.read("err"));
    assert_eq!(live(&server, TokenKind::ShortTerm), 0);
    assert_eq!(live(&server, TokenKind::LongTerm), 2);
    let report = daemon.read("out");
    assert!(
        report.contains("revoked") && report.contains("kept"),
        "{report}"
    );
    assert_eq!(server.counts().jobs_outcomes.revoked, 0);
}

#[tokio::test]
async fn it_logs_in_json_and_as_much_as_it_is_told() {
    let server = AuthServer::start().await.unwrap();
    let mut daemon = Daemon::at(&server);
    daemon.env.push(("LOG_FORMAT", "json".to_owned()));
    let levels = "info,everbearer=debug".to_owned();
    daemon.env.push(("RUST_LOG", levels));
    daemon.put_token(long_term_token(&server).await.expose());
    daemon.start();
    daemon.until_it_logs("did the job").await;
    assert_eq!(daemon.stop(), 0);
    let log = daemon.read("err");
    let lines: Vec<serde_json::Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let find = |message: &str| {
        let mut lines = lines.iter();
        let line = lines.find(|line| line["fields"]["message"] == message);
        line.unwrap_or_else(|| panic!("no {message:?} in {log}"))
    };
    let began = find("exchange began");
    assert_eq!(began["level"], "DEBUG");
    assert!(began["fields"]["provider"].is_string());
    let report = find("stopped")["fields"]["report"].as_str().unwrap();
    assert!(report.starts_with("revoked 1 of 2 tokens in "), "{report}");
}

#[tokio::test]
async fn it_shows_debug_lines_of_the_library_alone() {
    let server = AuthServer::start().await.unwrap();
    let mut daemon = Daemon::at(&server);
    daemon.env.push(("RUST_LOG", "everbearer=debug".to_owned()));
    daemon.put_token(long_term_token(&server).await.expose());
    daemon.start();
    daemon
        .until_it_logs("DEBUG everbearer: exchange began")
        .await;
    daemon.until_it_logs("published a new token").await;
    assert_eq!(daemon.stop(), 0);
    assert!(!daemon.read("err").contains("did the job"));
}

#[tokio::test]
async fn it_says_why_it_does_not_run_in_the_format_of_the_log() {
    let server = AuthServer::start().await.unwrap();
    let mut daemon = Daemon::at(&server);
    daemon.env.push(("LOG_FORMAT", "json".to_owned()));
    daemon.change("every", "evry");
    assert_eq!(daemon.command().status().unwrap().code(), Some(2));
    let line: serde_json::Value = serde_json::from_str(&daemon.read("err")).unwrap();
    let failure = line["fields"]["failure"].as_str().unwrap();
    assert!(failure.contains("job.evry: unknown field"), "{failure}");
    daemon.env.push(("RUST_LOG", "everbearer=debug".to_owned()));
    let (_, line) = daemon.refusal();
    assert!(line.contains("job.evry: unknown field"), "{line}");
    daemon.env.clear();
    daemon.env.push(("LOG_FORMAT", "jsno".to_owned()));
    let (code, line) = daemon.refusal();
    assert!(code == 2 && line.contains("LOG_FORMAT"), "{line}");
}

#[tokio::test]
async fn it_is_not_ready_while_there_is_no_token_and_stops_in_time() {
    let server = AuthServer::start().await.unwrap();
    server.fault_always(Endpoint::ShortTerm, Fault::status(503));
    let mut daemon = Daemon::at(&server);
    let secret = server.client_secret().to_owned();
    daemon
        .env
        .push(("EVERBEARER_AUTH__CLIENT_SECRET", secret.clone()));
    daemon
        .env
        .push(("EVERBEARER_RETRY__FIRST_DELAY", "100ms".into()));
    daemon
        .env
        .push(("EVERBEARER_RETRY__LONGEST_DELAY", "100ms".into()));
    daemon
        .env
        .push(("EVERBEARER_SHUTDOWN__DEADLINE", "2s".into()));
    daemon.start();
    daemon
        .until_it_answers("/readyz", 503, "not ready: unavailable")
        .await;
    daemon.until_it_answers("/healthz", 200, "alive").await;

    server.clear_faults();
    daemon.until_it_answers("/readyz", 200, "ready").await;
    // The token that was obtained is kept for the next start.
    assert!(LongTermToken::new(daemon.read("token").trim()).is_err());
    assert!(
        FileStore::new(daemon.path("token"))
            .load()
            .await
            .unwrap()
            .is_some()
    );

    server.fault_always(Endpoint::Revoke, Fault::status(503));
    assert_eq!(daemon.stop(), 3);
    assert!(daemon.read("out").contains("NOT revoked"));
    let printed = daemon.read("out") + &daemon.read("err");
    assert!(!printed.contains(&secret), "{printed}");
}

#[tokio::test]
async fn it_finishes_the_job_under_way_and_tells_its_supervisor() {
    let server = AuthServer::start().await.unwrap();
    server.fault_always(Endpoint::Jobs, Fault::Latency(secs(1)));
    let mut daemon = Daemon::at(&server);
    daemon.put_token(long_term_token(&server).await.expose());
    let supervisor = UnixDatagram::bind(daemon.path("notify")).unwrap();
    supervisor.set_read_timeout(Some(secs(10))).unwrap();
    let socket = daemon.path("notify").to_str().unwrap().to_owned();
    daemon.env.push(("NOTIFY_SOCKET", socket));
    daemon.start();
    let told = || {
        let mut buffer = [0; 100];
        let length = supervisor.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    };
    assert_eq!(told(), "READY=1\n");
    tokio::time::sleep(millis(300)).await;
    assert_eq!(daemon.stop(), 0);
    assert_eq!(told(), "STOPPING=1\n");
    let log = daemon.read("err");
    assert!(log.contains("did the job"), "{log}");
    assert!(!log.contains("did not end in time"), "{log}");
    // The token was good until the job was done.
    assert_eq!(server.counts().jobs_outcomes.revoked, 0);
    assert_eq!(live(&server, TokenKind::ShortTerm), 0);
}

#[tokio::test]
async fn it_can_be_stopped_before_it_has_a_token() {
    let server = AuthServer::start().await.unwrap();
    server.fault_always(Endpoint::ShortTerm, Fault::Hang);
    let mut daemon = Daemon::at(&server);
    daemon.put_token(long_term_token(&server).await.expose());
    let deadline = "2s".to_owned();
    daemon.env.push(("EVERBEARER_SHUTDOWN__DEADLINE", deadline));
    daemon.start();
    daemon
        .until_it_answers("/readyz", 503, "not ready: starting: no token yet")
        .await;
    // The server may have minted a token that nobody knows.
    assert_eq!(daemon.stop(), 3);
}
