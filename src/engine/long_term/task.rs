//! Runs the tasks for the long-term token.

use std::time::Duration;

use crate::calls::Exchanged;
use crate::engine::exchange_call::note_minted;
use crate::engine::revocation::{self, revoke_in_time};
use crate::engine::shared::Shared;
use crate::error::{Error, ErrorKind};
use crate::issuer::Grant;
use crate::machine::{Outcome, Purpose, Task};
use crate::store::{Dated, Lease};
use crate::token::{LongTermToken, ShortTermToken, TokenRef};

use super::dates::dated;

/// What a short-term token needs to obtain a long-term one.
const TOKENS_WRITE: &str = "tokens:write";

/// How a task ended, and the lease that it has taken or renewed.
pub(crate) struct TaskResult {
    pub(crate) outcome: Result<Outcome, Error>,
    pub(crate) lease: Option<Lease>,
}

impl From<Error> for TaskResult {
    /// A task that panicked has dropped the lease.
    fn from(error: Error) -> Self {
        Self {
            outcome: Err(error),
            lease: None,
        }
    }
}

/// Runs a task. `lease` is the lease to renew.
pub(crate) async fn run(shared: &Shared, task: Task, lease: Option<Lease>) -> TaskResult {
    // A runtime drops its tasks in any order, so the next driver may start before the previous task is dropped.
    let _alone = shared.one_task.lock().await;
    let outcome = match task {
        Task::Load => load(shared).await,
        Task::Save { record, over } => {
            let saved = shared.user_code.save(&record, over.as_ref()).await;
            shared.checked(saved, &[]).map(Outcome::Saved)
        }
        Task::Renew { at_most } => renew(shared, lease.as_ref(), at_most).await,
        Task::Lease { at_most } => {
            return match shared.checked(shared.user_code.lease(at_most).await, &[]) {
                Ok(lease) => TaskResult {
                    outcome: Ok(Outcome::Leased(lease.is_some())),
                    lease,
                },
                Err(error) => TaskResult::from(error),
            };
        }
        Task::Authorize { with } => authorize(shared, &with).await,
        Task::Ask { with, after } => ask(shared, &with, &after).await,
        Task::Obtain { purpose, .. } => obtain(shared, purpose).await,
        Task::Revoke(token) => revoke(shared, &token).await,
    };
    TaskResult { outcome, lease }
}

async fn renew(
    shared: &Shared,
    lease: Option<&Lease>,
    at_most: Duration,
) -> Result<Outcome, Error> {
    let Some(lease) = lease else {
        return Ok(Outcome::Leased(false));
    };
    let renewed = shared.user_code.renew(lease, at_most).await;
    shared.checked(renewed, &[]).map(Outcome::Leased)
}

async fn load(shared: &Shared) -> Result<Outcome, Error> {
    let loaded = shared.checked(shared.user_code.load().await, &[])?;
    for token in loaded.iter().flat_map(|stored| stored.record.tokens()) {
        shared.check_id(token, &[]);
    }
    Ok(Outcome::Loaded(loaded))
}

/// Obtains a short-term token that may obtain a long-term one.
async fn authorize(shared: &Shared, with: &LongTermToken) -> Result<Outcome, Error> {
    let scopes = [TOKENS_WRITE.to_owned()];
    let default_lifetime = shared.settings.policies.refresh.default_lifetime;
    let exchange = (shared.user_code).exchange(Some(with), &scopes, default_lifetime);
    let exchanged = shared.user_code.bounded(exchange).await;
    let Exchanged {
        minted,
        replacement,
        asked_at,
        ..
    } = shared.checked(exchanged, &[with.expose()])?;
    shared.check_id(&minted.token, &[with.expose()]);
    note_minted(shared, &minted);
    let replacement = replacement.map(|token| dated(&shared.settings.name, token, asked_at));
    Ok(Outcome::Authorized(minted.token, replacement))
}

async fn ask(
    shared: &Shared,
    with: &ShortTermToken,
    after: &LongTermToken,
) -> Result<Outcome, Error> {
    let grant = shared.settings.rotate_with.as_ref().ok_or_else(no_grant)?;
    let grant = grant.or_scopes(after.scopes());
    let asked_at = shared.wall();
    let asked = shared.user_code.ask(&grant, Some(with)).await;
    let token = shared.checked(asked, &[with.expose()])?;
    shared.check_id(&token, &[after.expose()]);
    Ok(Outcome::Obtained(dated(
        &shared.settings.name,
        token,
        asked_at,
    )))
}

async fn obtain(shared: &Shared, purpose: Purpose) -> Result<Outcome, Error> {
    let grant: Option<&Grant> = match purpose {
        Purpose::Rotate => shared.settings.rotate_with.as_deref(),
        Purpose::Recover => shared.settings.recover_with.as_deref(),
    };
    let grant = grant.ok_or_else(no_grant)?;
    let asked_at = shared.wall();
    let token = shared.checked(shared.user_code.obtain(grant).await, &[])?;
    shared.check_id(&token, &[]);
    let token: Dated = dated(&shared.settings.name, token, asked_at);
    Ok(Outcome::Obtained(token))
}

/// Revokes a superseded token. An invalid token and an unsupported revocation count as success.
async fn revoke(shared: &Shared, token: &LongTermToken) -> Result<Outcome, Error> {
    let outcome = revoke_in_time(shared, TokenRef::LongTerm(token)).await;
    if let Some(event) = revocation::event(token.shown_id(), outcome.clone()) {
        shared.observers.tell(event);
    }
    outcome.map(|_| Outcome::Revoked)
}

/// There is no way to obtain the next token.
pub(crate) fn no_grant() -> Error {
    Error::own(
        ErrorKind::Config,
        "there is no grant that obtains the next long-term token; set one with \
         TokenProviderBuilder::rotate_with",
    )
}
