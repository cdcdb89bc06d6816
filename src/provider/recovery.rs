//! Where a long-term token is to be had when there is none, or the server refuses the one in use:
//! from what is stored, from a rotation that was not finished, or by the grant.

use super::engine::shut_down;
use super::keeper::{Keeper, bounded, dated};
use super::rotation::{self, LOOK_AGAIN, bounded_call};
use super::shared::Shared;
use crate::error::{Error, ErrorKind};
use crate::issuer::Grant;
use crate::observe::Happening;
use crate::store::{Lease, Record};
use crate::token::LongTermToken;

/// Looks for a long-term token beside those that were refused.
pub(super) struct Search<'a> {
    pub(super) refused: &'a [LongTermToken],
    /// If it is held already.
    pub(super) lease: Option<Lease>,
}

impl Search<'_> {
    pub(super) async fn run(
        mut self,
        shared: &Shared,
        keeper: &mut Keeper,
        error: Option<Error>,
    ) -> Result<LongTermToken, Error> {
        self.find(shared, keeper, error).await
    }

    /// The least costly one first. If there is none, the `error` is the reason, or that there is
    /// nothing to begin with.
    pub(super) async fn find(
        &mut self,
        shared: &Shared,
        keeper: &mut Keeper,
        error: Option<Error>,
    ) -> Result<LongTermToken, Error> {
        if let Some(token) = self.at_hand(shared, keeper) {
            return Ok(token);
        }
        let may_ask = may_ask_again(keeper);
        let grant = shared.settings.recover_with.as_ref();
        if shared.settings.shares_store && self.lease.is_none() {
            // A store that cannot be read at the moment is no reason not to go on.
            let _ = keeper.reload(shared).await;
            if let Some(token) = self.at_hand(shared, keeper) {
                return Ok(token);
            }
            if may_ask || grant.is_some() {
                match self.take_lease(shared, keeper).await? {
                    Taken::Lease(lease) => self.lease = Some(lease),
                    Taken::Found(token) => return Ok(token),
                }
            }
        }
        if may_ask {
            let lease = match self.lease.take() {
                Some(lease) => lease,
                None => wait_for_lease(shared).await?,
            };
            let asked = rotation::ask(shared, keeper, &lease).await;
            self.lease = Some(lease);
            // Whether or not it could be written down, there is one.
            if asked.is_ok() || self.at_hand(shared, keeper).is_some() {
                return self.at_hand(shared, keeper).map_or(asked, Ok);
            }
        }
        if let Some(last) = self.refused.last()
            && let Some(given) = keeper.take_given(last)
        {
            let _ = keeper
                .keep(shared, Record::new(shared.handed_in(given.clone())))
                .await;
            return Ok(given);
        }
        match grant {
            Some(grant) => obtain(shared, keeper, grant).await,
            None => Err(error.unwrap_or_else(|| {
                Error::new(
                    ErrorKind::Config,
                    "there is neither a long-term token nor a grant to obtain one with",
                )
            })),
        }
    }

    /// One that is here and was not refused: the one in use, or the next one.
    fn at_hand(&self, shared: &Shared, keeper: &Keeper) -> Option<LongTermToken> {
        let in_use = {
            let engine = shared.engine();
            engine.long_term.as_ref().map(|held| held.token.clone())
        };
        let next = keeper.record().and_then(|record| record.next.clone());
        [in_use, next.map(|next| next.token)]
            .into_iter()
            .flatten()
            .find(|token| !self.refused.iter().any(|refused| refused.reads_like(token)))
    }

    /// The lease; or the token that its holder has brought meanwhile.
    async fn take_lease(&self, shared: &Shared, keeper: &mut Keeper) -> Result<Taken, Error> {
        loop {
            let lease = bounded(shared, shared.settings.store.lease()).await?;
            let _ = keeper.reload(shared).await;
            if let Some(token) = self.at_hand(shared, keeper) {
                return Ok(Taken::Found(token));
            }
            if let Some(lease) = lease {
                return Ok(Taken::Lease(lease));
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
}

/// Whether a rotation was begun whose answer is not known.
fn may_ask_again(keeper: &Keeper) -> bool {
    keeper
        .record()
        .is_some_and(|record| record.asking_with.is_some() && record.next.is_none())
}

enum Taken {
    Lease(Lease),
    Found(LongTermToken),
}

/// The lease, as soon as nobody else has it; whoever waits has a time limit of its own.
pub(super) async fn wait_for_lease(shared: &Shared) -> Result<Lease, Error> {
    loop {
        if let Some(lease) = bounded(shared, shared.settings.store.lease()).await? {
            return Ok(lease);
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Obtains a token in the place of the one that was refused, if there was one.
async fn obtain(
    shared: &Shared,
    keeper: &mut Keeper,
    grant: &Grant,
) -> Result<LongTermToken, Error> {
    let asked_at = shared.settings.clock.wall();
    let token = bounded_call(shared, shared.settings.issuer.obtain(grant)).await?;
    let mut record = Record::new(dated(token.clone(), asked_at));
    if let Some(present) = keeper.record() {
        record.retiring.clone_from(&present.retiring);
    }
    // Whether or not it can be written down at the moment, it is good.
    let _ = keeper.keep(shared, record).await;
    shared.observers.tell(Happening::LongTermObtained {
        token_id: token.token_id().map(str::to_owned),
    });
    let (is_running, in_use) = {
        let engine = shared.engine();
        let in_use = engine.long_term.as_ref().map(|held| held.token.clone());
        (engine.machine.is_running(), in_use)
    };
    if is_running {
        // One that was handed in meanwhile goes first.
        let in_use = in_use.unwrap_or_else(|| token.clone());
        if !in_use.reads_like(&token) {
            keeper.retire(shared, token).await;
        }
        Ok(in_use)
    } else {
        Err(shut_down())
    }
}
