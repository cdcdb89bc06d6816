//! Runs a timeline on the real provider, with an issuer in memory on a clock that jumps.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use everbearer::testkit::{ManualClock, ScriptedIssuer};
use everbearer::{Error, Fate, LongTermToken, ShortTermToken, ShutdownReport, TokenProvider};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::format::{Call, Expect, Next, Outcome, Span, Step, Timeline, What};
use crate::support::settle;

/// What is wrong with the timeline or with the engine, told for a person.
pub(super) fn run(name: &str, text: &str) -> Result<(), String> {
    let timeline: Timeline =
        serde_json::from_str(text).map_err(|error| format!("{name} is no timeline: {error}"))?;
    if timeline.steps.is_empty() || timeline.shows.is_empty() {
        return Err(format!("{name} has no steps, or shows nothing"));
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(play(name, &timeline))
}

async fn play(name: &str, timeline: &Timeline) -> Result<(), String> {
    let mut stage = Stage::set(timeline);
    let began = Instant::now();
    let mut last = Span::default();
    for (number, raw) in timeline.steps.iter().enumerate() {
        let place = |what: &str| {
            format!(
                "{name} ({}), step {}:\n  {raw}\n{what}",
                timeline.title,
                number + 1
            )
        };
        let step: Step = serde_json::from_value(raw.clone())
            .map_err(|error| place(&format!("  is no step: {error}")))?;
        if step.at < last {
            return Err(place("  is earlier than the step before"));
        }
        last = step.at;
        tokio::time::sleep_until(began + step.at.0).await;
        settle().await;
        stage.act(&step).await.map_err(|error| place(&error))?;
        if let Some(expect) = &step.expect {
            settle().await;
            let differences = stage.compare(expect);
            if !differences.is_empty() {
                return Err(place(&differences));
            }
        }
    }
    Ok(())
}

struct Stage {
    issuer: ScriptedIssuer,
    clock: ManualClock,
    provider: Option<TokenProvider>,
    calls: BTreeMap<String, Calls>,
    /// By name, to be rejected.
    tokens: Arc<Mutex<BTreeMap<String, ShortTermToken>>>,
}

/// The calls of one name.
struct Calls {
    tasks: Vec<JoinHandle<()>>,
    outcomes: Arc<Mutex<Vec<Outcome>>>,
}

impl Stage {
    fn set(timeline: &Timeline) -> Self {
        let given = &timeline.given;
        let issuer = ScriptedIssuer::new();
        issuer.script(given.exchanges.iter().flat_map(|reply| reply.answers()));
        issuer.script_revocations(given.revocations.iter().flat_map(|reply| reply.answers()));
        if let Some(reply) = &given.otherwise {
            issuer.otherwise(reply.answer());
        }
        let clock = ManualClock::new();
        let long_term = LongTermToken::builder("lt-given").token_id("lt-given");
        let provider = TokenProvider::builder(issuer.clone(), long_term.build().unwrap())
            .clock(clock.clone())
            .jitter_seed(given.seed.unwrap_or(7))
            .refresh_policy(given.refresh.policy())
            .retry_policy(given.retry.policy())
            .shutdown_policy(given.shutdown.policy())
            .scope_policy(given.scopes.policy())
            .build()
            .unwrap();
        Self {
            issuer,
            clock,
            provider: Some(provider),
            calls: BTreeMap::new(),
            tokens: Arc::default(),
        }
    }

    async fn act(&mut self, step: &Step) -> Result<(), String> {
        if let Some(call) = &step.call {
            self.call(call)?;
        }
        if let Some(name) = &step.drop {
            let calls = self
                .calls
                .remove(name)
                .ok_or("  drops calls that are not there")?;
            calls.tasks.iter().for_each(JoinHandle::abort);
        }
        if step.drop_handles {
            self.provider = None;
        }
        if let Some(Span(duration)) = step.suspend {
            self.clock.suspend(duration);
        }
        if let Some(Span(by)) = step.wall_forward {
            self.clock.step_wall_forward(by);
        }
        if let Some(Span(by)) = step.wall_back {
            self.clock.step_wall_back(by);
        }
        if step.renew {
            let provider = self.provider.as_ref().ok_or("  has no provider to renew")?;
            let long_term = LongTermToken::builder("lt-renewed").token_id("lt-renewed");
            provider.renew(long_term.build().unwrap());
        }
        Ok(())
    }

    fn call(&mut self, call: &Call) -> Result<(), String> {
        let provider = self.provider.as_ref().ok_or("  has no provider to call")?;
        let outcomes: Arc<Mutex<Vec<Outcome>>> = Arc::default();
        let tasks = (0..call.times)
            .map(|_| {
                let provider = provider.scoped(call.scopes.clone());
                let (outcomes, tokens) = (Arc::clone(&outcomes), Arc::clone(&self.tokens));
                let what = call.what.clone();
                tokio::spawn(async move {
                    let outcome = answer(&provider, what, &tokens).await;
                    drop(provider);
                    outcomes.lock().unwrap().push(outcome);
                })
            })
            .collect();
        let calls = Calls { tasks, outcomes };
        match self.calls.insert(call.name.clone(), calls) {
            None => Ok(()),
            Some(_) => Err("  calls under a name that was used before".to_owned()),
        }
    }

    fn compare(&self, expect: &Expect) -> String {
        let mut differences = Differences::default();
        for (name, expected) in &expect.calls {
            let seen = self.calls.get(name).map(Calls::seen).unwrap_or_default();
            let alike = seen.keys().all(|outcome| outcome == expected) && !seen.is_empty();
            differences.note(&format!("calls.{name}"), expected, &seen, alike);
        }
        let exchanges = self.issuer.exchanges() as u64;
        differences.check("exchanges", expect.exchanges, exchanges, |it, was| {
            it.holds(*was)
        });
        differences.equal("at_once", expect.at_once, self.issuer.most_at_once());
        differences.equal("asked", expect.asked.clone(), self.issuer.asked_scopes());
        differences.equal(
            "revoked",
            expect.revoked.clone(),
            sorted(self.issuer.revoked()),
        );
        differences.equal("tasks", expect.tasks, self.engine_tasks());
        if let Some(provider) = &self.provider {
            compare_status(
                &mut differences,
                expect,
                &provider.scoped(expect.scopes.clone()),
            );
        } else if expect.is_of_a_provider() {
            differences.text += "  expects something of a provider that was dropped\n";
        }
        differences.text
    }

    /// The tasks that are alive and not the callers' own.
    fn engine_tasks(&self) -> usize {
        let alive = tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks();
        let calls = self.calls.values().flat_map(|calls| &calls.tasks);
        alive - calls.filter(|task| !task.is_finished()).count()
    }
}

fn compare_status(differences: &mut Differences, expect: &Expect, provider: &TokenProvider) {
    let status = provider.status();
    let current = provider.current();
    let current = current.map_or("none".to_owned(), |token| token.expose().to_owned());
    differences.equal("current", expect.current.clone(), current);
    let state = status.state.as_str().to_owned();
    differences.equal("state", expect.state.clone(), state);
    differences.equal("generation", expect.generation, status.generation);
    let failures = u64::from(status.consecutive_failures);
    differences.check("failures", expect.failures, failures, |it, was| {
        it.holds(*was)
    });
    let error = status.last_error.as_ref();
    let error = error
        .map_or("none", |error| error.kind().as_str())
        .to_owned();
    differences.equal("error", expect.error.clone(), error);
    let between = |least: Span, most: Span, was| (least.0..=most.0).contains(&was);
    differences.check(
        "usable_for",
        expect.usable_for,
        status.usable_for,
        |it, was| between(it.0, it.1, *was),
    );
    let next = status.next_exchange_in;
    differences.check(
        "next_exchange_in",
        expect.next_exchange_in.clone(),
        next,
        |it, was| match (it, was) {
            (Next::Between(least, most), Some(was)) => between(*least, *most, *was),
            (Next::Never(text), None) => text == "none",
            _ => false,
        },
    );
}

impl Calls {
    fn seen(&self) -> BTreeMap<Outcome, usize> {
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

async fn answer(
    provider: &TokenProvider,
    what: What,
    tokens: &Mutex<BTreeMap<String, ShortTermToken>>,
) -> Outcome {
    let served = match what {
        What::Token => provider.token().await,
        What::Refresh => provider.refresh().await,
        What::TokenWith(Span(min)) => provider.token_with(min).await,
        What::Reject(name) => {
            let token = tokens.lock().unwrap().get(&name).cloned();
            provider
                .reject(&token.expect("a token is served before it is rejected"))
                .await
        }
        What::Authorization => {
            return match provider.authorization().await {
                Ok(header) => {
                    let header = header.to_str().unwrap().to_owned();
                    Outcome::Served(header.trim_start_matches("Bearer ").to_owned())
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
            let name = token.expose().to_owned();
            tokens.lock().unwrap().insert(name.clone(), token);
            Outcome::Served(name)
        }
        Err(error) => failed(&error),
    }
}

fn failed(error: &Error) -> Outcome {
    Outcome::Failed(error.kind().as_str().to_owned())
}

fn report(report: &ShutdownReport) -> Outcome {
    let of = |wanted: fn(&Fate) -> bool| {
        let tokens = report.tokens.iter().filter(|token| wanted(&token.fate));
        sorted(
            tokens
                .map(|token| token.token_id.clone().unwrap_or("unknown".to_owned()))
                .collect(),
        )
    };
    Outcome::Report {
        revoked: of(|fate| matches!(fate, Fate::Revoked)),
        not_revoked: of(|fate| matches!(fate, Fate::NotRevoked(_))),
    }
}

#[derive(Default)]
struct Differences {
    text: String,
}

impl Differences {
    fn equal<T: PartialEq + std::fmt::Debug>(&mut self, what: &str, expected: Option<T>, was: T) {
        self.check(what, expected, was, |expected, was| expected == was);
    }

    fn check<E: std::fmt::Debug, T: std::fmt::Debug>(
        &mut self,
        what: &str,
        expected: Option<E>,
        was: T,
        holds: impl FnOnce(&E, &T) -> bool,
    ) {
        if let Some(expected) = expected {
            let holds = holds(&expected, &was);
            self.note(what, &expected, &was, holds);
        }
    }

    fn note(
        &mut self,
        what: &str,
        expected: &impl std::fmt::Debug,
        was: &impl std::fmt::Debug,
        holds: bool,
    ) {
        if !holds {
            writeln!(self.text, "  {what}: expected {expected:?}, was {was:?}").unwrap();
        }
    }
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort();
    names
}
