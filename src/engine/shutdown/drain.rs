//! The driver's part of a shutdown: it revokes the tokens, within the deadline, and reports the outcome.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{FuturesUnordered, StreamExt};

use super::report_builder::{ReportBuilder, Token, revokes_in_use};
use crate::calls::{give_back, guarded_within, panicked};
use crate::clock::{Moment, Now};
use crate::engine::actions::act_for_long_term;
use crate::engine::revocation;
use crate::engine::shared::Shared;
use crate::engine::task_result::land;
use crate::engine::tasks::Tasks;
use crate::error::Error;
use crate::issuer::Revoked;
use crate::machine::{Action, Input, LongTerm, Next};
use crate::observe::{self, Event};

/// How long the shutdown waits at most before it looks again whether the store can be written.
const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(100);

type InFlight = FuturesUnordered<BoxFuture<'static, (usize, Result<Revoked, Error>)>>;

/// The driver's part: revokes everything, what a call under way still brings included, until all
/// is done or the deadline has come.
pub(crate) async fn drain(shared: &Arc<Shared>, tasks: &mut Tasks, deadline: Moment) {
    let mut book = ReportBuilder::of(shared, deadline);
    shared.observers.tell(Event::ShutdownBegan {
        tokens: book.waiting(),
    });
    let budget = deadline.since(shared.now());
    let work = async {
        let settings = &shared.settings;
        let for_short_term = if settings.shutdown.revoke_long_term || settings.shares_store {
            budget * 3 / 4
        } else {
            budget
        };
        // Writes changes that only this process knows, and revokes the short-term tokens.
        let short_term = async {
            if settings.shutdown.revokes_nothing() {
                save(shared, tasks).await;
            } else {
                revoke(shared, tasks, &mut book, deadline).await;
            }
        };
        let _ = tokio::time::timeout(for_short_term, short_term).await;
        give_up(shared, tasks);
        book.drop_in_flight();
        // Writes what the last call returned or delayed.
        let save = save(shared, tasks);
        let _ = tokio::time::timeout(deadline.since(shared.now()) / 2, save).await;
        book.add_short_term(shared);
        book.add_superseded(shared);
        // Revoked last: it may be the authority for the others.
        let left = deadline.since(shared.now());
        let limit = if revokes_in_use(shared) {
            left / 2
        } else {
            left
        };
        let others = revoke(shared, tasks, &mut book, deadline);
        if tokio::time::timeout(limit, others).await.is_err() {
            book.drop_all();
        }
        book.add_in_use(shared);
        revoke(shared, tasks, &mut book, deadline).await;
    };
    let _ = tokio::time::timeout(budget, work).await;
    give_up(shared, tasks);
    // A token that arrives meanwhile is counted twice rather than missed.
    book.add_unknown(shared);
    book.add_short_term(shared);
    book.add_superseded(shared);
    book.add_in_use(shared);
    book.tell_unfinished(shared);
    let report = book.report(shared);
    shared.observers.tell(Event::ShutDown);
    {
        let now = shared.now();
        let mut engine = shared.engine();
        engine.machine.handle(Input::Drained, now);
        engine.forget_tokens(now);
    }
    // Only the first report counts; there is one driver.
    let _ = shared.report.set(Box::new(report));
    shared.changed.notify_waiters();
}

/// Revokes the tokens of the report while waiting for the exchanges in flight, for half of the time at most: the
/// long-term token may have to be revoked, too. Short-term tokens that still arrive are revoked like the others.
async fn revoke(
    shared: &Arc<Shared>,
    tasks: &mut Tasks,
    book: &mut ReportBuilder,
    deadline: Moment,
) {
    let patience = tokio::time::sleep(deadline.since(shared.now()) / 2);
    tokio::pin!(patience);
    let (mut in_flight, mut now) = (InFlight::new(), shared.now());
    let mut is_given_up = false;
    loop {
        now = now.max(shared.now());
        begin_tasks(shared, tasks, now);
        let retry_at = begin(shared, &mut in_flight, book, now);
        tokio::select! {
            Some((number, outcome)) = in_flight.next() => book.note(shared, number, outcome, deadline),
            Some(ended) = tasks.next(), if tasks.unfinished > 0 => {
                land(shared, ended);
                book.add_short_term(shared);
            }
            () = &mut patience, if tasks.unfinished > 0 && !is_given_up => {
                // Only store calls begin after this. They may use the remaining time.
                is_given_up = true;
                give_up(shared, tasks);
            }
            () = sleep_until(now, retry_at), if retry_at.is_some() => now = retry_at.unwrap_or(now),
            else => return,
        }
    }
}

/// Writes what is not stored, and lets the calls end that were in flight.
async fn save(shared: &Arc<Shared>, tasks: &mut Tasks) {
    loop {
        begin_tasks(shared, tasks, shared.now());
        let is_saved = shared
            .engine()
            .machine
            .long_term()
            .is_none_or(LongTerm::is_saved);
        if is_saved {
            return;
        }
        tokio::select! {
            Some(ended) = tasks.next() => land(shared, ended),
            () = tokio::time::sleep(BETWEEN_ATTEMPTS) => {}
        }
    }
}

/// Begins what is due for the long-term token: in a shutdown, to write it.
fn begin_tasks(shared: &Arc<Shared>, tasks: &mut Tasks, now: Moment) {
    let now = Now {
        at: now,
        wall: shared.wall(),
    };
    loop {
        let action = shared.engine().machine.poll(now);
        match action {
            Action::Sleep(_) | Action::ForSet(_) => return,
            action => act_for_long_term(shared, tasks, action),
        }
    }
}

/// Drops the calls in flight. Each of them may have obtained a token.
fn give_up(shared: &Shared, tasks: &mut Tasks) {
    tasks.give_up();
    let now = shared.now();
    let lease = {
        let mut engine = shared.engine();
        engine.note_dropped(now);
        engine.machine.give_up(now);
        engine.lease.take()
    };
    give_back(lease);
}

/// Begins the revocations that are due. Returns when the next one is, if one is tried again.
fn begin(
    shared: &Arc<Shared>,
    in_flight: &mut InFlight,
    book: &mut ReportBuilder,
    now: Moment,
) -> Option<Moment> {
    loop {
        match book.next(now) {
            Next::Revoke(number) => {
                if let Some(token) = book.token(number) {
                    in_flight.push(revocation(shared, number, token));
                }
            }
            Next::Wait(until) => return until,
            Next::Done => return None,
        }
    }
}

/// Sleeps until this moment by tokio's timer, also while the clock fails; for ever if there is none.
async fn sleep_until(now: Moment, at: Option<Moment>) {
    match at {
        Some(at) => tokio::time::sleep(at.since(now)).await,
        None => std::future::pending().await,
    }
}

fn revocation(
    shared: &Arc<Shared>,
    number: usize,
    token: Token,
) -> BoxFuture<'static, (usize, Result<Revoked, Error>)> {
    let shared = Arc::clone(shared);
    let span = observe::revocation_span(&shared.settings.name, token.as_ref().shown_id());
    async move {
        let call = revocation::revoke(&shared, token.as_ref());
        let outcome = guarded_within(span, call).await;
        (number, outcome.unwrap_or_else(|| Err(panicked())))
    }
    .boxed()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use crate::engine::live::LiveToken;
    use crate::machine::SetId;
    use crate::policy::ShutdownPolicy;
    use crate::provider::TokenProvider;
    use crate::testkit::{ManualClock, Reply, ScriptedIssuer};
    use crate::token::{LongTermToken, ShortTermToken};

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
