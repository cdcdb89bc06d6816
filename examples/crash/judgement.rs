//! The counts of a run, and whether a token was lost.

use std::collections::BTreeMap;
use std::fmt;

use everbearer::testkit::{AuthServer, TokenKind};

pub(crate) struct Judgement {
    name: &'static str,
    pub(crate) restarts: u32,
    kills: u32,
    /// The number of kills, by the state of the journal at that moment.
    crash_points: BTreeMap<&'static str, u32>,
    pub(crate) lost: u32,
    rotations: u64,
    left_alive: usize,
}

impl Judgement {
    pub(crate) fn new(name: &'static str) -> Self {
        Self {
            name,
            restarts: 0,
            kills: 0,
            crash_points: BTreeMap::new(),
            lost: 0,
            rotations: 0,
            left_alive: 0,
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

    /// Counts the long-term tokens that are valid besides the one in the file.
    pub(crate) fn note_end(&mut self, server: &AuthServer, file: &str) {
        self.rotations = server.counts().long_term_issued - 1;
        self.left_alive = server
            .tokens()
            .iter()
            .filter(|token| token.kind == TokenKind::LongTerm && server.is_live(&token.token_id))
            .filter(|token| !file.contains(&token.token_id))
            .count();
    }

    pub(crate) fn is_well(&self) -> bool {
        self.lost == 0 && self.left_alive == 0
    }
}

impl fmt::Display for Judgement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.name)?;
        writeln!(
            f,
            "  kills                                    {:>6}",
            self.kills
        )?;
        for (point, times) in &self.crash_points {
            writeln!(f, "    {point:<54} {times:>6}")?;
        }
        writeln!(
            f,
            "  restarts without manual intervention     {:>6}",
            self.restarts
        )?;
        writeln!(
            f,
            "  long-term tokens the server issued       {:>6}",
            self.rotations
        )?;
        writeln!(
            f,
            "  tokens lost                              {:>6}",
            self.lost
        )?;
        writeln!(
            f,
            "  tokens not revoked after the grace       {:>6}",
            self.left_alive
        )
    }
}
