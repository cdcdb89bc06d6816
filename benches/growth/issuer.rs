//! An issuer whose tokens differ, as those of a server do.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use everbearer::{
    Error, ExchangeResponse, IssuerProfile, LongTermToken, Needs, Revoked, ShortTermToken,
    TokenIssuer, TokenRef,
};
use tokio::sync::Semaphore;

use crate::common::jwt;

#[derive(Debug)]
pub(crate) struct Numbering {
    minted: AtomicU64,
    /// Each exchange takes one permit away.
    gate: Option<Arc<Semaphore>>,
    needs: Needs,
}

impl Default for Numbering {
    fn default() -> Self {
        Self {
            minted: AtomicU64::new(0),
            gate: None,
            needs: Needs::LongTerm,
        }
    }
}

impl Numbering {
    pub(crate) fn behind(gate: Arc<Semaphore>) -> Self {
        Self {
            gate: Some(gate),
            ..Self::default()
        }
    }

    pub(crate) fn without_long_term() -> Self {
        Self {
            needs: Needs::Nothing,
            ..Self::default()
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

    fn profile(&self) -> IssuerProfile {
        IssuerProfile::new("numbering").needs(self.needs)
    }
}
