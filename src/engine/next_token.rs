//! Callers that keep a connection open, and wait until another token is in use.

use std::sync::Arc;
use std::time::Duration;

use super::scope_set::ScopeSet;
use super::shared::Shared;
use super::start::{current_runtime, ensure};
use super::state::shut_down;
use super::wait::for_token;
use crate::error::Error;
use crate::machine::{Demand, Generation, Input};
use crate::token::ShortTermToken;

/// The pause after an attempt that fails at once, as during a backoff that the server requested.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// Returns the token in use once it is another one than this.
pub(crate) async fn other_than(
    shared: &Arc<Shared>,
    set: &Arc<ScopeSet>,
    token: &ShortTermToken,
) -> Result<ShortTermToken, Error> {
    current_runtime()?;
    let _waiting = set.begin_waiting();
    loop {
        // Registers before it checks, so that no wake-up is lost.
        let changed = set.changed();
        let now = shared.now_or_error()?;
        let Some(published) = set.current.good(now, Generation(0)) else {
            match for_token(shared, set, Generation(0), |it| it.token.clone()).await {
                Ok(newer) if !newer.reads_like(token) => return Ok(newer),
                Err(error) if !error.is_retryable() => return Err(error),
                Ok(_) => {}
                Err(_) => {
                    let _ = tokio::time::timeout(AFTER_FAILURE, changed).await;
                }
            }
            continue;
        };
        if !published.token.reads_like(token) {
            return Ok(published.token.clone());
        }
        let refresh_at = published.window.refresh_at;
        let is_lazy = {
            let mut engine = shared.engine();
            if !engine.machine.is_running() {
                return Err(shut_down());
            }
            let is_lazy = engine.machine.is_lazy();
            if is_lazy && refresh_at <= now {
                let (set, demand) = (set.id, Demand::Refresh);
                engine.machine.handle(Input::Demanded { set, demand }, now);
            }
            is_lazy
        };
        ensure(shared)?;
        if is_lazy {
            shared.wake.notify_one();
        }
        // With lazy refreshes, a waiting caller is what demands them; otherwise the token ends at the latest.
        let until = if is_lazy && refresh_at > now {
            refresh_at
        } else {
            published.window.usable_until
        };
        let _ = tokio::time::timeout(until.since(now), changed).await;
    }
}
