//! The same as the shared header, with a look at the clock whether the token has ended.

use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use http::HeaderValue;

use crate::rival::Rival;
use crate::source::Source;

#[derive(Clone)]
pub(crate) struct SharedCloneChecked(Arc<ArcSwap<Current>>);

struct Current {
    header: HeaderValue,
    ends_at: Instant,
}

impl Rival for SharedCloneChecked {
    const NAME: &'static str = "arc-swap, clone, clock";
    type Refused = &'static str;

    async fn start(source: &Source) -> Self {
        let minted = source.mint().await;
        let header = HeaderValue::try_from(format!("Bearer {}", minted.token)).unwrap();
        let ends_at = Instant::now() + minted.life;
        let current = Current { header, ends_at };
        Self(Arc::new(ArcSwap::from_pointee(current)))
    }

    async fn header(&self) -> Result<HeaderValue, Self::Refused> {
        let current = self.0.load();
        if Instant::now() >= current.ends_at {
            return Err("the token has ended");
        }
        Ok(current.header.clone())
    }
}
