//! An issuer on the auth server that counts concurrent exchanges and panics in about one call in a hundred.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use everbearer::testkit::AuthServer;
use everbearer::{
    AuthApi, Error, ExchangeResponse, Grant, IssuerProfile, LongTermToken, Revoked, ShortTermToken,
    TokenIssuer, TokenRef,
};

use crate::fragile::Fragile;

#[derive(Clone, Debug)]
pub(crate) struct Watched {
    api: AuthApi,
    server: Arc<AuthServer>,
    under_way: Arc<AtomicUsize>,
    most_at_once: Arc<AtomicUsize>,
}

impl Watched {
    pub(crate) fn new(api: AuthApi, server: Arc<AuthServer>) -> Self {
        Self {
            api,
            server,
            under_way: Arc::default(),
            most_at_once: Arc::default(),
        }
    }

    pub(crate) fn most_at_once(&self) -> usize {
        self.most_at_once.load(Ordering::SeqCst)
    }

    /// Waits until the server has noticed the end of a dropped exchange, which it counts until it reads that the
    /// connection is closed. Its counts are exact after that.
    async fn until_the_server_has_seen_the_last_one_go(&self) {
        while self.server.counts().short_term.in_progress > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

#[async_trait]
impl TokenIssuer for Watched {
    async fn exchange(
        &self,
        long_term: Option<&LongTermToken>,
        scopes: &[String],
    ) -> Result<ExchangeResponse, Error> {
        let at_once = self.under_way.fetch_add(1, Ordering::SeqCst) + 1;
        let _under_way = UnderWay(&self.under_way);
        self.most_at_once.fetch_max(at_once, Ordering::SeqCst);
        Fragile::Issuer.call();
        if at_once == 1 {
            self.until_the_server_has_seen_the_last_one_go().await;
        }
        TokenIssuer::exchange(&self.api, long_term, scopes).await
    }

    async fn revoke(
        &self,
        token: TokenRef<'_>,
        authority: Option<TokenRef<'_>>,
    ) -> Result<Revoked, Error> {
        Fragile::Issuer.call();
        TokenIssuer::revoke(&self.api, token, authority).await
    }

    async fn obtain(
        &self,
        grant: &Grant,
        authority: Option<&ShortTermToken>,
    ) -> Result<LongTermToken, Error> {
        Fragile::Issuer.call();
        TokenIssuer::obtain(&self.api, grant, authority).await
    }

    fn profile(&self) -> IssuerProfile {
        self.api.profile()
    }
}

/// Counts an exchange as in flight until it is dropped.
struct UnderWay<'a>(&'a AtomicUsize);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
