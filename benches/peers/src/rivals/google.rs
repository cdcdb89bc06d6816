//! google-cloud-auth, with a user's credentials whose token endpoint is the source's. It makes the
//! header itself.

use google_cloud_auth::credentials::{CacheableResource, Credentials, user_account};
use http::header::AUTHORIZATION;
use http::{Extensions, HeaderValue};
use serde_json::json;

use super::tls;
use crate::rival::{Refusal, Rival};
use crate::source::Source;

#[derive(Clone)]
pub(crate) struct Google(Credentials);

impl Rival for Google {
    const NAME: &'static str = "google-cloud-auth";
    type Refused = Refusal;

    /// Begins its first exchange at once, in the background.
    async fn start(source: &Source) -> Self {
        tls::provide();
        let user = json!({
            "type": "authorized_user",
            "client_id": "peers",
            "client_secret": "secret",
            "refresh_token": "long-term",
        });
        let credentials = user_account::Builder::new(user)
            .with_token_uri(source.url().await)
            .build()
            .unwrap();
        Self(credentials)
    }

    async fn header(&self) -> Result<HeaderValue, Refusal> {
        let headers = self.0.headers(Extensions::new()).await?;
        let CacheableResource::New { mut data, .. } = headers else {
            return Err("not modified, though no tag was given".into());
        };
        Ok(data.remove(AUTHORIZATION).ok_or("no header")?)
    }
}
