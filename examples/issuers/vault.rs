//! Tokens that Vault or `OpenBao` signs, after a login by `AppRole`: an issuer of your own in less than 40 lines. The
//! client token of the login is the long-term token, and the short-term tokens are JWTs.
//!
//! ```sh
//! VAULT_ADDR=http://127.0.0.1:8200 cargo run --example vault -- ROLE-ID SECRET-ID OIDC-ROLE
//! ```

#![allow(
    clippy::indexing_slicing,
    reason = "`Value` has `Null` where nothing is"
)]

use std::time::Duration;

use everbearer::{
    Error, ErrorKind, ExchangeResponse, Grant, LongTermToken, Proof, Revoked, ShortTermToken,
    ShutdownPolicy, TokenIssuer, TokenProvider, TokenRef, async_trait,
};
use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};

struct Vault {
    client: Client,
    url: String,
    role: String,
}

#[async_trait]
impl TokenIssuer for Vault {
    async fn obtain(
        &self,
        grant: &Grant,
        _: Option<&ShortTermToken>,
    ) -> Result<LongTermToken, Error> {
        let Proof::ClientSecret(secret) = grant.proof(&self.url).await? else {
            return Err(Error::new(
                ErrorKind::Config,
                "log in with Grant::client_secret",
            ));
        };
        let login = json!({ "role_id": grant.client_id(), "secret_id": secret.expose() });
        let url = format!("{}/v1/auth/approle/login", self.url);
        let auth = send(self.client.post(url).json(&login)).await?["auth"].take();
        LongTermToken::builder(auth["client_token"].as_str().unwrap_or_default())
            .token_id(auth["accessor"].as_str().unwrap_or_default())
            .expires_in(Duration::from_secs(
                auth["lease_duration"].as_u64().unwrap_or_default(),
            ))
            .build()
    }

    async fn exchange(
        &self,
        long_term: Option<&LongTermToken>,
        _: &[String],
    ) -> Result<ExchangeResponse, Error> {
        let client_token = long_term.map_or("", LongTermToken::expose);
        let request = self
            .client
            .get(format!("{}/v1/identity/oidc/token/{}", self.url, self.role));
        let data = send(request.header("x-vault-token", client_token)).await?["data"].take();
        let token = ShortTermToken::builder(data["token"].as_str().unwrap_or_default());
        let life = Duration::from_secs(data["ttl"].as_u64().unwrap_or_default());
        Ok(ExchangeResponse::from(token.expires_in(life).build()?))
    }

    async fn revoke(&self, token: TokenRef<'_>, _: Option<TokenRef<'_>>) -> Result<Revoked, Error> {
        if matches!(token, TokenRef::ShortTerm(_)) {
            return Ok(Revoked::Unsupported);
        }
        let request = self
            .client
            .post(format!("{}/v1/auth/token/revoke-self", self.url));
        send(request.header("x-vault-token", token.expose()))
            .await
            .map(|_| Revoked::Gone)
    }
}

async fn send(request: RequestBuilder) -> Result<Value, Error> {
    let response = request
        .send()
        .await
        .map_err(|error| Error::transient(error.without_url()))?;
    let status = response.status();
    if !status.is_success() {
        // Vault states no error code. A wrong secret ID is a 400.
        let code = matches!(status.as_u16(), 400 | 403).then_some("invalid_grant");
        return Err(Error::from_status(
            status.as_u16(),
            code,
            format!("Vault answers {status}"),
        ));
    }
    // A 204 has no body.
    let body = response.bytes().await.map_err(Error::transient)?;
    Ok(serde_json::from_slice(&body).unwrap_or_default())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [role_id, secret_id, role] = args.as_slice() else {
        return Err("usage: vault ROLE-ID SECRET-ID OIDC-ROLE".into());
    };
    let url = std::env::var("VAULT_ADDR").unwrap_or_else(|_| "http://127.0.0.1:8200".to_owned());
    let issuer = Vault {
        client: Client::new(),
        url,
        role: role.clone(),
    };
    let grant = Grant::client_secret(role_id, secret_id.as_str());
    let provider = TokenProvider::builder(issuer, grant)
        .shutdown_policy(ShutdownPolicy::default().revoke_long_term(true))
        .build()?;
    println!(
        "obtained a JWT of the role {role}: {:?}",
        provider.token().await?
    );
    println!("{}", provider.shutdown().await);
    Ok(())
}
