//! `gcp_auth`, with a service account whose token endpoint is the source's.

use std::sync::Arc;

use gcp_auth::{CustomServiceAccount, TokenProvider as _};
use http::HeaderValue;

use super::service_account::{SCOPES, service_account};
use crate::rival::{Refusal, Rival};
use crate::source::Source;

#[derive(Clone)]
pub(crate) struct GcpAuth(Arc<CustomServiceAccount>);

impl Rival for GcpAuth {
    const NAME: &'static str = "gcp_auth";
    type Refused = Refusal;

    async fn start(source: &Source) -> Self {
        let file = service_account(&source.url().await).to_string();
        Self(Arc::new(CustomServiceAccount::from_json(&file).unwrap()))
    }

    async fn header(&self) -> Result<HeaderValue, Refusal> {
        let token = self.0.token(SCOPES).await?;
        Ok(HeaderValue::try_from(format!("Bearer {}", token.as_str()))?)
    }
}
