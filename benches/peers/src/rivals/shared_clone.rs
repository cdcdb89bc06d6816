//! A shared header that somebody else would replace: the price of `arc-swap` and of a counted
//! reference, and of nothing more.

use std::sync::Arc;

use arc_swap::ArcSwap;
use http::HeaderValue;

use crate::rival::Rival;
use crate::source::Source;

#[derive(Clone)]
pub(crate) struct SharedClone(Arc<ArcSwap<HeaderValue>>);

impl Rival for SharedClone {
    const NAME: &'static str = "arc-swap, clone";
    type Refused = std::convert::Infallible;

    async fn start(source: &Source) -> Self {
        let minted = source.mint().await;
        let header = HeaderValue::try_from(format!("Bearer {}", minted.token)).unwrap();
        Self(Arc::new(ArcSwap::from_pointee(header)))
    }

    async fn header(&self) -> Result<HeaderValue, Self::Refused> {
        Ok(HeaderValue::clone(&self.0.load()))
    }
}
