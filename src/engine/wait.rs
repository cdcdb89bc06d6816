//! Callers on the slow path. They only wait, so they can be dropped at any time.

use std::sync::Arc;
use std::time::Duration;

use super::current::Published;
use super::long_term::no_grant;
use super::scope_set::ScopeSet;
use super::serving::{Asking, Service};
use super::shared::Shared;
use super::start::{STARTS, current_runtime, ensure, runtime_is_going};
use super::state::shut_down;
use crate::calls::is_within;
use crate::error::{Error, ErrorKind};
use crate::machine::{Generation, Input, LongTerm};
use crate::observe::Event;

/// Returns what `take` makes of a valid token that is newer than this generation.
///
/// A caller waits for one exchange at most: the one in flight, or the next. If it fails, the caller gets its
/// error.
pub(crate) async fn for_token<T>(
    shared: &Arc<Shared>,
    set: &Arc<ScopeSet>,
    newer_than: Generation,
    take: impl Fn(&Published) -> T,
) -> Result<T, Error> {
    if let Err(error) = current_runtime() {
        let good = set.current.good(shared.now_or_error()?, newer_than);
        return good.map(|published| take(&published)).ok_or(error);
    }
    refuse_within(shared)?;
    let patience = shared.settings.policies.retry.wait_timeout;
    match tokio::time::timeout(patience, wait(shared, set, newer_than, take)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(out_of_patience(shared, set, patience)),
    }
}

async fn wait<T>(
    shared: &Arc<Shared>,
    set: &Arc<ScopeSet>,
    newer_than: Generation,
    take: impl Fn(&Published) -> T,
) -> Result<T, Error> {
    let mut asking = Asking {
        newer_than,
        give_up_at: shared.now() + shared.settings.policies.retry.wait_timeout,
        seen: None,
        evicted: None,
    };
    // Held until the token is taken, so that the scope set is not closed before.
    let _waiting = set.begin_waiting(&shared.user_code.time);
    let (mut starts, mut measured) = (0, None);
    loop {
        // Registers before it checks, so that no wake-up is lost.
        let changed = set.changed();
        let now = shared.now_or_error()?;
        let (service, is_driven) = {
            let mut engine = shared.engine();
            (engine.serve(set, &mut asking, now), engine.driven)
        };
        if let Some(scopes) = asking.evicted.take() {
            shared.observers.tell(Event::ScopesRetired { scopes });
        }
        if !is_driven {
            starts += u32::from(ensure(shared)?);
        }
        match service? {
            Service::Token(published) => {
                shared.wake.notify_one();
                return Ok(take(&published));
            }
            Service::Wait { .. } if starts > STARTS => return Err(runtime_is_going()),
            Service::Wait { is_in_flight } => {
                if !is_in_flight {
                    shared.wake.notify_one();
                }
                measured.get_or_insert_with(|| shared.observers.metrics.waiting(&set.scopes));
                changed.await;
            }
        }
        // Reads the token without the engine lock, so that woken callers do not contend for it.
        let newer = |published: &Published| {
            let is_newer = published.window.generation > newer_than;
            is_newer.then(|| take(published))
        };
        if let Some(taken) = set
            .current
            .serve(shared.user_code.time.coarse_now(), newer, || None)
        {
            return Ok(taken);
        }
    }
}

/// Loads the store's content.
pub(crate) async fn for_reload(shared: &Arc<Shared>) -> Result<(), Error> {
    current_runtime()?;
    refuse_within(shared)?;
    if !shared.engine().machine.is_running() {
        return Err(shut_down());
    }
    let patience = shared.settings.policies.retry.wait_timeout;
    match tokio::time::timeout(patience, reloaded(shared)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Error::own(
            ErrorKind::WaitTimeout,
            format!(
                "the token store was not read within {patience:?}, since a rotation is in flight; try again"
            ),
        )),
    }
}

async fn reloaded(shared: &Arc<Shared>) -> Result<(), Error> {
    let failures = |shared: &Shared| {
        let engine = shared.engine();
        let long_term = engine.machine.long_term();
        let (is_current, failures, error) = long_term.map_or((true, 0, None), LongTerm::reading);
        (is_current, failures, error.cloned())
    };
    let (_, before, _) = failures(shared);
    shared.signal(Input::StoreChanged);
    let mut starts = 0;
    loop {
        // Registers before it checks, so that no wake-up is lost.
        let changed = shared.changed.notified();
        starts += u32::from(ensure(shared)?);
        let (is_current, failed, error) = failures(shared);
        match error {
            _ if is_current => return Ok(()),
            Some(error) if failed > before => return Err(error),
            _ if !shared.engine().machine.is_running() => return Err(shut_down()),
            _ if starts > STARTS => return Err(runtime_is_going()),
            _ => changed.await,
        }
    }
}

/// Requests a rotation, and waits until another token is in use.
pub(crate) async fn for_rotation(shared: &Arc<Shared>) -> Result<(), Error> {
    current_runtime()?;
    refuse_within(shared)?;
    if shared.settings.rotate_with.is_none() {
        return Err(no_grant());
    }
    let patience = shared.settings.policies.retry.wait_timeout;
    let outcome = tokio::time::timeout(patience, rotated(shared)).await;
    outcome.unwrap_or_else(|_| {
        Err(Error::own(
            ErrorKind::WaitTimeout,
            format!("the rotation did not finish within {patience:?}; the provider keeps trying"),
        ))
    })
}

async fn rotated(shared: &Arc<Shared>) -> Result<(), Error> {
    let root = shared.engine().sets.root();
    if shared.engine().long_term().is_none() {
        for_token(shared, &root, Generation(0), |_| ()).await?;
    }
    let (before, failures, _) = rotations_so_far(shared);
    let now = shared.both_clocks();
    shared.engine().machine.demand_rotation(now);
    shared.wake.notify_one();
    let mut starts = 0;
    loop {
        let changed = shared.changed.notified();
        starts += u32::from(ensure(shared)?);
        let (present, failed, error) = rotations_so_far(shared);
        if present > before {
            return Ok(());
        }
        if !shared.engine().machine.is_running() {
            return Err(shut_down());
        }
        if let Some(error) = error.filter(|_| failed > failures) {
            return Err(error);
        }
        if starts > STARTS {
            return Err(runtime_is_going());
        }
        changed.await;
    }
}

/// Returns how often the long-term token was replaced, how many rotations have failed, and why the last one did.
fn rotations_so_far(shared: &Shared) -> (u64, u64, Option<Error>) {
    let engine = shared.engine();
    engine.machine.long_term().map_or((0, 0, None), |rules| {
        let (failures, error) = rules.rotation_failures();
        (rules.changes(), failures, error.cloned())
    })
}

pub(super) fn refuse_within(shared: &Arc<Shared>) -> Result<(), Error> {
    if is_within(shared.key()) {
        return Err(Error::own(
            ErrorKind::Config,
            "the token issuer or the token store calls its own provider, which would deadlock; remove the call",
        ));
    }
    Ok(())
}

fn out_of_patience(shared: &Shared, set: &ScopeSet, patience: Duration) -> Error {
    let error = Error::own(
        ErrorKind::WaitTimeout,
        format!("no token within {patience:?}; the provider keeps trying"),
    );
    match shared.engine().sets.last_error(set.id) {
        Some(cause) => error.with_source(cause.clone()),
        None => error,
    }
}
