//! OpenBao in dev mode, on a loopback port: an AppRole whose members may have two kinds of signed JWTs.

use std::net::{Ipv4Addr, TcpListener};

use reqwest::{Client, Method};
use serde_json::{Value, json};

use super::process::Process;

/// How often OpenBao is started: another process may take the port first.
const ATTEMPTS: usize = 5;
const ROOT_TOKEN: &str = "root";
/// The ID of the AppRole.
pub(super) const ROLE_ID: &str = "billing";
/// The roles that sign JWTs. The lifetime of a JWT is an hour, and 4 seconds.
pub(super) const ROLE: &str = "jobs";
pub(super) const SHORT_ROLE: &str = "jobs-short";

pub(super) struct OpenBao {
    process: Process,
    port: u16,
    unseal_key: String,
    client: Client,
}

impl OpenBao {
    /// Starts a server with the AppRole, and returns when it answers.
    pub(super) async fn start() -> Self {
        for _ in 0..ATTEMPTS {
            let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let port = free.local_addr().unwrap().port();
            drop(free);
            let mut process = Process::spawn(
                "bao",
                &[
                    "server",
                    "-dev",
                    "-dev-no-store-token",
                    &format!("-dev-root-token-id={ROOT_TOKEN}"),
                    &format!("-dev-listen-address=127.0.0.1:{port}"),
                ],
            );
            // OpenBao prints the key when it listens.
            if let Some(unseal_key) = process.line("Unseal Key: ").await {
                let client = Client::builder().no_proxy().build().unwrap();
                let server = Self {
                    process,
                    port,
                    unseal_key,
                    client,
                };
                server.set_up().await;
                return server;
            }
            let log = process.log();
            assert!(log.contains("address already in use"), "{log}");
        }
        panic!("OpenBao found {ATTEMPTS} ports in use");
    }

    async fn set_up(&self) {
        let policy = r#"path "identity/oidc/token/*" { capabilities = ["read"] }"#;
        for (path, body) in [
            ("sys/auth/approle", json!({ "type": "approle" })),
            ("sys/policies/acl/jobs", json!({ "policy": policy })),
            (
                "auth/approle/role/billing",
                json!({ "token_policies": "jobs", "token_ttl": "2h" }),
            ),
            (
                "auth/approle/role/billing/role-id",
                json!({ "role_id": ROLE_ID }),
            ),
            (
                "identity/oidc/key/jobs",
                json!({ "allowed_client_ids": "*" }),
            ),
            (
                &format!("identity/oidc/role/{ROLE}"),
                json!({ "key": "jobs", "ttl": "1h" }),
            ),
            (
                &format!("identity/oidc/role/{SHORT_ROLE}"),
                json!({ "key": "jobs", "ttl": "4s" }),
            ),
        ] {
            self.admin(Method::POST, path, Some(body)).await.unwrap();
        }
    }

    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Returns a new secret ID of the AppRole.
    pub(super) async fn secret_id(&self) -> String {
        let path = "auth/approle/role/billing/secret-id";
        let answer = self.admin(Method::POST, path, None).await.unwrap();
        answer["data"]["secret_id"].as_str().unwrap().to_owned()
    }

    /// Returns whether the token with this accessor exists.
    pub(super) async fn is_live(&self, accessor: &str) -> bool {
        let path = "auth/token/accessors?list=true";
        let answer = self.admin(Method::GET, path, None).await.unwrap();
        let accessors = answer["data"]["keys"].as_array().unwrap();
        accessors.iter().any(|live| live == accessor)
    }

    /// Returns how many tokens exist, that of the administrator included.
    pub(super) async fn live_tokens(&self) -> usize {
        let path = "auth/token/accessors?list=true";
        let answer = self.admin(Method::GET, path, None).await.unwrap();
        answer["data"]["keys"].as_array().unwrap().len()
    }

    /// Revokes the token with this accessor, as an administrator does.
    pub(super) async fn revoke(&self, accessor: &str) {
        let body = json!({ "accessor": accessor });
        let path = "auth/token/revoke-accessor";
        self.admin(Method::POST, path, Some(body)).await.unwrap();
    }

    /// Returns whether OpenBao signed this JWT, and it has not expired.
    pub(super) async fn is_active(&self, jwt: &str) -> bool {
        let body = json!({ "token": jwt });
        let path = "identity/oidc/introspect";
        let answer = self.admin(Method::POST, path, Some(body)).await.unwrap();
        answer["active"] == true
    }

    pub(super) async fn seal(&self) {
        self.admin(Method::PUT, "sys/seal", None).await.unwrap();
    }

    pub(super) async fn unseal(&self) {
        let body = json!({ "key": self.unseal_key });
        let answer = self.admin(Method::PUT, "sys/unseal", Some(body)).await;
        assert_eq!(answer.unwrap()["sealed"], false);
    }

    /// Calls the API with the root token. The error is an answer that is not a success, and the log.
    pub(super) async fn admin(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Value, String> {
        let url = format!("{}/v1/{path}", self.url());
        let request = self.client.request(method, url);
        let request = request
            .header("x-vault-token", ROOT_TOKEN)
            .body(body.map(|body| body.to_string()).unwrap_or_default());
        let response = request.send().await.unwrap();
        let is_success = response.status().is_success();
        let body = response.text().await.unwrap();
        if !is_success {
            return Err(format!("{body}\n{}", self.process.log()));
        }
        // A 204 has no body.
        Ok(serde_json::from_str(&body).unwrap_or_default())
    }
}
