//! The least that anything can cost: a header that never changes.

use http::HeaderValue;

use crate::rival::Rival;
use crate::source::Source;

#[derive(Clone)]
pub(crate) struct StaticHeader(HeaderValue);

impl Rival for StaticHeader {
    const NAME: &'static str = "static header";
    type Refused = std::convert::Infallible;

    async fn start(source: &Source) -> Self {
        let minted = source.mint().await;
        let header = format!("Bearer {}", minted.token).leak();
        Self(HeaderValue::from_static(header))
    }

    async fn header(&self) -> Result<HeaderValue, Self::Refused> {
        Ok(self.0.clone())
    }
}
