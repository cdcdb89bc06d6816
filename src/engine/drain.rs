//! The driver's part of a shutdown: it revokes the tokens, within the deadline, and reports the outcome.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{FuturesUnordered, StreamExt};

use super::landing::land;
use super::long_term::keeper::Keeper;
use super::revocations::{Revocations, ToRevoke};
use super::revoking;
use super::shared::Shared;
use super::tasks::Tasks;
use crate::calls::{guarded, guarded_within, panicked};
use crate::clock::Moment;
use crate::error::Error;
use crate::issuer::Revoked;
use crate::machine::Input;
use crate::observe::{self, Event};

/// So many revocations are under way at the same time.
const AT_ONCE: usize = 16;

type Attempts = FuturesUnordered<BoxFuture<'static, (ToRevoke, Result<Revoked, Error>)>>;

/// The driver's part: revokes everything, what a call under way still brings included, until all
/// is done or the deadline has come.
pub(crate) async fn drain(shared: &Arc<Shared>, tasks: &mut Tasks, deadline: Moment) {
    let mut revocations = Revocations::of(shared);
    shared.observers.tell(Event::ShutdownBegan {
        tokens: revocations.to_revoke(),
    });
    let budget = deadline.since(shared.now());
    let work = async {
        let settings = &shared.settings;
        let for_short_term = if settings.shutdown.revoke_long_term || settings.shares_store {
            budget * 3 / 4
        } else {
            budget
        };
        // What only this process knows must not end with it.
        let save = guarded(async { shared.keeper.lock().await.save(shared).await });
        let short_term = revoke_short_term(shared, tasks, &mut revocations, deadline);
        let short_term = tokio::time::timeout(for_short_term, short_term);
        let _ = tokio::join!(short_term, tokio::time::timeout(for_short_term, save));
        give_up(shared, tasks, &mut revocations);
        // What the last call has brought, or held up.
        let save = guarded(async { shared.keeper.lock().await.save(shared).await });
        let _ = tokio::time::timeout(deadline.since(shared.now()) / 2, save).await;
        revocations.add_short_term(shared);
        revocations.add_long_term(shared);
        revoke_all(shared, &mut revocations, deadline).await;
    };
    let _ = tokio::time::timeout(budget, work).await;
    give_up(shared, tasks, &mut revocations);
    revocations.add_short_term(shared);
    revocations.add_long_term(shared);
    revocations.tell_unfinished(shared);
    let report = revocations.report(shared);
    if let Ok(mut keeper) = shared.keeper.try_lock() {
        *keeper = Keeper::default();
    }
    shared.observers.tell(Event::ShutDown);
    {
        let now = shared.now();
        let mut engine = shared.engine();
        engine.machine.handle(Input::Drained, now);
        engine.forget_tokens();
    }
    shared.report.send_modify(|slot| *slot = Some(report));
}

/// Revokes what is there while waiting for what is under way, for at most half of the time: the
/// long-term token wants revoking, too. What still comes is revoked like the rest.
async fn revoke_short_term(
    shared: &Arc<Shared>,
    tasks: &mut Tasks,
    revocations: &mut Revocations,
    deadline: Moment,
) {
    if shared.settings.shutdown.revokes_nothing() {
        return;
    }
    let patience = tokio::time::sleep(deadline.since(shared.now()) / 2);
    tokio::pin!(patience);
    let mut attempts = Attempts::new();
    loop {
        begin_attempts(shared, &mut attempts, revocations);
        tokio::select! {
            Some((to_revoke, outcome)) = attempts.next() => {
                end_attempt(shared, &mut attempts, revocations, (to_revoke, outcome), deadline);
            }
            Some(ended) = tasks.next(), if tasks.minting > 0 => {
                land(shared, ended);
                revocations.add_short_term(shared);
            }
            () = &mut patience, if tasks.minting > 0 => give_up(shared, tasks, revocations),
            else => return,
        }
    }
}

fn give_up(shared: &Shared, tasks: &mut Tasks, revocations: &mut Revocations) {
    if tasks.minting > 0 && !shared.settings.shutdown.revokes_nothing() {
        revocations.add_unknown();
    }
    tasks.give_up();
}

/// Revokes the doomed, newest first, and tries again where that may help.
async fn revoke_all(shared: &Arc<Shared>, revocations: &mut Revocations, deadline: Moment) {
    let mut attempts = Attempts::new();
    loop {
        begin_attempts(shared, &mut attempts, revocations);
        let Some(ended) = attempts.next().await else {
            return;
        };
        end_attempt(shared, &mut attempts, revocations, ended, deadline);
    }
}

fn begin_attempts(shared: &Arc<Shared>, attempts: &mut Attempts, revocations: &mut Revocations) {
    while attempts.len() < AT_ONCE
        && let Some(to_revoke) = revocations.next()
    {
        attempts.push(attempt(shared, to_revoke, Duration::ZERO));
    }
}

fn end_attempt(
    shared: &Arc<Shared>,
    attempts: &mut Attempts,
    revocations: &mut Revocations,
    (to_revoke, outcome): (ToRevoke, Result<Revoked, Error>),
    deadline: Moment,
) {
    let rest = deadline.since(shared.now());
    if let Some((to_revoke, pause)) = revocations.note(shared, to_revoke, outcome, rest) {
        attempts.push(attempt(shared, to_revoke, pause));
    }
}

fn attempt(
    shared: &Arc<Shared>,
    to_revoke: ToRevoke,
    pause: Duration,
) -> BoxFuture<'static, (ToRevoke, Result<Revoked, Error>)> {
    let shared = Arc::clone(shared);
    let token_id = to_revoke.bearer().shown_id();
    let span = observe::revocation_span(&shared.settings.name, token_id);
    async move {
        tokio::time::sleep(pause).await;
        let call = revoking::revoke(&shared, to_revoke.bearer());
        let outcome = guarded_within(span, call).await;
        (to_revoke, outcome.unwrap_or_else(|| Err(panicked())))
    }
    .boxed()
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use crate::engine::live::LiveToken;
    use crate::machine::SetId;
    use crate::policy::ShutdownPolicy;
    use crate::provider::TokenProvider;
    use crate::testkit::{ManualClock, Reply, ScriptedIssuer};
    use crate::token::{LongTermToken, ShortTermToken};

    use super::*;

    /// Returns how long the shutdown of a provider with this many live tokens takes if all revocations hang.
    /// Timers are paused, so waiting for the deadline takes no time.
    #[allow(
        clippy::disallowed_methods,
        reason = "the test compares how long the work takes"
    )]
    fn shut_down_with(tokens: usize) -> Duration {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let issuer = ScriptedIssuer::new();
            issuer.script_revocations(std::iter::repeat_n(Reply::hang(), 100));
            let long_term = LongTermToken::new("long-term").unwrap();
            let provider = TokenProvider::builder(issuer, long_term)
                .clock(ManualClock::new())
                .build()
                .unwrap();
            let (shared, now) = (&provider.shared, provider.shared.now());
            for number in 0..tokens {
                let text = format!("token-{number}");
                let minted = LiveToken {
                    set: SetId::ROOT,
                    token: ShortTermToken::builder(&text).build().unwrap(),
                    ends_at: Some(now + Duration::from_secs(3_600)),
                };
                shared.engine().live.insert(minted, now);
            }
            let began = Instant::now();
            let report = provider.shutdown().await;
            let took = began.elapsed();
            assert_eq!(report.not_revoked().count(), tokens);
            assert!(report.took <= shared.settings.shutdown.deadline);
            took
        })
    }

    #[test]
    fn d11_with_a_hundred_thousand_live_tokens_the_deadline_holds() {
        let fastest = |tokens| (0..3).map(|_| shut_down_with(tokens)).min().unwrap();
        let (few, many) = (fastest(10_000), fastest(100_000));
        assert!(many < ShutdownPolicy::default().deadline, "{many:?}");
        // Linear work takes 10 times as long, quadratic work 100 times.
        assert!(many < few * 40, "{many:?} for 100,000, {few:?} for 10,000");
    }
}
