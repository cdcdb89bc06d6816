//! The user code that the engine calls.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use super::time::Time;
use super::unchecked_error::Unchecked;
use crate::error::{Error, ErrorKind};
use crate::issuer::TokenIssuer;
use crate::store::TokenStore;

/// The issuer, the store and the clock of one provider.
pub(crate) struct UserCode {
    pub(super) issuer: Arc<dyn TokenIssuer>,
    pub(super) store: Arc<dyn TokenStore>,
    pub(crate) time: Time,
    /// `RetryPolicy::exchange_timeout`.
    pub(super) limit: Duration,
}

impl UserCode {
    pub(crate) fn new(
        issuer: Arc<dyn TokenIssuer>,
        store: Arc<dyn TokenStore>,
        time: Time,
        limit: Duration,
    ) -> Self {
        Self {
            issuer,
            store,
            time,
            limit,
        }
    }

    /// Runs a call of the issuer within the timeout.
    pub(crate) async fn bounded<T>(
        &self,
        call: impl Future<Output = Result<T, Unchecked>>,
    ) -> Result<T, Unchecked> {
        let limit = self.limit;
        tokio::time::timeout(limit, call).await.unwrap_or_else(|_| {
            let text = format!("the auth server did not answer within {limit:?}");
            Err(Error::own(ErrorKind::Timeout, text).into())
        })
    }
}
