//! The measured figures, and the checks of them.

use std::fmt::{Display, Write as _};
use std::fs;
use std::sync::Arc;

use everbearer::testkit::AuthServer;
use everbearer::{ShutdownReport, Status};
use tokio::runtime::Handle;

use crate::fragile::{self, Panics};
use crate::load::Tally;
use crate::watched::Watched;
use crate::{LONG_TERM_TOKENS_LIVE, TOKENS_LIVE};

/// How much the memory may grow: allocators keep more in reserve the longer such a load lasts, by 1 to 2 MiB in the
/// first minutes. A leak of ten bytes for each request would be twice this bound within four minutes.
const MEMORY_NOISE_KIB: u64 = 4 * 1024;
/// The auth server runs in this process and remembers every token that it has issued.
const MEMORY_PER_TOKEN_KIB: u64 = 1;
/// How much the number of tasks may grow: each open connection is a task, and dropped callers close theirs. If each
/// dropped caller left a task behind, there would be more within a second.
const TASKS_NOISE: u64 = 64;
/// A run of two minutes or more is compared with its own figures at this second.
const STEADY_FROM: usize = 60;
const SECONDS_COMPARED: usize = 10;

pub(crate) struct Figures {
    server: Arc<AuthServer>,
    issuer: Watched,
    tally: Arc<Tally>,
    tokens: u64,
    faults: usize,
    faults_of_long_term: usize,
    memory_kib: Vec<u64>,
    tasks: Vec<u64>,
    /// How many exchanges had succeeded, second by second.
    succeeded: Vec<u64>,
}

impl Figures {
    pub(crate) fn new(server: Arc<AuthServer>, issuer: Watched, tally: Arc<Tally>) -> Self {
        Self {
            server,
            issuer,
            tally,
            tokens: 0,
            faults: 0,
            faults_of_long_term: 0,
            memory_kib: Vec::new(),
            tasks: Vec::new(),
            succeeded: Vec::new(),
        }
    }

    /// Samples the figures, once a second.
    pub(crate) fn sample(&mut self, status: &Status, faults: (usize, usize)) {
        self.tokens = status.generation;
        (self.faults, self.faults_of_long_term) = faults;
        self.memory_kib.extend(memory_kib());
        let tasks = Handle::current().metrics().num_alive_tasks();
        self.tasks.push(u64::try_from(tasks).unwrap_or(u64::MAX));
        let succeeded = self.server.counts().exchanges_succeeded;
        self.succeeded.push(succeeded);
    }

    pub(crate) fn line(&self) -> String {
        let counts = self.server.counts();
        let [refused, ..] = self.tally.read();
        let memory = self.memory_kib.last();
        format!(
            "{:>5} s: {} requests served, {} not sent | {} tokens, {} exchanges, {} with a fault | \
             {} requests without a token, {} with an expired or revoked one | {} rotations | {} concurrent exchanges | \
             {}, {} tasks",
            self.tasks.len(),
            counts.jobs_outcomes.served,
            refused,
            self.tokens,
            counts.short_term.requests,
            self.faults,
            counts.jobs_outcomes.without_token,
            counts.jobs_outcomes.expired + counts.jobs_outcomes.revoked,
            counts.long_term_issued - 1,
            counts.max_concurrent_exchanges,
            memory.map_or("memory not measured".to_owned(), |kib| format!("{kib} KiB")),
            self.tasks.last().unwrap_or(&0),
        )
    }

    /// Returns all figures, and whether all checks passed.
    pub(crate) fn judge(&self, report: &ShutdownReport, panics: &Panics) -> (String, bool) {
        let counts = self.server.counts();
        let jobs = &counts.jobs_outcomes;
        let without = jobs.without_token;
        let not_good = jobs.expired + jobs.invalid + jobs.forbidden;
        let [refused, failed, dropped, panicked] = self.tally.read();
        let seconds = self.tasks.len() as u64;
        let least_tokens = seconds / (2 * TOKENS_LIVE.as_secs());
        let rotations = counts.long_term_issued - 1;
        let least_rotations = seconds / (2 * LONG_TERM_TOKENS_LIVE.as_secs());
        let exchanges = counts.short_term.requests;
        let (server_saw, we_saw) = (counts.max_concurrent_exchanges, self.issuer.most_at_once());
        let memory_noise = MEMORY_NOISE_KIB + MEMORY_PER_TOKEN_KIB * counts.exchanges_succeeded;
        let (memory, memory_is_flat) = compare(&self.memory_kib, memory_noise);
        let (tasks, tasks_are_flat) = compare(&self.tasks, TASKS_NOISE);
        let clean = report.all_revoked();
        let tokens = self.server.tokens();
        let valid = tokens.iter().filter(|it| self.server.is_live(&it.token_id));
        let valid = valid.count();

        let at_the_end = self.exchanges_at_the_end();
        let [subscriber, recorder, issuer, clock, broken_pipe] = panics.survived();
        let (unexpected, first_unexpected) = panics.unexpected();

        let mut rows = Rows::default();
        rows.add("requests served", jobs.served, jobs.served > 0);
        rows.add("  without a token", without, without == 0);
        rows.add("  with an invalid token", not_good, not_good == 0);
        rows.add("  with a revoked token", jobs.revoked, jobs.revoked == 0);
        rows.add("not sent for lack of a token", refused, true);
        rows.add("failed for another reason", failed, failed == 0);
        rows.add("callers dropped", dropped, dropped > 0);
        rows.add("callers that panicked", panicked, panicked == 0);
        rows.add("tokens", self.tokens, self.tokens >= least_tokens);
        rows.add("exchanges", exchanges, true);
        rows.add("  with a fault", self.faults, self.faults > 0);
        let repeated = counts.exchanges_repeated;
        rows.add("  with the same token again", repeated, repeated > 0);
        rows.add("  concurrent, by the server", server_saw, server_saw == 1);
        rows.add("  concurrent, by the client", we_saw, we_saw == 1);
        rows.add("  in the last 10 s", at_the_end, at_the_end > 0);
        rows.add("rotations", rotations, rotations >= least_rotations);
        rows.add("  with a fault", self.faults_of_long_term, true);
        rows.add(
            "panics survived",
            subscriber + recorder + issuer + clock + broken_pipe,
            true,
        );
        rows.add("  of the subscriber", subscriber, subscriber > 0);
        rows.add("  of the recorder", recorder, recorder > 0);
        rows.add(
            "  of the issuer",
            issuer,
            issuer > 0 || exchanges < fragile::ONE_CALL_OF,
        );
        rows.add("  of the clock", clock, clock > 0);
        rows.add("  of a log with a closed pipe", broken_pipe, true);
        rows.add("panics of the library", unexpected, unexpected == 0);
        rows.add("memory in KiB", memory, memory_is_flat);
        rows.add("tasks", tasks, tasks_are_flat);
        rows.add("all tokens revoked", clean, clean);
        rows.add("  still valid at the server", valid, valid == 0);
        rows.note(
            "first failure for another reason",
            self.tally.first_failure.get(),
        );
        rows.note("first panic of the library", first_unexpected);
        rows.judgement()
    }

    /// Returns how many exchanges have succeeded in the last ten seconds.
    fn exchanges_at_the_end(&self) -> u64 {
        let end = self.succeeded.last().copied().unwrap_or_default();
        let before = self.succeeded.iter().rev().nth(SECONDS_COMPARED);
        end - before.copied().unwrap_or_default()
    }
}

/// The figures, a line each.
#[derive(Default)]
struct Rows {
    text: String,
    some_are_wrong: bool,
}

impl Rows {
    fn add(&mut self, name: &str, value: impl Display, is_right: bool) {
        let verdict = if is_right { "" } else { "   <== FAILED" };
        let _ = writeln!(self.text, "{name:<30} {value}{verdict}");
        self.some_are_wrong |= !is_right;
    }

    fn note(&mut self, name: &str, text: Option<&String>) {
        if let Some(text) = text {
            let _ = writeln!(self.text, "\nThe {name}: {text}");
        }
    }

    fn judgement(mut self) -> (String, bool) {
        if !self.some_are_wrong {
            self.text += "\nAll checks passed.\n";
        }
        (self.text, !self.some_are_wrong)
    }
}

/// Returns the early and the late median of the samples, and whether the late one is higher by `noise` at most.
fn compare(samples: &[u64], noise: u64) -> (String, bool) {
    let (begin, length) = if samples.len() < 2 * STEADY_FROM {
        (0, samples.len() / 3)
    } else {
        (STEADY_FROM, SECONDS_COMPARED)
    };
    let early = median(samples.iter().skip(begin).take(length));
    let late = median(samples.iter().rev().take(length));
    match early.zip(late) {
        Some((early, late)) => (format!("{early}, then {late}"), late <= early + noise),
        None => ("not measured".to_owned(), true),
    }
}

fn median<'a>(samples: impl Iterator<Item = &'a u64>) -> Option<u64> {
    let mut samples: Vec<_> = samples.copied().collect();
    samples.sort_unstable();
    samples.get(samples.len() / 2).copied()
}

/// Returns the resident memory of the process; `None` where there is no `/proc`.
fn memory_kib() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let resident = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    resident.trim().strip_suffix("kB")?.trim().parse().ok()
}
