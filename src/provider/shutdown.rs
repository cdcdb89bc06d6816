//! The way out: revoke what was minted, within a deadline, and say what became of it.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{FuturesUnordered, StreamExt};

use super::driver::{self, Flights};
use super::flight::{self, Minted};
use super::shared::Shared;
use crate::clock::Moment;
use crate::error::{Error, ErrorKind};
use crate::machine::{Event, retry_delay};
use crate::observe::Happening;
use crate::token::{Bearer, LongTermToken, ShortTermToken};

/// How much longer than the deadline a caller waits for the driver's report before it writes one
/// of its own.
const GRACE: Duration = Duration::from_millis(250);

/// What became of each token, as [`TokenProvider::shutdown`](crate::TokenProvider::shutdown)
/// reports it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// Every token that had not ended by itself, short-term ones first.
    pub tokens: Vec<TokenReport>,
    /// How long the shutdown took.
    pub took: Duration,
}

/// What became of one token.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TokenReport {
    /// Its ID, if the server gave one.
    pub token_id: Option<String>,
    /// Which tier it belongs to.
    pub tier: Tier,
    /// Until when it lives if it was not revoked, by this machine's wall clock, if that is known.
    pub ends_at: Option<SystemTime>,
    /// What became of it.
    pub fate: Fate,
}

/// The tier of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Tier {
    /// It goes on requests.
    ShortTerm,
    /// It is exchanged for the others.
    LongTerm,
}

/// What became of a token.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Fate {
    /// It is gone: the server has revoked it, or no longer knows it, or it has just expired.
    Revoked,
    /// It may live on, for this reason.
    NotRevoked(Error),
    /// It was to live on: the policy says so.
    Kept,
}

impl ShutdownReport {
    /// Whether every token that was to be revoked is revoked.
    pub fn is_clean(&self) -> bool {
        self.not_revoked().next().is_none()
    }

    /// The tokens that were to be revoked and may live on.
    pub fn not_revoked(&self) -> impl Iterator<Item = &TokenReport> {
        self.tokens
            .iter()
            .filter(|token| matches!(token.fate, Fate::NotRevoked(_)))
    }
}

/// Begins the shutdown, if nobody has, and waits for its report.
pub(super) async fn shut_down(shared: &Arc<Shared>) -> ShutdownReport {
    let began = shared.now();
    let budget = shared.settings.shutdown.deadline;
    let mut progress = shared.progress.subscribe();
    begin(shared, began + budget);
    let report = async {
        loop {
            if let Some(report) = progress.borrow_and_update().report.clone() {
                return Ok(report);
            }
            driver::ensure(shared)?;
            shared.wake.notify_one();
            progress.changed().await.map_err(|_| unfinished())?;
        }
    };
    let outcome = match driver::current_runtime() {
        Ok(_) => match tokio::time::timeout(budget + GRACE, report).await {
            Ok(outcome) => outcome,
            Err(_) => Err(unfinished()),
        },
        Err(error) => Err(error),
    };
    outcome.unwrap_or_else(|error| {
        // The driver could not do its work: say of every token that it may live on.
        let mut ledger = Ledger::of(shared, began);
        for entry in &mut ledger.entries {
            if matches!(entry.fate, Fate::NotRevoked(_)) {
                entry.fate = Fate::NotRevoked(error.clone());
            }
        }
        ledger.report(shared)
    })
}

fn begin(shared: &Shared, deadline: Moment) {
    let now = shared.now();
    {
        let mut engine = shared.engine();
        if !engine.machine.is_running() {
            return;
        }
        engine.machine.handle(Event::ShutDown { deadline }, now);
        shared.cell.withdraw();
    }
    // Whoever waits for a token learns that none will come.
    shared.progress.send_modify(|_| {});
    shared.wake.notify_one();
}

/// The driver's part: revokes everything at once, what an exchange under way still brings
/// included, until all is done or the deadline has come.
pub(super) async fn drain(shared: &Arc<Shared>, flights: &mut Flights, deadline: Moment) {
    let began = shared.now();
    let mut ledger = Ledger::of(shared, began);
    shared.observers.tell(Happening::ShutdownBegan {
        tokens: ledger.doomed.len(),
    });
    let work = work(shared, flights, &mut ledger);
    let in_time = tokio::time::timeout(deadline.since(began), work).await;
    if in_time.is_err() && !flights.is_empty() {
        flights.abort_all();
        ledger.entries.push(TokenReport {
            token_id: None,
            tier: Tier::ShortTerm,
            ends_at: None,
            fate: Fate::NotRevoked(Error::new(
                ErrorKind::Timeout,
                "an exchange was still under way; the server may have minted a token for it",
            )),
        });
    }
    let report = ledger.report(shared);
    for token in &report.tokens {
        let error = match &token.fate {
            Fate::Kept => continue,
            Fate::Revoked => None,
            Fate::NotRevoked(error) => Some(error.clone()),
        };
        shared.observers.tell(Happening::Revocation {
            token_id: token.token_id.clone(),
            error,
        });
    }
    shared.observers.tell(Happening::ShutDown);
    shared.signal(Event::Drained);
    shared
        .progress
        .send_modify(|progress| progress.report = Some(report));
}

async fn work(shared: &Arc<Shared>, flights: &mut Flights, ledger: &mut Ledger) {
    let mut attempts: FuturesUnordered<_> = ledger
        .doomed
        .drain(..)
        .map(|doomed| revoke(shared, doomed, Duration::ZERO))
        .collect();
    loop {
        tokio::select! {
            Some((mut doomed, outcome)) = attempts.next() => {
                let pause = ledger.note(shared, &mut doomed, outcome);
                if let Some(pause) = pause {
                    attempts.push(revoke(shared, doomed, pause));
                }
            }
            Some(landed) = flights.join_next() => {
                if let Ok(Ok(minted)) = landed
                    && let Some(doomed) = ledger.add_late(shared, minted)
                {
                    attempts.push(revoke(shared, doomed, Duration::ZERO));
                }
            }
            else => return,
        }
    }
}

/// One attempt, after a pause. An issuer that panics fails like any other.
fn revoke(
    shared: &Arc<Shared>,
    doomed: Doomed,
    pause: Duration,
) -> BoxFuture<'static, (Doomed, Result<(), Error>)> {
    let shared = Arc::clone(shared);
    async move {
        tokio::time::sleep(pause).await;
        let attempt = async { shared.settings.issuer.revoke(doomed.token.bearer()).await };
        let outcome = AssertUnwindSafe(attempt)
            .catch_unwind()
            .await
            .unwrap_or_else(|_| {
                Err(Error::terminal(
                    "the token issuer panicked in the middle of a revocation",
                ))
            });
        (doomed, outcome)
    }
    .boxed()
}

/// What is to be reported, and what is still to be revoked.
struct Ledger {
    began: Moment,
    entries: Vec<TokenReport>,
    doomed: Vec<Doomed>,
}

/// A token that is to be revoked, with its place in the report.
struct Doomed {
    token: Token,
    entry: usize,
    failures: u32,
}

enum Token {
    ShortTerm(ShortTermToken),
    LongTerm(LongTermToken),
}

impl Token {
    const fn bearer(&self) -> Bearer<'_> {
        match self {
            Self::ShortTerm(token) => Bearer::ShortTerm(token),
            Self::LongTerm(token) => Bearer::LongTerm(token),
        }
    }
}

impl Ledger {
    fn of(shared: &Shared, now: Moment) -> Self {
        let policy = &shared.settings.shutdown;
        let mut ledger = Self {
            began: now,
            entries: Vec::new(),
            doomed: Vec::new(),
        };
        let (minted, long_term) = {
            let engine = shared.engine();
            (engine.minted.clone(), engine.long_term.clone())
        };
        let wall = shared.settings.clock.wall();
        for (token, ends_at) in minted {
            let rest = ends_at.since(now);
            if !rest.is_zero() {
                let ends_at = wall.checked_add(rest);
                ledger.add(Token::ShortTerm(token), ends_at, policy.revoke_short_term);
            }
        }
        if let Some(token) = long_term {
            let ends_at = token.expires_at();
            ledger.add(Token::LongTerm(token), ends_at, policy.revoke_long_term);
        }
        ledger
    }

    fn add(&mut self, token: Token, ends_at: Option<SystemTime>, doomed: bool) {
        self.entries.push(TokenReport {
            token_id: token.bearer().token_id().map(str::to_owned),
            tier: match token {
                Token::ShortTerm(_) => Tier::ShortTerm,
                Token::LongTerm(_) => Tier::LongTerm,
            },
            ends_at,
            fate: if doomed {
                Fate::NotRevoked(unfinished())
            } else {
                Fate::Kept
            },
        });
        if doomed {
            self.doomed.push(Doomed {
                token,
                entry: self.entries.len() - 1,
                failures: 0,
            });
        }
    }

    /// A token that an exchange under way brought after the shutdown had begun.
    fn add_late(&mut self, shared: &Shared, minted: Minted) -> Option<Doomed> {
        let rest = (minted.sent + minted.life).since(shared.now());
        let ends_at = shared.settings.clock.wall().checked_add(rest);
        let doomed = shared.settings.shutdown.revoke_short_term;
        self.add(Token::ShortTerm(minted.token), ends_at, doomed);
        self.doomed.pop()
    }

    /// Notes how an attempt ended, and says after which pause the next one follows, if one does.
    fn note(
        &mut self,
        shared: &Shared,
        doomed: &mut Doomed,
        outcome: Result<(), Error>,
    ) -> Option<Duration> {
        let entry = self.entries.get_mut(doomed.entry)?;
        let Err(error) = outcome else {
            entry.fate = Fate::Revoked;
            return None;
        };
        entry.fate = Fate::NotRevoked(error.clone());
        if !error.is_retryable() {
            return None;
        }
        doomed.failures += 1;
        let policy = &shared.settings.retry;
        let failure = flight::failure(&error);
        Some(retry_delay(
            policy,
            failure,
            doomed.failures,
            None,
            fastrand::f64(),
        ))
    }

    fn report(self, shared: &Shared) -> ShutdownReport {
        ShutdownReport {
            tokens: self.entries,
            took: shared.now().since(self.began),
        }
    }
}

fn unfinished() -> Error {
    Error::new(
        ErrorKind::Timeout,
        "the shutdown's deadline came before the token was revoked",
    )
}
