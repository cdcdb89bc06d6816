//! What people write themselves: the token and its end under a lock, and a second look after the
//! write lock was got.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderValue;
use tokio::sync::RwLock;

use crate::rival::{Refusal, Rival};
use crate::source::Source;

/// How long before the end it renews, unless the life is short.
const LEAD: Duration = Duration::from_secs(30);

#[derive(Clone)]
pub(crate) struct ByHand(Arc<Inner>);

struct Inner {
    source: Source,
    current: RwLock<Option<Current>>,
}

struct Current {
    token: String,
    renew_at: Instant,
}

impl Rival for ByHand {
    const NAME: &'static str = "RwLock + format!";
    type Refused = Refusal;

    async fn start(source: &Source) -> Self {
        Self(Arc::new(Inner {
            source: source.clone(),
            current: RwLock::new(None),
        }))
    }

    async fn header(&self) -> Result<HeaderValue, Refusal> {
        if let Some(current) = &*self.0.current.read().await
            && Instant::now() < current.renew_at
        {
            return Ok(bearer(&current.token)?);
        }
        let mut slot = self.0.current.write().await;
        if let Some(current) = &*slot
            && Instant::now() < current.renew_at
        {
            return Ok(bearer(&current.token)?);
        }
        let minted = self.0.source.mint().await;
        let lead = LEAD.min(minted.life / 5);
        let header = bearer(&minted.token)?;
        *slot = Some(Current {
            token: minted.token,
            renew_at: Instant::now() + minted.life - lead,
        });
        Ok(header)
    }
}

fn bearer(token: &str) -> Result<HeaderValue, http::header::InvalidHeaderValue> {
    HeaderValue::try_from(format!("Bearer {token}"))
}
