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
    Assertion, Credential, Error, ExchangeResponse, IssuerProfile, LongTermToken, Needs, Revoked,
    Secret, ShortTermToken, SigningKey, TokenIssuer, TokenProvider, TokenRef, async_trait,
};
use reqwest::Client;
use serde::Deserialize;

struct GitHubApp {
    client: Client,
    /// Where tokens are issued, and where a token is deleted.
    urls: [String; 2],
    assertion: Assertion,
}

#[derive(Deserialize)]
struct Issued {
    token: Secret,
    expires_at: jiff::Timestamp,
}

#[async_trait]
impl TokenIssuer for GitHubApp {
    async fn exchange(
        &self,
        _: Option<&LongTermToken>,
        _: &[String],
    ) -> Result<ExchangeResponse, Error> {
        let jwt = self.assertion.sign("github").await?;
        let request = self.client.post(&self.urls[0]).bearer_auth(jwt.expose());
        let issued: Issued = request.send().await?.error_for_status()?.json().await?;
        let end = SystemTime::try_from(issued.expires_at).map_err(Error::transient)?;
        let token = ShortTermToken::builder(issued.token.expose()).expires_at(end);
        Ok(ExchangeResponse::from(token.build()?))
    }

    async fn revoke(&self, token: TokenRef<'_>, _: Option<TokenRef<'_>>) -> Result<Revoked, Error> {
        let request = self.client.delete(&self.urls[1]);
        let request = request.bearer_auth(token.expose());
        request.send().await?.error_for_status()?;
        Ok(Revoked::Gone)
    }

    fn profile(&self) -> IssuerProfile {
        IssuerProfile::new("GitHub App").needs(Needs::Nothing)
    }
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
        client: Client::builder().user_agent("everbearer").build()?,
        urls: [
            format!("{url}/app/installations/{installation}/access_tokens"),
            format!("{url}/installation/token"),
        ],
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
