//! Callers that keep a connection open, and wait until another token is in use.

use std::sync::Arc;
use std::time::Duration;

use super::driver::HEARTBEAT;
use super::scope_set::ScopeSet;
use super::shared::Shared;
use super::start::{STARTS, current_runtime, ensure, runtime_is_going};
use super::state::shut_down;
use super::wait::{for_token, refuse_within};
use crate::error::Error;
use crate::machine::{Demand, Generation, Input};
use crate::token::ShortTermToken;

/// The pause after an attempt that fails at once, as during a backoff that the server requested.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// Waits until the token in use differs from `token`, and returns the token in use.
pub(crate) async fn other_than(
    shared: &Arc<Shared>,
    set: &Arc<ScopeSet>,
    token: &ShortTermToken,
) -> Result<ShortTermToken, Error> {
    current_runtime()?;
    refuse_within(shared)?;
    let _waiting = set.begin_waiting(&shared.user_code.time);
    let mut starts = 0;
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
        starts += u32::from(ensure(shared)?);
        if starts > STARTS {
            return Err(runtime_is_going());
        }
        if is_lazy {
            shared.wake.notify_one();
        }
        // A lazy provider refreshes only on demand: wake at the refresh time to demand a refresh.
        // Otherwise, wake when the token expires.
        let until = if is_lazy && refresh_at > now {
            refresh_at.min(published.window.usable_until)
        } else {
            published.window.usable_until
        };
        // Timers stop while the machine is suspended.
        let longest = until.since(now).min(HEARTBEAT);
        if tokio::time::timeout(longest, changed).await.is_err() {
            starts = 0;
        }
    }
}
