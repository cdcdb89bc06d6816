//! oidc-provider, an OpenID-certified auth server, on a loopback port.

use std::time::Duration;

use serde_json::Value;

use super::process::Process;

/// The client that `oidc-provider.mjs` registers.
pub(super) const CLIENT_ID: &str = "billing service";
pub(super) const CLIENT_SECRET: &str = "correct:horse+battery%staple";

const SCRIPT: &str = include_str!("oidc-provider.mjs");

pub(super) struct OidcProvider {
    process: Option<Process>,
    port: String,
    lifetime: Duration,
}

impl OidcProvider {
    /// Starts a server whose access tokens have this lifetime, and returns when it listens.
    pub(super) async fn start(lifetime: Duration) -> Self {
        let mut server = Self {
            process: None,
            port: "0".to_owned(),
            lifetime,
        };
        server.restart().await;
        server
    }

    /// Ends the server. Its port refuses connections.
    pub(super) fn stop(&mut self) {
        self.process = None;
    }

    /// Starts the server once more on its port. It has forgotten its tokens.
    pub(super) async fn restart(&mut self) {
        self.stop();
        let lifetime = self.lifetime.as_secs().to_string();
        let args = [
            "--input-type=module",
            "--eval",
            SCRIPT,
            &self.port,
            &lifetime,
        ];
        let mut process = Process::spawn("node", &args);
        let port = process.line("listening on ").await;
        self.port = port.unwrap_or_else(|| panic!("oidc-provider ended: {}", process.log()));
        self.process = Some(process);
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// How many responses the server's log has that begin with this, such as `POST /token 200`.
    pub(super) fn responses(&self, begin: &str) -> usize {
        let log = self.process.as_ref().unwrap().log();
        log.lines().filter(|line| line.starts_with(begin)).count()
    }

    /// Returns what the server says about a token (RFC 7662).
    pub(super) async fn introspect(&self, token: &str) -> Value {
        let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect();
        let (id, secret): (String, String) = (encoded(CLIENT_ID), encoded(CLIENT_SECRET));
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = client
            .post(self.url("/token/introspection"))
            .basic_auth(id, Some(secret))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(format!("token={token}"));
        let response = request.send().await.unwrap();
        response.error_for_status().unwrap().json().await.unwrap()
    }

    pub(super) async fn is_active(&self, token: &str) -> bool {
        self.introspect(token).await["active"] == true
    }
}
