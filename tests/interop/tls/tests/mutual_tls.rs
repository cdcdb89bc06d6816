//! `OAuth2` with a client certificate (RFC 8705) at oidc-provider.

#![allow(
    clippy::unwrap_used,
    reason = "a test that panics is a test that fails"
)]

#[path = "../../issuers/process.rs"]
mod process;

use std::time::Duration;

use everbearer::{ClientAuth, ErrorKind, OAuth2, OAuth2Builder, RequestBuilderExt, TokenEndpoint};
use rcgen::{CertifiedKey, KeyPair};
use reqwest::{Certificate, Client, Identity};

use process::Process;

const PATIENCE: Duration = Duration::from_secs(30);
const INTERVAL: Duration = Duration::from_millis(10);

struct Server {
    process: Process,
    /// The URL of the port that asks for no client certificate, which is the issuer, and of the one that does.
    plain: String,
    mutual: String,
    certificate: Certificate,
    identity: Identity,
}

fn certified(name: &str) -> CertifiedKey<KeyPair> {
    rcgen::generate_simple_self_signed([name.to_owned()]).unwrap()
}

impl Server {
    async fn start() -> Self {
        // Another test may have installed it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (server, client) = (certified("localhost"), certified("billing.example.com"));
        let (certificate, own) = (server.cert.pem(), client.cert.pem());
        let script = include_str!("oidc-provider.mjs");
        let key = server.signing_key.serialize_pem();
        let args = [
            "--input-type=module",
            "--eval",
            script,
            "--",
            &certificate,
            &key,
            &own,
        ];
        let mut process = Process::spawn("node", &args);
        let urls = process.line("listening at ").await;
        let urls = urls.unwrap_or_else(|| panic!("the server ended: {}", process.log()));
        let (plain, mutual) = urls.split_once(' ').unwrap();
        let identity = format!("{own}{}", client.signing_key.serialize_pem());
        Self {
            plain: plain.to_owned(),
            mutual: mutual.to_owned(),
            process,
            certificate: Certificate::from_pem(certificate.as_bytes()).unwrap(),
            identity: Identity::from_pem(identity.as_bytes()).unwrap(),
        }
    }

    /// A client of the server, with the client certificate or without.
    fn client(&self, has_certificate: bool) -> Client {
        let mut client = Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .tls_certs_only([self.certificate.clone()]);
        if has_certificate {
            client = client.identity(self.identity.clone());
        }
        client.build().unwrap()
    }

    fn oauth2(&self, client: &Client) -> OAuth2Builder {
        let endpoint = TokenEndpoint::discover(&self.plain);
        OAuth2::client_credentials_with(endpoint, ClientAuth::public("mutual"))
            .http_client(client.clone())
    }

    /// How many responses the server's log has that begin with this, such as `mutual POST /token 200`.
    fn responses(&self, begin: &str) -> usize {
        let log = self.process.log();
        log.lines().filter(|line| line.starts_with(begin)).count()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_authenticates_the_client_and_binds_the_token() {
    let server = Server::start().await;
    let client = server.client(true);
    let provider = server
        .oauth2(&client)
        .mtls_aliases(true)
        .provider()
        .unwrap();
    let provider = provider.origins([server.mutual.as_str()]).build().unwrap();
    let api = format!("{}/api", server.mutual);
    for _ in 0..3 {
        let response = client.get(&api).send_with(&provider).await.unwrap();
        assert_eq!(response.status(), 200, "{}", server.process.log());
        provider.refresh().await.unwrap();
    }
    // The token alone is not enough.
    let other = server.client(false).get(&api).send_with(&provider).await;
    assert_eq!(other.unwrap().status(), 401);
    let report = provider.shutdown().await;
    assert!(report.all_revoked(), "{report}");

    let counts = [
        (
            "exchanges",
            report.tokens.len(),
            server.responses("mutual POST /token 200"),
        ),
        (
            "revocations",
            report.tokens.len(),
            server.responses("mutual POST /token/revocation 200"),
        ),
        ("requests", 3, server.responses("mutual GET /api 200")),
        (
            "requests with a token only",
            2,
            server.responses("mutual GET /api 401"),
        ),
        (
            "token requests at the other port",
            0,
            server.responses("plain POST /token"),
        ),
    ];
    println!("oidc-provider: a client certificate at the aliases of the metadata");
    for (name, ours, logged) in counts {
        println!("  {name:<32} ours {ours:>6}   in its log {logged:>6}");
        assert_eq!(ours, logged, "{name}: {}", server.process.log());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_certificate_or_without_the_aliases_the_client_is_refused() {
    let server = Server::start().await;
    for (has_certificate, uses_aliases) in [(false, true), (true, false)] {
        let client = server.client(has_certificate);
        let builder = server.oauth2(&client).mtls_aliases(uses_aliases);
        let provider = builder.provider().unwrap().build().unwrap();
        let error = provider.token().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
        assert_eq!(error.code(), Some("invalid_client"));
    }
    assert_eq!(server.responses("mutual POST /token 401"), 1);
    assert_eq!(server.responses("plain POST /token 401"), 1);
}
