//! The counts of a run, and whether they are right.

use std::collections::BTreeMap;
use std::fmt::{self, Display};

use everbearer::testkit::{AuthServer, Counts, TokenKind};

use super::servers::{Behaviour, Faults};

pub(crate) struct Judgement {
    behaviour: &'static Behaviour,
    pub(crate) restarts: u32,
    /// The starts that failed while the server did, and succeeded when it did not.
    pub(crate) failed_starts: u32,
    kills: u32,
    /// The number of kills, by the state of the journal at that moment.
    crash_points: BTreeMap<&'static str, u32>,
    pub(crate) lost: u32,
    left_alive: usize,
    revoked: usize,
    counts: Counts,
}

/// Returns how many long-term tokens are valid besides this one.
pub(crate) fn others_alive(server: &AuthServer, current: &str) -> usize {
    let tokens = server.tokens();
    let others = tokens
        .iter()
        .filter(|it| it.kind == TokenKind::LongTerm && it.token_id != current);
    others.filter(|it| server.is_live(&it.token_id)).count()
}

impl Judgement {
    pub(crate) fn new(behaviour: &'static Behaviour) -> Self {
        Self {
            behaviour,
            restarts: 0,
            failed_starts: 0,
            kills: 0,
            crash_points: BTreeMap::new(),
            lost: 0,
            left_alive: 0,
            revoked: 0,
            counts: Counts::default(),
        }
    }

    pub(crate) fn note_kill(&mut self, file: &str) {
        self.kills += 1;
        let point = if file.contains("\"next\"") {
            "the next token is stored and not yet proven"
        } else if file.contains("\"asking_with\"") {
            "the next token is requested and not yet stored"
        } else if file.contains("\"retiring\"") {
            "the next token is in use, the old one not yet revoked"
        } else {
            "between two rotations"
        };
        *self.crash_points.entry(point).or_default() += 1;
    }

    /// Notes the state at the end, when `current` is the token in use.
    pub(crate) fn note_end(&mut self, server: &AuthServer, current: &str) {
        self.lost += u32::from(!server.is_live(current));
        self.left_alive = others_alive(server, current);
        let tokens = server.tokens();
        let revoked = tokens
            .iter()
            .filter(|it| it.kind == TokenKind::LongTerm && it.revoked);
        self.revoked = revoked.count();
        self.counts = server.counts();
    }

    pub(crate) fn is_well(&self) -> bool {
        self.rows().iter().all(|row| row.is_right)
    }

    fn rows(&self) -> Vec<Row> {
        let jobs = &self.counts.jobs_outcomes;
        let rotations = self.counts.long_term_issued - 1;
        let mut rows = vec![Row::right("kills", self.kills)];
        for (point, times) in &self.crash_points {
            rows.push(Row::right(format!("  {point}"), times));
        }
        // A gateway's third 401 in a row counts as a refusal.
        let may_fail = match self.behaviour.faults {
            Faults::Gateway => self.kills.div_ceil(20),
            Faults::None | Faults::LostResponses => 0,
        };
        let failed = self.failed_starts;
        let others = jobs.expired + jobs.without_token + jobs.invalid + jobs.forbidden;
        let repeated = self.counts.exchanges_repeated;
        let repeats = self.behaviour.repeats;
        rows.extend([
            Row::right("restarts without manual intervention", self.restarts),
            Row::new(
                "starts that failed while the server did",
                failed,
                failed <= may_fail,
            ),
            Row::new("long-term tokens issued", rotations, rotations > 0),
            Row::new("long-term tokens revoked", self.revoked, self.revoked > 0),
            Row::new(
                "exchanges that returned a token again",
                repeated,
                (repeated > 0) == repeats,
            ),
            Row::new("requests served", jobs.served, jobs.served > 0),
            Row::new(
                "requests with a revoked token",
                jobs.revoked,
                jobs.revoked == 0,
            ),
            Row::new("requests that were refused otherwise", others, others == 0),
            Row::new("tokens lost", self.lost, self.lost == 0),
            Row::new("tokens not revoked", self.left_alive, self.left_alive == 0),
        ]);
        rows
    }
}

struct Row {
    name: String,
    value: String,
    is_right: bool,
}

impl Row {
    fn new(name: impl Into<String>, value: impl Display, is_right: bool) -> Self {
        Self {
            name: name.into(),
            value: value.to_string(),
            is_right,
        }
    }

    /// A count without a bound.
    fn right(name: impl Into<String>, value: impl Display) -> Self {
        Self::new(name, value, true)
    }
}

impl Display for Judgement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.behaviour.name, self.behaviour.title)?;
        for row in self.rows() {
            let verdict = if row.is_right { "" } else { "   <== FAILED" };
            writeln!(f, "  {:<56} {:>6}{verdict}", row.name, row.value)?;
        }
        Ok(())
    }
}
