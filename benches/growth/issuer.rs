//! An issuer whose tokens differ, as those of a server do.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use everbearer::{
    Error, ExchangeResponse, LongTermToken, Revoked, ShortTermToken, TokenIssuer, TokenRef,
};
use tokio::sync::Semaphore;

use crate::common::jwt;

#[derive(Debug, Default)]
pub(crate) struct Numbering {
    minted: AtomicU64,
    /// Each exchange takes one permit away.
    gate: Option<Arc<Semaphore>>,
}

impl Numbering {
    pub(crate) fn behind(gate: Arc<Semaphore>) -> Self {
        Self {
            minted: AtomicU64::new(0),
            gate: Some(gate),
        }
    }
}

#[async_trait]
impl TokenIssuer for Numbering {
    async fn exchange(
        &self,
        _: Option<&LongTermToken>,
        _: &[String],
    ) -> Result<ExchangeResponse, Error> {
        if let Some(gate) = &self.gate
            && let Ok(permit) = gate.acquire().await
        {
            permit.forget();
        }
        let id = self.minted.fetch_add(1, Ordering::Relaxed).to_string();
        let token = ShortTermToken::builder(&(jwt() + &id))
            .token_id(&id)
            .expires_in(Duration::from_secs(3_600));
        token.build().map(ExchangeResponse::from)
    }

    async fn revoke(&self, _: TokenRef<'_>, _: Option<TokenRef<'_>>) -> Result<Revoked, Error> {
        Ok(Revoked::Gone)
    }
}
