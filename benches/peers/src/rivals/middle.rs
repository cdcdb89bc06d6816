//! `middle`, whose token endpoint is the source's: a task renews the header in the background.

use std::time::Duration;

use http::HeaderValue;
use middle::{Authorizer as _, BasicClientCredentialAuthorizer};

use super::tls;
use crate::rival::{Refusal, Rival};
use crate::source::Source;

/// How long before the end it renews, by default.
const TOLERANCE: Duration = Duration::from_secs(30);

#[derive(Clone)]
pub(crate) struct Middle(BasicClientCredentialAuthorizer);

impl Rival for Middle {
    const NAME: &'static str = "middle";
    type Refused = Refusal;

    /// Has the first token before it returns: nobody ever finds it with nothing cached.
    async fn start(source: &Source) -> Self {
        tls::provide();
        let url = source.url().await.parse().unwrap();
        let started = BasicClientCredentialAuthorizer::basic_builder("peers", "secret", url)
            .refresh_tolerance(TOLERANCE.min(source.life() / 4))
            .build()
            .await;
        Self(started.unwrap())
    }

    async fn header(&self) -> Result<HeaderValue, Refusal> {
        Ok(HeaderValue::clone(&*self.0.authorization_header()?))
    }
}
