//! Compares what a step expects with what is to be seen.

use std::fmt::Write as _;

use everbearer::TokenProvider;

use super::Stage;
use super::answers::name_of;
use super::calls::{Calls, sorted};
use crate::scenarios::format::{Expect, Next, Span};

impl Stage {
    pub(super) fn compare(&self, expect: &Expect) -> String {
        let mut differences = Differences {
            text: self.faults.text(),
        };
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
        let exchanged = self.issuer.exchanged();
        differences.equal("exchanged", expect.exchanged.clone(), exchanged);
        differences.equal(
            "revoked",
            expect.revoked.clone(),
            sorted(self.issuer.revoked()),
        );
        differences.equal("tasks", expect.tasks, self.engine_tasks());
        if expect.is_of_a_provider() {
            let provider = self.provider().scoped(expect.scopes.clone());
            compare_status(&mut differences, expect, &provider);
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
    let current = current.map_or("none".to_owned(), |token| name_of(&token));
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
    differences.check(
        "usable_for",
        expect.usable_for,
        status.usable_for,
        |it, was| it.holds(&Span(*was)),
    );
    let next = status.next_exchange_in;
    differences.check(
        "next_exchange_in",
        expect.next_exchange_in.clone(),
        next,
        |it, was| match (it, was) {
            (Next::Between(range), Some(was)) => range.holds(&Span(*was)),
            (Next::None, None) => true,
            _ => false,
        },
    );
}

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
