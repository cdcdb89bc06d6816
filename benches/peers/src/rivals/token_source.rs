//! token-source is traits only. What caches behind them here is gcloud-auth, which the docs of
//! reqwest-auth name; the header is made of it as reqwest-auth does.

use std::sync::Arc;

use gcloud_auth::credentials::CredentialsFile;
use gcloud_auth::project::Config;
use gcloud_auth::token::DefaultTokenSourceProvider;
use http::HeaderValue;
use serde_json::json;
use token_source::TokenSourceProvider as _;

use super::tls;
use crate::rival::{Refusal, Rival};
use crate::source::Source;

#[derive(Clone)]
pub(crate) struct TokenSource(pub(super) Arc<dyn token_source::TokenSource>);

impl Rival for TokenSource {
    const NAME: &'static str = "token-source";
    type Refused = Refusal;

    /// Has the first token before it returns: nobody ever finds it with nothing cached.
    async fn start(source: &Source) -> Self {
        tls::provide();
        let user = json!({
            "type": "authorized_user",
            "client_id": "peers",
            "client_secret": "secret",
            "refresh_token": "long-term",
            "token_uri": source.url().await,
        });
        let user = CredentialsFile::new_from_str(&user.to_string())
            .await
            .unwrap();
        let config = Config::default();
        let provider = DefaultTokenSourceProvider::new_with_credentials(config, Box::new(user))
            .await
            .unwrap();
        Self(provider.token_source())
    }

    async fn header(&self) -> Result<HeaderValue, Refusal> {
        // It has the word Bearer in it.
        Ok(HeaderValue::from_str(&self.0.token().await?)?)
    }
}
