//! A provider with a good token of the usual size.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use everbearer::{
    Error, ExchangeResponse, LongTermToken, Revoked, ShortTermToken, TokenIssuer, TokenProvider,
    TokenRef,
};
use tokio::runtime::Runtime;

/// A JWT with its claims has about this size.
const LENGTH: usize = 1_200;

pub(crate) fn jwt() -> String {
    "a".repeat(LENGTH)
}

/// The same as a header, for ever.
pub(crate) fn static_line() -> &'static str {
    Box::leak(format!("Bearer {}", jwt()).into_boxed_str())
}

/// Answers at once, with a new token each time.
#[derive(Debug, Default)]
pub(crate) struct Minting(AtomicU64);

#[async_trait]
impl TokenIssuer for Minting {
    async fn exchange(
        &self,
        _: Option<&LongTermToken>,
        _: &[String],
    ) -> Result<ExchangeResponse, Error> {
        let number = self.0.fetch_add(1, Ordering::Relaxed);
        let mut jwt = jwt();
        jwt.replace_range(..20, &format!("{number:020}"));
        let token = ShortTermToken::builder(&jwt).expires_in(Duration::from_secs(3_600));
        token.build().map(ExchangeResponse::from)
    }

    async fn revoke(&self, _: TokenRef<'_>, _: Option<TokenRef<'_>>) -> Result<Revoked, Error> {
        Ok(Revoked::Gone)
    }
}

pub(crate) struct Holder {
    pub(crate) runtime: Runtime,
    pub(crate) provider: TokenProvider,
}

impl Holder {
    pub(crate) fn new() -> Self {
        let runtime = Runtime::new().unwrap();
        let long_term = LongTermToken::new("long-term").unwrap();
        let provider = runtime.block_on(async {
            let builder = TokenProvider::builder(Minting::default(), long_term);
            let provider = builder.build().unwrap();
            provider.ready().await.unwrap();
            provider
        });
        Self { runtime, provider }
    }
}
