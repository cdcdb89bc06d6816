//! `aliri_tokens`: a task renews the token in the background, and callers borrow the last one.

use std::convert::Infallible;
use std::time::Duration;

use aliri_clock::DurationSecs;
use aliri_tokens::backoff::ErrorBackoffConfig;
use aliri_tokens::jitter::{NullJitter, RandomEarlyJitter};
use aliri_tokens::sources::AsyncTokenSource;
use aliri_tokens::{AccessToken, IdToken, TokenLifetimeConfig, TokenWatcher, TokenWithLifetime};
use async_trait::async_trait;
use http::HeaderValue;

use crate::rival::{Refusal, Rival};
use crate::source::Source;

/// The jitter of its docs, and under this life more than what the token can spare.
const JITTER: DurationSecs = DurationSecs(60);
const SHORT: Duration = Duration::from_mins(5);

#[derive(Clone)]
pub(crate) struct Aliri(TokenWatcher);

impl Rival for Aliri {
    const NAME: &'static str = "aliri_tokens";
    type Refused = Refusal;

    /// Has the first token before there is a watcher: nobody ever finds it with nothing cached.
    async fn start(source: &Source) -> Self {
        let source = source.clone();
        let backoff = ErrorBackoffConfig::default();
        let started = if source.life() < SHORT {
            // What its default calls the least time to be stale is the least to be fresh: tokens
            // of under 40 seconds would be renewed after they end.
            let lifetime = TokenLifetimeConfig::new(0.75, DurationSecs(0));
            let minter = Minter { source, lifetime };
            TokenWatcher::spawn_from_token_source(minter, NullJitter, backoff).await
        } else {
            let lifetime = TokenLifetimeConfig::default();
            let minter = Minter { source, lifetime };
            let jitter = RandomEarlyJitter::new(JITTER);
            TokenWatcher::spawn_from_token_source(minter, jitter, backoff).await
        };
        Self(started.unwrap())
    }

    async fn header(&self) -> Result<HeaderValue, Refusal> {
        let token = self.0.token();
        // Its Display hides the token.
        let header = format!("Bearer {}", token.access_token().as_str());
        Ok(HeaderValue::try_from(header)?)
    }
}

struct Minter {
    source: Source,
    lifetime: TokenLifetimeConfig,
}

#[async_trait]
impl AsyncTokenSource for Minter {
    type Error = Infallible;

    async fn request_token(&mut self) -> Result<TokenWithLifetime, Infallible> {
        let minted = self.source.mint().await;
        let token = AccessToken::from(minted.token);
        let life = DurationSecs::from(minted.life);
        Ok(self.lifetime.create_token(token, None::<IdToken>, life))
    }
}
