//! One exchange of the long-term token for a short-term token.

use std::sync::Arc;

use super::exchange_call::{kept, mint, replace};
use super::failure::is_refused;
use super::grants;
use super::long_term::recovery::{self, Found, Search};
use super::scope_set::ScopeSet;
use super::shared::Shared;
use super::state::Verdict;
use crate::calls::{Minted, working_for};
use crate::error::{Error, ErrorKind};
use crate::issuer::Needs;
use crate::token::LongTermToken;

/// How many long-term tokens one exchange tries, so that a store with bad tokens cannot keep it busy.
const MOST_REFUSED: usize = 10;

/// Why an exchange failed, and with which long-term token.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) error: Error,
    pub(crate) used: Option<LongTermToken>,
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self { error, used: None }
    }
}

pub(crate) async fn exchange(shared: Arc<Shared>, set: Arc<ScopeSet>) -> Result<Minted, Failed> {
    let limit = shared.settings.policies.retry.exchange_timeout;
    let work = working_for(shared.key(), async {
        let _alone = set.exchanging.lock().await;
        with_long_term(&shared, &set).await
    });
    let outcome = tokio::time::timeout(limit, work).await;
    outcome.unwrap_or_else(|_| {
        Err(Failed::from(Error::own(
            ErrorKind::Timeout,
            format!("the exchange timed out after {limit:?}"),
        )))
    })
}

/// Exchanges the long-term token in use, or another one if the server refuses it.
async fn with_long_term(shared: &Shared, set: &ScopeSet) -> Result<Minted, Failed> {
    match shared.settings.profile.needs {
        Needs::Nothing => return Ok(mint(shared, set, None).await?.minted),
        Needs::LongTerm => {}
        Needs::Replacing => return one_at_a_time(shared, set).await,
    }
    let mut refused: Vec<LongTermToken> = Vec::new();
    let mut disproof = None;
    let mut found = first(shared, set).await?;
    loop {
        let token = &found.token;
        let error = match mint(shared, set, Some(token)).await {
            Ok(exchanged) => {
                judge(shared, token, disproof);
                return Ok(kept(shared, token, exchanged).await?);
            }
            Err(error) => error,
        };
        note_refusal(shared, token, &error);
        // A refusal of the next token says nothing about the one in use.
        let used = disproof.as_ref().map_or(token, |it: &Verdict| &it.token);
        let failed = Failed {
            error: error.clone(),
            used: Some(used.clone()),
        };
        if is_next(shared, token) && !error.is_retryable() {
            disproof = Some(Verdict {
                token: token.clone(),
                refusal: Some(error.clone()),
            });
        } else if found.is_obtained || !is_refused(&error) && !is_renewed(shared, token, &error) {
            return Err(failed);
        }
        refused.push(found.token);
        if refused.len() == MOST_REFUSED {
            return Err(failed);
        }
        let mut search = Search {
            refused: &refused,
            lease: None,
        };
        let mut keeper = shared.keeper.lock().await;
        let outcome = search.find(shared, &mut keeper, Some(error)).await;
        found = outcome.map_err(|error| Failed { error, ..failed })?;
    }
}

/// Notes what the exchange has shown of the next token: that it is proven, if the exchange used it, or else the
/// `disproof`, that the server refused it alone.
fn judge(shared: &Shared, succeeded: &LongTermToken, disproof: Option<Verdict>) {
    let proof = Verdict {
        token: succeeded.clone(),
        refusal: None,
    };
    let now = shared.now();
    let is_judged = {
        let mut engine = shared.engine();
        let is_next = |next: &LongTermToken| next.reads_like(succeeded);
        let verdict = if engine.next.as_ref().is_some_and(is_next) {
            Some(proof)
        } else {
            disproof
        };
        if let Some(verdict) = verdict {
            engine.judge(verdict, now);
        }
        engine.verdict.is_some()
    };
    if is_judged {
        shared.wake.notify_one();
    }
}

/// Returns the long-term token to try first: the next one, if an exchange of this scope set is to prove it; otherwise
/// the one in use; or, if there is none, one that is stored or that a grant obtains.
async fn first(shared: &Shared, set: &ScopeSet) -> Result<Found, Error> {
    {
        let engine = shared.engine();
        let proves = engine.machine.is_proving(set.id);
        let next = engine.next.clone().filter(|_| proves);
        let in_use = engine.long_term.as_ref().map(|held| held.token.clone());
        let is_known = engine.machine.knows_long_term();
        if let Some(token) = next.or(in_use.filter(|_| is_known)) {
            return Ok(Found::at_hand(token));
        }
    }
    let mut search = Search {
        refused: &[],
        lease: None,
    };
    let mut keeper = shared.keeper.lock().await;
    let loaded = keeper.ensure_loaded(shared).await;
    // A token that a caller has set does not depend on the store.
    if let Some(token) = search.at_hand(shared, &keeper) {
        return Ok(Found::at_hand(token));
    }
    loaded?;
    search.find(shared, &mut keeper, None).await
}

/// If each exchange invalidates the long-term token, only the holder of the lease exchanges it.
async fn one_at_a_time(shared: &Shared, set: &ScopeSet) -> Result<Minted, Failed> {
    let keeper = &mut *shared.keeper.lock().await;
    let lease = recovery::wait_for_lease(shared).await?;
    if shared.settings.shares_store {
        keeper.reload(shared).await?;
    } else {
        keeper.ensure_loaded(shared).await?;
    }
    // Stores the token in use before the exchange invalidates it.
    keeper.save(shared).await?;
    let mut search = Search {
        refused: &[],
        lease: Some(lease),
    };
    let found = search.find(shared, keeper, None).await?;
    let failed = |error, token: &LongTermToken| Failed {
        error,
        used: Some(token.clone()),
    };
    let error = match mint(shared, set, Some(&found.token)).await {
        Ok(exchanged) => return Ok(replace(shared, keeper, &found.token, exchanged).await?),
        Err(error) => error,
    };
    note_refusal(shared, &found.token, &error);
    if found.is_obtained || !is_refused(&error) && !is_renewed(shared, &found.token, &error) {
        return Err(failed(error, &found.token));
    }
    let refused = [found.token];
    search.refused = &refused;
    let next = search.find(shared, keeper, Some(error)).await;
    let next = next.map_err(|error| failed(error, &refused[0]))?;
    let exchanged = mint(shared, set, Some(&next.token)).await;
    let exchanged = exchanged.map_err(|error| failed(error, &next.token))?;
    Ok(replace(shared, keeper, &next.token, exchanged).await?)
}

/// Notes the pause that the server requests with a refusal. The grant is used after that pause.
fn note_refusal(shared: &Shared, refused: &LongTermToken, error: &Error) {
    if !error.is_retryable() {
        grants::note_pause(shared, error, Some(refused));
    }
}

/// Returns whether another long-term token is in use by now, which the server may accept.
fn is_renewed(shared: &Shared, held: &LongTermToken, error: &Error) -> bool {
    let engine = shared.engine();
    let present = engine.long_term.as_ref();
    !error.is_retryable() && present.is_some_and(|present| !present.token.reads_like(held))
}

fn is_next(shared: &Shared, long_term: &LongTermToken) -> bool {
    let engine = shared.engine();
    let next = engine.next.as_ref();
    next.is_some_and(|next| next.reads_like(long_term))
}
