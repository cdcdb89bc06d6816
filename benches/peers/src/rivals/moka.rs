//! moka's cache of one entry, with the header in it, that ends after four fifths of a token's life.

use std::convert::Infallible;

use http::HeaderValue;
use moka::future::Cache;

use crate::rival::{Refusal, Rival};
use crate::source::Source;

#[derive(Clone)]
pub(crate) struct Moka {
    source: Source,
    cache: Cache<(), HeaderValue>,
}

impl Rival for Moka {
    const NAME: &'static str = "moka";
    type Refused = Refusal;

    async fn start(source: &Source) -> Self {
        let cache = Cache::builder()
            .max_capacity(1)
            .time_to_live(source.life() * 4 / 5)
            .build();
        let source = source.clone();
        Self { source, cache }
    }

    async fn header(&self) -> Result<HeaderValue, Refusal> {
        let exchange = async {
            let minted = self.source.mint().await;
            let header = HeaderValue::try_from(format!("Bearer {}", minted.token)).unwrap();
            Ok::<_, Infallible>(header)
        };
        Ok(self.cache.try_get_with((), exchange).await?)
    }
}
