//! `object_store`: its cache is private, and is reached through the credentials of a store. Of
//! those that exchange anything, Azure's client secret can be sent to an endpoint of ours.

use http::HeaderValue;
use object_store::azure::{AzureCredential, AzureCredentialProvider, MicrosoftAzureBuilder};

use super::tls;
use crate::rival::{Refusal, Rival};
use crate::source::Source;

#[derive(Clone)]
pub(crate) struct ObjectStore(AzureCredentialProvider);

impl Rival for ObjectStore {
    const NAME: &'static str = "object_store";
    type Refused = Refusal;

    async fn start(source: &Source) -> Self {
        tls::provide();
        let store = MicrosoftAzureBuilder::new()
            .with_account("peers")
            .with_container_name("peers")
            .with_client_secret_authorization("peers", "secret", "tenant")
            .with_authority_host(source.url().await)
            .with_allow_http(true)
            .build()
            .unwrap();
        Self(store.credentials().clone())
    }

    async fn header(&self) -> Result<HeaderValue, Refusal> {
        match &*self.0.get_credential().await? {
            AzureCredential::BearerToken(token) => {
                Ok(HeaderValue::try_from(format!("Bearer {token}"))?)
            }
            _ => Err("not a bearer token".into()),
        }
    }
}
