//! Several processes share one refresh token, whose reuse ends the family.

use std::process::{Command, Stdio};

use everbearer::{ClientAuth, Credential, FileStore, OAuth2, Record, TokenProvider, TokenStore};

use super::report;
use super::server::Server;

const PROCESSES: usize = 8;
const REFRESHES: usize = 25;
const TOKEN_URL: &str = "EVERBEARER_TOKEN_URL";
const FILE: &str = "EVERBEARER_FILE";

/// One of the processes, which [`eight_processes_share_a_refresh_token`] starts.
#[tokio::test]
async fn process() {
    let (Ok(url), Ok(file)) = (std::env::var(TOKEN_URL), std::env::var(FILE)) else {
        return;
    };
    let issuer = OAuth2::refresh_token(url, ClientAuth::public("rotating"));
    let provider = TokenProvider::builder(issuer.build().unwrap(), Credential::Stored)
        .store(FileStore::new(file))
        .build()
        .unwrap();
    provider.token().await.unwrap();
    for _ in 1..REFRESHES {
        provider.refresh().await.unwrap();
    }
}

#[tokio::test]
async fn eight_processes_share_a_refresh_token() {
    let server = Server::oidc_provider(600).await;
    let file = server.state().join("refresh-token");
    let record = Record::from(server.refresh_token().await);
    FileStore::new(&file).store(&record, None).await.unwrap();
    let start = || {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "sharing::process", "--nocapture"])
            .env(TOKEN_URL, server.url("/token"))
            .env(FILE, &file)
            .stdout(Stdio::null())
            .spawn()
            .unwrap()
    };
    let processes: Vec<_> = (0..PROCESSES).map(|_| start()).collect();
    for mut process in processes {
        let ended = tokio::task::spawn_blocking(move || process.wait().unwrap());
        assert!(ended.await.unwrap().success());
    }
    // A refresh may be answered by the exchange of another caller of the same process, never by that of another process.
    report(
        "oidc-provider",
        "eight processes on one FileStore",
        &[
            (
                "exchanges",
                PROCESSES * REFRESHES,
                server.responses("POST /token 200"),
            ),
            ("refused exchanges", 0, server.responses("POST /token 4")),
        ],
    );
}
