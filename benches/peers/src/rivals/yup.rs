//! yup-oauth2, with a service account whose token endpoint is the source's.

use http::HeaderValue;
use yup_oauth2::ServiceAccountAuthenticator;
use yup_oauth2::authenticator::DefaultAuthenticator;

use super::service_account::{SCOPES, service_account};
use crate::rival::{Refusal, Rival};
use crate::source::Source;

#[derive(Clone)]
pub(crate) struct Yup(DefaultAuthenticator);

impl Rival for Yup {
    const NAME: &'static str = "yup-oauth2";
    type Refused = Refusal;

    async fn start(source: &Source) -> Self {
        let account = service_account(&source.url().await);
        let account = serde_json::from_value(account).unwrap();
        let started = ServiceAccountAuthenticator::builder(account).build().await;
        Self(started.unwrap())
    }

    async fn header(&self) -> Result<HeaderValue, Refusal> {
        let token = self.0.token(SCOPES).await?;
        let token = token.token().ok_or("no token")?;
        Ok(HeaderValue::try_from(format!("Bearer {token}"))?)
    }
}
