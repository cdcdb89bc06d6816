//! Glewlwyd, with its database in SQLite.

use std::net::{Ipv4Addr, TcpListener};
use std::process::Command;

use everbearer::{
    ClientAuth, ErrorKind, LongTermToken, OAuth2, RevocationOutcome, ShutdownPolicy, TokenKind,
    TokenProvider,
};
use reqwest::Client;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::process::{Process, installed};
use super::{INTERVAL, PATIENCE, report};

const CLIENT_ID: &str = "billing";
const SECRET: &str = "correct-horse-9";

struct Glewlwyd {
    process: Process,
    url: String,
    client: Client,
    _dir: TempDir,
}

impl Glewlwyd {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let database = dir.path().join("db");
        let script = "import gzip, sqlite3, sys; \
            sqlite3.connect(sys.argv[1]).executescript(gzip.open(sys.argv[2], 'rt').read())";
        let made = Command::new(installed().join("bin/python"))
            .args(["-c", script])
            .arg(&database)
            .arg("/usr/share/doc/glewlwyd/database/init.sqlite3.sql.gz")
            .status();
        assert!(made.unwrap().success());
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let url = format!("http://127.0.0.1:{port}");
        let configuration = dir.path().join("glewlwyd.conf");
        let settings = format!(
            r#"
            port={port}
            bind_address="127.0.0.1"
            external_url="{url}/"
            api_prefix="api"
            log_mode="console"
            log_level="INFO"
            cookie_secure=0
            session_key="SESSION"
            admin_scope="g_admin"
            profile_scope="g_profile"
            user_module_path="/usr/lib/glewlwyd/user"
            client_module_path="/usr/lib/glewlwyd/client"
            user_auth_scheme_module_path="/usr/lib/glewlwyd/scheme"
            plugin_module_path="/usr/lib/glewlwyd/plugin"
            use_secure_connection=false
            secure_connection_key_file="/nowhere"
            secure_connection_pem_file="/nowhere"
            secure_connection_ca_file="/nowhere"
            hash_algorithm="SHA512"
            database = {{ type="sqlite3" path="{}" }}
            "#,
            database.display()
        );
        std::fs::write(&configuration, settings).unwrap();
        let argument = format!("--config-file={}", configuration.display());
        let process = Process::spawn("glewlwyd", &[&argument]);
        let server = Self {
            process,
            url,
            client: Client::builder().no_proxy().build().unwrap(),
            _dir: dir,
        };
        server.set_up().await;
        server
    }

    /// Logs in as the administrator, and adds a plugin for OAuth, a scope and a client.
    async fn set_up(&self) {
        let login = json!({"username": "admin", "password": "password"});
        let session = async {
            loop {
                let request = self.client.post(format!("{}/api/auth/", self.url));
                if let Ok(response) = request.json(&login).send().await {
                    return response;
                }
                tokio::time::sleep(INTERVAL).await;
            }
        };
        let response = tokio::time::timeout(PATIENCE, session).await;
        let response = response.unwrap_or_else(|_| panic!("{}", self.process.log()));
        let cookie = response.headers()["set-cookie"].to_str().unwrap();
        let (cookie, _) = cookie.split_once(';').unwrap();
        for (path, body) in [
            (
                "mod/plugin",
                json!({"module": "oauth2-glewlwyd", "name": "oauth", "display_name": "OAuth", "parameters": {
                    "jwt-type": "sha", "jwt-key-size": "256", "key": "a-key-for-tests-of-32-bytes-or-more",
                    "access-token-duration": 3600, "refresh-token-duration": 86400, "code-duration": 600,
                    "refresh-token-rolling": false, "auth-type-code-enabled": false,
                    "auth-type-implicit-enabled": false, "auth-type-password-enabled": true,
                    "auth-type-client-enabled": true, "auth-type-refresh-enabled": true,
                    "introspection-revocation-allowed": true,
                    "introspection-revocation-allow-target-client": true,
                }}),
            ),
            (
                "scope",
                json!({"name": "jobs", "display_name": "jobs", "description": "jobs", "password_required": true,
                    "password_max_age": 0, "scheme": {}}),
            ),
            (
                "client",
                json!({"client_id": CLIENT_ID, "name": "billing", "confidential": true, "password": SECRET,
                    "enabled": true, "scope": ["jobs"], "redirect_uri": ["https://app.example.com/"],
                    "authorization_type": ["client_credentials", "password", "refresh_token"]}),
            ),
        ] {
            let request = self.client.post(format!("{}/api/{path}/", self.url));
            let request = request.header("cookie", cookie).json(&body);
            let status = request.send().await.unwrap().status();
            assert!(
                status.is_success(),
                "{path} {status} {}",
                self.process.log()
            );
        }
    }

    fn endpoint(&self, name: &str) -> String {
        format!("{}/api/oauth/{name}", self.url)
    }

    async fn post(&self, endpoint: &str, form: &str) -> Value {
        let request = self.client.post(self.endpoint(endpoint));
        let request = request
            .basic_auth(CLIENT_ID, Some(SECRET))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form.to_owned());
        request.send().await.unwrap().json().await.unwrap()
    }

    async fn is_active(&self, token: &str) -> bool {
        self.post("introspect", &format!("token={token}")).await["active"] == true
    }

    /// How many lines of the log contain this.
    fn logged(&self, what: &str) -> usize {
        let log = self.process.log();
        log.lines().filter(|line| line.contains(what)).count()
    }
}

/// It calls the type of its tokens `bearer`.
#[tokio::test]
async fn client_credentials_are_obtained_and_revoked() {
    let server = Glewlwyd::start().await;
    let provider = OAuth2::client_credentials(server.endpoint("token"), CLIENT_ID, SECRET)
        .revocation_url(server.endpoint("revoke"))
        .provider()
        .unwrap()
        .scopes(["jobs"])
        .build()
        .unwrap();
    let tokens = [
        provider.token().await.unwrap(),
        provider.refresh().await.unwrap(),
    ];
    for token in &tokens {
        assert!(server.is_active(token.expose()).await);
    }
    let revoked = provider.shutdown().await;
    assert!(revoked.all_revoked(), "{revoked}");
    for token in &tokens {
        assert!(!server.is_active(token.expose()).await);
    }
    let issued = server.logged("with scope list 'jobs'");
    report(
        "Glewlwyd",
        "client credentials, revocation",
        &[
            ("exchanges", 2, issued),
            ("revocations", 2, server.logged("revoked")),
        ],
    );
}

/// Its answer is a 403 with an empty body, as of a gateway.
#[tokio::test]
async fn a_wrong_secret_is_a_403_with_an_empty_body() {
    let server = Glewlwyd::start().await;
    let builder = OAuth2::client_credentials(server.endpoint("token"), CLIENT_ID, "wrong");
    let provider = builder.provider().unwrap().scopes(["jobs"]);
    let provider = provider.build().unwrap();
    let error = provider.token().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol);
    assert_eq!(error.status(), Some(403));
    assert!(error.to_string().contains("an empty body"), "{error}");
}

#[tokio::test]
async fn a_refresh_token_that_is_not_replaced_is_used_again() {
    const REFRESHES: usize = 10;
    let server = Glewlwyd::start().await;
    let form = "grant_type=password&username=admin&password=password&scope=g_profile";
    let answer = server.post("token", form).await;
    let first = LongTermToken::new(answer["refresh_token"].as_str().unwrap()).unwrap();
    let client = ClientAuth::basic(CLIENT_ID, SECRET);
    let issuer = OAuth2::refresh_token(server.endpoint("token"), client)
        .revocation_url(server.endpoint("revoke"))
        .rotates_refresh_tokens(false)
        .build()
        .unwrap();
    let provider = TokenProvider::builder(issuer, first)
        .shutdown_policy(ShutdownPolicy::default().revoke_long_term(true))
        .build()
        .unwrap();
    provider.ready().await.unwrap();
    for _ in 1..REFRESHES {
        provider.refresh().await.unwrap();
    }
    let shutdown = provider.shutdown().await;
    assert!(shutdown.all_revoked(), "{shutdown}");
    let of_kind = |kind| {
        let is_revoked =
            |outcome: &RevocationOutcome| matches!(outcome, RevocationOutcome::Revoked);
        let tokens = shutdown.tokens.iter();
        tokens
            .filter(|it| it.kind == kind && is_revoked(&it.outcome))
            .count()
    };
    assert_eq!(of_kind(TokenKind::LongTerm), 1);
    // The first one was issued for the password.
    let logged =
        server.logged("Access token generated for client 'billing' granted by user 'admin'");
    report(
        "Glewlwyd",
        "a refresh token that is not replaced",
        &[
            ("exchanges", REFRESHES, logged - 1),
            (
                "access tokens revoked",
                of_kind(TokenKind::ShortTerm),
                server.logged("Access token generated for client 'billing' revoked"),
            ),
        ],
    );
}
