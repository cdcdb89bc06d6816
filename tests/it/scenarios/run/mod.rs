//! Runs a timeline on the real provider, with an issuer in memory on a clock that jumps.

mod answers;
mod calls;
mod compare;
mod faults;

use std::collections::BTreeMap;

use everbearer::testkit::{ManualClock, ScriptedIssuer};
use everbearer::{LongTermToken, TokenProvider};
use futures_util::FutureExt as _;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::format::{Span, Step, Timeline};
use crate::support::settle;
use answers::Mint;
use calls::{Calls, Served};
use faults::Faults;
pub(super) use faults::message;

/// Plays a timeline. The error says what is wrong with the timeline or with the engine.
pub(super) fn run(name: &str, text: &str) -> Result<(), String> {
    let timeline = Timeline::read(name, text)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(play(&timeline))
}

async fn play(timeline: &Timeline) -> Result<(), String> {
    let mut stage = Stage::set(timeline)?;
    let began = Instant::now();
    for (index, step) in timeline.steps.iter().enumerate() {
        stage.step = index + 1;
        tokio::time::sleep_until(began + step.at.0).await;
        settle().await;
        stage.act(step);
        if let Some(expect) = &step.expect {
            settle().await;
            let differences = stage.compare(expect);
            if !differences.is_empty() {
                return Err(format!("{}{differences}", step.place));
            }
        }
    }
    settle().await;
    stage.look_at_dropped();
    match stage.faults.text() {
        faults if faults.is_empty() => Ok(()),
        faults => Err(format!("{}, at the end:\n{faults}", timeline.name)),
    }
}

struct Stage {
    /// The number of the present step; the first is 1.
    step: usize,
    issuer: ScriptedIssuer,
    clock: ManualClock,
    provider: Option<TokenProvider>,
    calls: BTreeMap<String, Calls>,
    /// The calls that were dropped.
    dropped: Vec<JoinHandle<()>>,
    served: Served,
    mint: Mint,
    faults: Faults,
}

impl Stage {
    fn set(timeline: &Timeline) -> Result<Self, String> {
        let given = &timeline.given;
        let issuer = ScriptedIssuer::new();
        let clock = ManualClock::new();
        let faults = Faults::default();
        let mint = Mint::new(clock.clone(), faults.clone());
        issuer.script(mint.answers(&given.exchanges));
        issuer.default_reply(mint.answer(&given.otherwise));
        issuer.script_revocations(mint.answers(&given.revocations));
        let long_term = LongTermToken::builder("lt-given").token_id("lt-given");
        let provider = TokenProvider::builder(issuer.clone(), long_term.build().unwrap())
            .clock(clock.clone())
            .jitter_seed(given.seed.unwrap_or(7))
            .refresh_policy(given.refresh.policy())
            .retry_policy(given.retry.policy())
            .shutdown_policy(given.shutdown.policy())
            .scope_policy(given.scopes.policy())
            .build()
            .map_err(|error| format!("{}: given: {error}", timeline.name))?;
        Ok(Self {
            step: 0,
            issuer,
            clock,
            provider: Some(provider),
            calls: BTreeMap::new(),
            dropped: Vec::new(),
            served: Served::default(),
            mint,
            faults,
        })
    }

    fn act(&mut self, step: &Step) {
        if let Some(call) = &step.call {
            let calls = self.call(call);
            self.calls.insert(call.name.clone(), calls);
        }
        if let Some(calls) = step.drop.as_ref().and_then(|name| self.calls.remove(name)) {
            calls.tasks.iter().for_each(JoinHandle::abort);
            self.dropped.extend(calls.tasks);
        }
        if step.drop_handles.is_some() {
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
        if step.renew.is_some() {
            let long_term = LongTermToken::builder("lt-renewed").token_id("lt-renewed");
            self.provider()
                .set_long_term_token(long_term.build().unwrap());
        }
    }

    /// Notes the panics of calls that were dropped.
    fn look_at_dropped(&mut self) {
        for task in self.dropped.drain(..) {
            if let Some(Err(error)) = task.now_or_never()
                && let Ok(panic) = error.try_into_panic()
            {
                let message = message(&*panic);
                self.faults
                    .add(format!("a call that was dropped panicked: {message}"));
            }
        }
    }

    fn provider(&self) -> &TokenProvider {
        let provider = self.provider.as_ref();
        provider.expect("a timeline uses no provider after `drop_handles`")
    }
}
