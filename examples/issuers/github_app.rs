//! Tokens of a GitHub App's installation: an issuer of your own in less than 40 lines.
//!
//! ```sh
//! cargo run --features assertion --example github_app -- APP-ID INSTALLATION-ID key.pem
//! ```

#![allow(
    clippy::indexing_slicing,
    reason = "`Value` has `Null` where nothing is"
)]

use std::time::{Duration, SystemTime};

use everbearer::{
    Assertion, Credential, Error, ErrorKind, ExchangeResponse, IssuerProfile, LongTermToken, Needs,
    Revoked, ShortTermToken, SigningKey, TokenIssuer, TokenProvider, TokenRef, async_trait,
};
use reqwest::{Client, RequestBuilder, Response};

struct GitHubApp {
    client: Client,
    url: String,
    installation: String,
    assertion: Assertion,
}

#[async_trait]
impl TokenIssuer for GitHubApp {
    async fn exchange(
        &self,
        _: Option<&LongTermToken>,
        _: &[String],
    ) -> Result<ExchangeResponse, Error> {
        let jwt = self.assertion.sign(&self.url).await?;
        let url = format!(
            "{}/app/installations/{}/access_tokens",
            self.url, self.installation
        );
        let response = send(self.client.post(url).bearer_auth(jwt.expose())).await?;
        let text = response.bytes().await.map_err(Error::transient)?;
        let invalid = || Error::new(ErrorKind::Protocol, "GitHub's response has no token");
        let body: serde_json::Value = serde_json::from_slice(&text).map_err(|_| invalid())?;
        let token = body["token"].as_str().ok_or_else(invalid)?;
        let end: jiff::Timestamp = body["expires_at"]
            .as_str()
            .and_then(|it| it.parse().ok())
            .ok_or_else(invalid)?;
        let token = ShortTermToken::builder(token)
            .expires_at(SystemTime::try_from(end).map_err(|_| invalid())?)
            .build()?;
        Ok(ExchangeResponse::from(token))
    }

    async fn revoke(&self, token: TokenRef<'_>, _: Option<TokenRef<'_>>) -> Result<Revoked, Error> {
        let request = self
            .client
            .delete(format!("{}/installation/token", self.url));
        send(request.bearer_auth(token.expose()))
            .await
            .map(|_| Revoked::Gone)
    }

    fn profile(&self) -> IssuerProfile {
        IssuerProfile::new("GitHub App").needs(Needs::Nothing)
    }
}

async fn send(request: RequestBuilder) -> Result<Response, Error> {
    let request = request
        .header("user-agent", "everbearer")
        .header("accept", "application/vnd.github+json");
    let response = request
        .send()
        .await
        .map_err(|error| Error::transient(error.without_url()))?;
    let status = response.status();
    // GitHub states no error code.
    let code = status.is_client_error().then_some("refused");
    let failed = || Error::from_status(status.as_u16(), code, format!("GitHub answers {status}"));
    status.is_success().then_some(response).ok_or_else(failed)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [app, installation, key] = args.as_slice() else {
        return Err("usage: github_app APP-ID INSTALLATION-ID KEY.pem".into());
    };
    let url =
        std::env::var("GITHUB_API_URL").unwrap_or_else(|_| "https://api.github.com".to_owned());
    let assertion = Assertion::new(app, SigningKey::from_pem_file(key)?)
        .backdate(Duration::from_secs(60))
        .lifetime(Duration::from_secs(600));
    let issuer = GitHubApp {
        client: Client::new(),
        url: url.clone(),
        installation: installation.clone(),
        assertion,
    };
    let provider = TokenProvider::builder(issuer, Credential::None)
        .origins([url.as_str()])
        .build()?;
    let token = provider.token().await?;
    println!("obtained a token of the installation {installation}: {token:?}");
    println!("{}", provider.shutdown().await);
    Ok(())
}
