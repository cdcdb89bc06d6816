//! Tokens that Vault or `OpenBao` signs, after a login by `AppRole`: an issuer of your own in less than 40 lines. Each
//! exchange logs in, gets a JWT, and revokes the client token of the login (`revoke-self`).
//!
//! ```sh
//! VAULT_ADDR=http://127.0.0.1:8200 cargo run --example vault -- ROLE-ID SECRET-ID OIDC-ROLE
//! ```

#![allow(
    clippy::indexing_slicing,
    reason = "`Value` has `Null` where nothing is"
)]

use everbearer::{
    Credential, Error, ExchangeResponse, IssuerProfile, LongTermToken, Needs, Revoked,
    SecretSource, ShortTermToken, TokenIssuer, TokenProvider, TokenRef, async_trait,
};
use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};

struct Vault {
    client: Client,
    urls: [String; 3], // to log in, to get a JWT, and to revoke the client token
    role_id: String,
    secret_id: SecretSource,
}

#[async_trait]
impl TokenIssuer for Vault {
    async fn exchange(
        &self,
        _: Option<&LongTermToken>,
        _: &[String],
    ) -> Result<ExchangeResponse, Error> {
        let (client, [login_url, jwt_url, revoke_url]) = (&self.client, &self.urls);
        let secret_id = self.secret_id.read().await?;
        let body = json!({ "role_id": self.role_id, "secret_id": secret_id.expose() });
        let login = call(client.post(login_url).json(&body)).await?;
        let own = login["auth"]["client_token"].as_str().unwrap_or_default();
        let signed = call(client.get(jwt_url).header("x-vault-token", own)).await;
        call(client.post(revoke_url).header("x-vault-token", own)).await?;
        let jwt = signed?["data"]["token"].take();
        let token = ShortTermToken::builder(jwt.as_str().unwrap_or_default());
        Ok(ExchangeResponse::from(token.build()?))
    }

    async fn revoke(&self, _: TokenRef<'_>, _: Option<TokenRef<'_>>) -> Result<Revoked, Error> {
        Ok(Revoked::Unsupported) // a JWT is valid until its `exp`
    }

    fn profile(&self) -> IssuerProfile {
        let profile = IssuerProfile::new("Vault").needs(Needs::Nothing);
        profile.secret(self.secret_id.clone())
    }
}

async fn call(request: RequestBuilder) -> Result<Value, Error> {
    let body = request.send().await?.error_for_status()?.bytes().await?;
    Ok(serde_json::from_slice(&body).unwrap_or_default()) // a 204 has no body
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [role_id, secret_id, role] = args.as_slice() else {
        return Err("usage: vault ROLE-ID SECRET-ID OIDC-ROLE".into());
    };
    let address =
        std::env::var("VAULT_ADDR").unwrap_or_else(|_| "http://127.0.0.1:8200".to_owned());
    let sign = format!("identity/oidc/token/{role}");
    let paths = [
        "auth/approle/login",
        sign.as_str(),
        "auth/token/revoke-self",
    ];
    let issuer = Vault {
        client: Client::new(),
        urls: paths.map(|path| format!("{address}/v1/{path}")),
        role_id: role_id.clone(),
        secret_id: SecretSource::from(secret_id.as_str()),
    };
    let provider = TokenProvider::builder(issuer, Credential::None).build()?;
    println!(
        "obtained a JWT of the role {role}: {:?}",
        provider.token().await?
    );
    println!("{}", provider.shutdown().await);
    Ok(())
}
