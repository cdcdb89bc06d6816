//! The calls of a timeline, and what they have come to.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};

use everbearer::{
    Error, ErrorKind, RevocationOutcome, ShortTermToken, ShutdownReport, TokenProvider,
};
use futures_util::FutureExt as _;
use tokio::task::JoinHandle;

use super::Stage;
use super::answers::{Mint, name_of};
use super::faults::message;
use crate::scenarios::format::{Call, Outcome, Span, What};

/// The calls of one name.
pub(super) struct Calls {
    pub(super) tasks: Vec<JoinHandle<()>>,
    outcomes: Arc<Mutex<Vec<Outcome>>>,
}

impl Stage {
    pub(super) fn call(&self, call: &Call) -> Calls {
        let provider = self.provider();
        let outcomes: Arc<Mutex<Vec<Outcome>>> = Arc::default();
        let tasks = (0..call.times.map_or(1, NonZeroUsize::get))
            .map(|_| {
                let caller = Caller {
                    provider: provider.scoped(call.scopes.clone()),
                    mint: self.mint.clone(),
                    served: Arc::clone(&self.served),
                };
                let (outcomes, what) = (Arc::clone(&outcomes), call.what.clone());
                let (step, name, faults) = (self.step, call.name.clone(), self.faults.clone());
                tokio::spawn(async move {
                    let outcome = AssertUnwindSafe(async move {
                        let outcome = caller.call(what).await;
                        drop(caller);
                        outcome
                    });
                    let outcome = outcome.catch_unwind().await.unwrap_or_else(|panic| {
                        let message = message(&*panic).to_owned();
                        faults.add(format!(
                            "calls.{name}, made in step {step}, panicked: {message}"
                        ));
                        Outcome::Panicked(message)
                    });
                    outcomes.lock().unwrap().push(outcome);
                })
            })
            .collect();
        Calls { tasks, outcomes }
    }
}

impl Calls {
    pub(super) fn seen(&self) -> BTreeMap<Outcome, usize> {
        let mut seen = BTreeMap::new();
        let outcomes = self.outcomes.lock().unwrap();
        for outcome in outcomes.iter() {
            *seen.entry(outcome.clone()).or_default() += 1;
        }
        if outcomes.len() < self.tasks.len() {
            seen.insert(Outcome::Waiting, self.tasks.len() - outcomes.len());
        }
        seen
    }
}

/// By name, the token of that name that a call was served last.
pub(super) type Served = Arc<Mutex<BTreeMap<String, ShortTermToken>>>;

struct Caller {
    provider: TokenProvider,
    mint: Mint,
    served: Served,
}

impl Caller {
    async fn call(&self, what: What) -> Outcome {
        let provider = &self.provider;
        let served = match what {
            What::Token => provider.token().await,
            What::Refresh => provider.refresh().await,
            What::TokenWith(Span(min)) => provider.token_valid_for(min).await,
            What::Reject(name) => provider.invalidate(&self.served(&name)).await,
            What::Authorization => {
                return match provider.authorization().await {
                    Ok(header) => {
                        let text = header.to_str().unwrap().strip_prefix("Bearer ");
                        let text = text.expect("the header is a bearer token");
                        Outcome::Served(self.mint.name_of_text(text))
                    }
                    Err(error) => failed(&error),
                };
            }
            What::Ready => {
                return match provider.ready().await {
                    Ok(()) => Outcome::Ready,
                    Err(error) => failed(&error),
                };
            }
            What::Shutdown => return report(&provider.shutdown().await),
        };
        match served {
            Ok(token) => {
                let name = name_of(&token);
                self.served.lock().unwrap().insert(name.clone(), token);
                Outcome::Served(name)
            }
            Err(error) => failed(&error),
        }
    }

    fn served(&self, name: &str) -> ShortTermToken {
        let token = self.served.lock().unwrap().get(name).cloned();
        token.unwrap_or_else(|| panic!("no call was served the token {name:?}"))
    }
}

fn failed(error: &Error) -> Outcome {
    // The timelines have another word for it.
    let kind = match error.kind() {
        ErrorKind::LifetimeTooShort => "too_short_lived",
        kind => kind.as_str(),
    };
    Outcome::Failed(kind.to_owned())
}

fn report(report: &ShutdownReport) -> Outcome {
    let of = |wanted: fn(&RevocationOutcome) -> bool| {
        let tokens = report.tokens.iter().filter(|token| wanted(&token.outcome));
        sorted(
            tokens
                .map(|token| token.token_id.clone().unwrap_or("unknown".to_owned()))
                .collect(),
        )
    };
    Outcome::Report {
        revoked: of(|outcome| matches!(outcome, RevocationOutcome::Revoked)),
        not_revoked: of(|outcome| {
            !matches!(
                outcome,
                RevocationOutcome::Revoked | RevocationOutcome::Kept
            )
        }),
    }
}

pub(super) fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort();
    names
}
