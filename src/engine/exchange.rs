//! One exchange of the long-term token for a short-term token.

use std::sync::Arc;
use std::time::Duration;

use super::exchange_call::mint;
use super::scope_set::ScopeSet;
use super::shared::Shared;
use crate::calls::{Exchanged, working_for};
use crate::error::{Error, ErrorKind};
use crate::token::LongTermToken;

/// Exchanges this long-term token, if the issuer needs one, within this time.
pub(crate) async fn exchange(
    shared: Arc<Shared>,
    set: Arc<ScopeSet>,
    with: Option<LongTermToken>,
    within: Duration,
) -> Result<Exchanged, Error> {
    let work = working_for(shared.key(), async {
        let _alone = set.exchanging.lock().await;
        mint(&shared, &set, with.as_ref()).await
    });
    let outcome = tokio::time::timeout(within, work).await;
    outcome.unwrap_or_else(|_| {
        Err(Error::own(
            ErrorKind::Timeout,
            format!("the exchange timed out after {within:?}"),
        ))
    })
}
