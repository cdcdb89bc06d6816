//! Where a long-term token is to be had when there is none, or the server refuses the one in use:
//! from what is stored, from a rotation that was not finished, or by the grant.

use std::time::Duration;

use super::keeper::{Keeper, dated, retiring};
use super::rotation::{self, LEASE_POLL};
use crate::engine::grants;
use crate::engine::shared::Shared;
use crate::engine::state::shut_down;
use crate::error::{Error, ErrorKind};
use crate::issuer::Grant;
use crate::observe::Event;
use crate::store::{Lease, Record, Rotation};
use crate::token::LongTermToken;

/// Looks for a long-term token beside those that were refused.
pub(in crate::engine) struct Search<'a> {
    pub(in crate::engine) refused: &'a [LongTermToken],
    /// The right to ask, if it is held already.
    pub(in crate::engine) lease: Option<Lease>,
}

/// A long-term token, and how it was come by.
pub(in crate::engine) struct Found {
    pub(in crate::engine) token: LongTermToken,
    pub(in crate::engine) is_obtained: bool,
}

impl Search<'_> {
    /// The least costly one first. If there is none, the `error` is the reason, or that there is
    /// nothing to begin with.
    pub(in crate::engine) async fn find(
        &mut self,
        shared: &Shared,
        keeper: &mut Keeper,
        error: Option<Error>,
    ) -> Result<Found, Error> {
        keeper.take_handed_in(shared);
        if let Some(token) = self.at_hand(shared, keeper) {
            return Ok(Found::at_hand(token));
        }
        let grant = shared.settings.recover_with.as_ref();
        let is_unfinished = |keeper: &Keeper| {
            let record = keeper.record();
            record.is_some_and(|record| shared.is_unfinished(record))
        };
        if shared.settings.shares_store && self.lease.is_none() {
            // A store that cannot be read at the moment is no reason not to go on.
            let _ = keeper.reload(shared).await;
            if grant.is_some() || is_unfinished(keeper) {
                self.take_lease(shared, keeper).await;
            }
            if let Some(token) = self.at_hand(shared, keeper) {
                return Ok(Found::at_hand(token));
            }
        }
        let mut error = error;
        if is_unfinished(keeper) {
            let asked = rotation::ask(shared, keeper).await;
            // Whether or not it could be written down, there is one.
            if let Some(token) = self.at_hand(shared, keeper) {
                return Ok(Found::at_hand(token));
            }
            // It may be given another time: then nobody needs to be told that all is lost.
            error = asked.err().filter(Error::is_retryable).or(error);
        }
        if let Some(token) = self.given(shared, keeper).await {
            return Ok(Found::at_hand(token));
        }
        match grant {
            Some(grant) => obtain(shared, keeper, grant, self.refused).await,
            None => Err(error.unwrap_or_else(|| {
                Error::own(
                    ErrorKind::Config,
                    "there is neither a long-term token nor a grant that obtains one; store a token, or set a grant with \
                     TokenProviderBuilder::recover_with",
                )
            })),
        }
    }

    /// The token that the provider was built with, as a next one: the stored one stays until this
    /// one is proven.
    async fn given(&self, shared: &Shared, keeper: &mut Keeper) -> Option<LongTermToken> {
        let mut record = keeper.record().cloned()?;
        let given = keeper.take_given(self.refused)?;
        let (next, with) = record.rotation.take();
        record.rotation = Rotation::Proving {
            next: shared.handed_in(given.clone()),
            with,
        };
        if let Some(next) = next {
            let retiring = retiring(shared, next.token, Duration::ZERO);
            record.retiring.push(retiring);
        }
        // Whether or not it can be written down at the moment, it is there.
        let _ = keeper.keep(shared, record).await;
        Some(given)
    }

    /// One that is here and was not refused: the one in use, or the next one.
    pub(in crate::engine) fn at_hand(
        &self,
        shared: &Shared,
        keeper: &Keeper,
    ) -> Option<LongTermToken> {
        let in_use = {
            let engine = shared.engine();
            engine.long_term.as_ref().map(|held| held.token.clone())
        };
        let next = keeper.record().and_then(|record| record.next().cloned());
        [in_use, next.map(|next| next.token)]
            .into_iter()
            .flatten()
            .find(|token| !token.reads_like_any(self.refused))
    }

    /// Takes the lease, or waits for what its holder brings. Without a store that can lend it, it
    /// goes on without.
    async fn take_lease(&mut self, shared: &Shared, keeper: &mut Keeper) {
        while self.at_hand(shared, keeper).is_none() {
            match shared.checked(shared.user_code.lease().await, &[]) {
                Ok(None) => tokio::time::sleep(LEASE_POLL).await,
                Ok(Some(lease)) => {
                    self.lease = Some(lease);
                    let _ = keeper.reload(shared).await;
                    return;
                }
                Err(_) => return,
            }
            let _ = keeper.reload(shared).await;
        }
    }
}

impl Found {
    pub(in crate::engine) const fn at_hand(token: LongTermToken) -> Self {
        Self {
            token,
            is_obtained: false,
        }
    }
}

/// The lease, as soon as nobody else has it; whoever waits has a time limit of its own.
pub(in crate::engine) async fn wait_for_lease(shared: &Shared) -> Result<Lease, Error> {
    loop {
        let lease = shared.checked(shared.user_code.lease().await, &[])?;
        if let Some(lease) = lease {
            return Ok(lease);
        }
        tokio::time::sleep(LEASE_POLL).await;
    }
}

/// Obtains a token in the place of the ones that were refused, if there were any.
async fn obtain(
    shared: &Shared,
    keeper: &mut Keeper,
    grant: &Grant,
    refused: &[LongTermToken],
) -> Result<Found, Error> {
    let asked_at = shared.wall();
    let token = grants::obtain(shared, grant).await?;
    let mut record = Record::new(dated(shared, token.clone(), asked_at));
    if let Some(present) = keeper.record() {
        record.retiring.clone_from(&present.retiring);
        // Refused is not revoked: what the server may hold for alive does not stay so.
        let tokens = present.tokens().filter(|it| it.reads_like_any(refused));
        let retiring = tokens.map(|it| retiring(shared, it.clone(), Duration::ZERO));
        record.retiring.extend(retiring);
    }
    // Whether or not it can be written down at the moment, it is good.
    let _ = keeper.keep_obtained(shared, &token, record).await;
    shared.observers.tell(Event::LongTermObtained {
        token_id: token.shown_id().map(str::to_owned),
    });
    let (is_running, in_use) = {
        let engine = shared.engine();
        let in_use = engine.long_term.as_ref().map(|held| held.token.clone());
        (engine.machine.is_running(), in_use)
    };
    if !is_running {
        return Err(shut_down());
    }
    // One that was handed in meanwhile goes first.
    let in_use = in_use.unwrap_or_else(|| token.clone());
    let is_obtained = in_use.reads_like(&token);
    if !is_obtained {
        keeper.retire(shared, token).await;
    }
    Ok(Found {
        token: in_use,
        is_obtained,
    })
}
