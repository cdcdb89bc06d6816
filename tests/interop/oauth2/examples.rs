//! The example issuers: `vault` at OpenBao, and `github_app` at a server that answers as GitHub does.

use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use serde_json::json;
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::openbao::{OpenBao, ROLE, ROLE_ID};
use super::report;
use super::server::KEY;

fn example(name: &str) -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let example = target.join("debug/examples").join(name);
    assert!(
        example.exists(),
        "build it with `cargo build --example {name}`"
    );
    example
}

async fn run(mut command: Command) -> String {
    let ended = tokio::task::spawn_blocking(move || command.output().unwrap());
    let ended = ended.await.unwrap();
    let printed = String::from_utf8(ended.stdout).unwrap();
    assert!(
        ended.status.success(),
        "{printed}{}",
        String::from_utf8_lossy(&ended.stderr)
    );
    printed
}

#[tokio::test]
async fn vault() {
    let server = OpenBao::start().await;
    let secret_id = server.secret_id().await;
    let before = server.live_tokens().await;
    let mut command = Command::new(example("vault"));
    command
        .env("VAULT_ADDR", server.url())
        .args([ROLE_ID, secret_id.as_str(), ROLE]);
    let printed = run(command).await;
    assert!(printed.contains("obtained a JWT"), "{printed}");
    // A JWT cannot be revoked, and the client token can.
    report(
        "OpenBao",
        "the example `vault`",
        &[(
            "client tokens after revoke-self",
            before,
            server.live_tokens().await,
        )],
    );
}

#[tokio::test]
async fn github_app() {
    let server = MockServer::start().await;
    let body = json!({"token": "ghs_16C7e42F292c6912E7710c838347Ae178B4a", "expires_at": "2099-07-11T22:14:10Z"});
    Mock::given(method("POST"))
        .and(path("/app/installations/42/access_tokens"))
        .respond_with(ResponseTemplate::new(201).set_body_json(body))
        .mount(&server)
        .await;
    Mock::given(method("DELETE"))
        .and(path("/installation/token"))
        .respond_with(ResponseTemplate::new(204))
        .mount(&server)
        .await;
    let dir = tempfile::tempdir().unwrap();
    let key = dir.path().join("key.pem");
    std::fs::write(&key, KEY).unwrap();
    let mut command = Command::new(example("github_app"));
    command
        .env("GITHUB_API_URL", server.uri())
        .args(["1234567", "42", key.to_str().unwrap()]);
    let printed = run(command).await;
    assert!(!printed.contains("ghs_"), "{printed}");
    let requests = server.received_requests().await.unwrap();
    assert_eq!(requests.len(), 2);
    let jwt = requests[0].headers["authorization"].to_str().unwrap();
    let claims = jwt.trim_start_matches("Bearer ").split('.').nth(1).unwrap();
    let claims = base64::prelude::BASE64_URL_SAFE_NO_PAD
        .decode(claims)
        .unwrap();
    let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!(claims["iss"], "1234567");
    assert_eq!(
        claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(),
        600
    );
    let revoked = requests[1].headers["authorization"].to_str().unwrap();
    assert!(revoked.starts_with("Bearer ghs_"));
}
