//! A server on a loopback port that can be killed and restarted.

use std::path::PathBuf;

use everbearer::{OAuth2, OAuth2Builder};
use tempfile::TempDir;

use super::process::Process;

pub(super) const CLIENT_SECRET: &str = "correct:horse+battery%staple";
/// The key of the client `signer`, and its public half.
pub(super) const KEY: &str = "-----BEGIN PRIVATE KEY-----\n\
    MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
    -----END PRIVATE KEY-----\n";

pub(super) struct Server {
    program: &'static str,
    args: Vec<String>,
    process: Option<Process>,
    port: String,
    /// What the server had written before it was killed.
    past: String,
    state: TempDir,
}

impl Server {
    /// Starts oidc-provider with access tokens of this lifetime in seconds.
    pub(super) async fn oidc_provider(lifetime: u32) -> Self {
        let state = tempfile::tempdir().unwrap();
        let file = state.path().join("state.json");
        let script = include_str!("oidc-provider.mjs");
        let args = [
            "--input-type=module",
            "--eval",
            script,
            "PORT",
            &lifetime.to_string(),
            file.to_str().unwrap(),
            &public_key(),
        ];
        Self::start("node", &args, state).await
    }

    /// Starts a server on Authlib.
    pub(super) async fn authlib() -> Self {
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let script = script.join("tests/interop/oauth2/authlib_server.py");
        let args = [script.to_str().unwrap(), "PORT"];
        Self::start("python", &args, tempfile::tempdir().unwrap()).await
    }

    async fn start(program: &'static str, args: &[&str], state: TempDir) -> Self {
        let mut server = Self {
            program,
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            process: None,
            port: "0".to_owned(),
            past: String::new(),
            state,
        };
        server.restart().await;
        server
    }

    /// Kills the server. Its port refuses connections.
    pub(super) fn kill(&mut self) {
        self.past = self.log();
        self.process = None;
    }

    /// Starts the server again, on its port and with its state.
    pub(super) async fn restart(&mut self) {
        let args = self.args.iter();
        let args = args.map(|arg| if arg == "PORT" { &self.port } else { arg });
        let args: Vec<&str> = args.map(String::as_str).collect();
        let mut process = Process::spawn(self.program, &args);
        let port = process.line("listening on ").await;
        self.port = port.unwrap_or_else(|| panic!("the server ended: {}", process.log()));
        self.process = Some(process);
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub(super) fn state(&self) -> PathBuf {
        self.state.path().to_owned()
    }

    /// What the server has written.
    pub(super) fn log(&self) -> String {
        let now = self.process.as_ref().map(Process::log);
        format!("{}{}", self.past, now.unwrap_or_default())
    }

    /// How many responses the server's log has that begin with this, such as `POST /token 200`.
    pub(super) fn responses(&self, begin: &str) -> usize {
        let log = self.log();
        log.lines().filter(|line| line.starts_with(begin)).count()
    }

    /// Asks the server for a refresh token.
    pub(super) async fn refresh_token(&self) -> everbearer::LongTermToken {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = client.post(self.url("/refresh-token"));
        let token = request.send().await.unwrap().text().await.unwrap();
        everbearer::LongTermToken::new(token).unwrap()
    }

    /// A client with a secret, at oidc-provider.
    pub(super) fn client(&self) -> OAuth2Builder {
        OAuth2::client_credentials(self.url("/token"), "billing service", CLIENT_SECRET)
            .revocation_url(self.url("/token/revocation"))
    }
}

fn public_key() -> String {
    use base64::Engine as _;
    use ring::signature::{Ed25519KeyPair, KeyPair as _};

    let pem: String = KEY.lines().filter(|line| !line.starts_with('-')).collect();
    let der = base64::prelude::BASE64_STANDARD.decode(pem).unwrap();
    let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).unwrap();
    let x = base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(pair.public_key());
    format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}","kid":"2026-11","use":"sig"}}"#)
}
