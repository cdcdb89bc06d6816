//! The calm after a history: all calls succeed.

use std::time::Duration;

use super::{Play, Turn};
use crate::clock::Moment;
use crate::machine::input::SetId;
use crate::machine::long_term::properties::world::Fault;

/// How long after the history all calls succeed.
const CALM: Duration = Duration::from_secs(3 * 60 * 60);

impl Play {
    /// From now on all calls succeed, and all scope sets need tokens.
    pub(in crate::machine::long_term::properties) fn calm_down(&mut self) {
        let until = self.now.at + CALM;
        for process in &mut self.processes {
            process.tokens = 0;
            process.retry_at = self.now.at;
        }
        self.log.push("--- calm".to_owned());
        for _ in 0..20_000 {
            let mut wake = until;
            for at in 0..self.processes.len() {
                if self.is_stopped(at) {
                    continue;
                }
                let process = &mut self.processes[at];
                if std::mem::replace(&mut process.told_version, self.world.version)
                    != self.world.version
                {
                    process.rules.store_changed();
                }
                let needs_one = process.tokens == 0 || process.rules.is_proving();
                let mut sets: Vec<SetId> = process.wanted.iter().copied().collect();
                sets.extend(needs_one.then_some(SetId::ROOT));
                if process.retry_at <= self.now.at && !sets.is_empty() {
                    process.retry_at = self.now.at + Duration::from_secs(30);
                    for set in sets {
                        process.need(set, self.now);
                    }
                }
                if let Some(at_latest) = self.run(at) {
                    wake = wake.min(at_latest);
                }
                let process = &self.processes[at];
                if process.tokens == 0 || process.rules.is_proving() || !process.wanted.is_empty() {
                    wake = wake.min(process.retry_at);
                }
            }
            if self.now.at >= until {
                return;
            }
            self.pass(wake.since(self.now.at).max(Duration::from_millis(1)));
        }
        panic!("never at rest\n{}", self.story());
    }

    /// Lets a process act, and answers its calls at once, until it sleeps. Returns when it wakes.
    fn run(&mut self, at: usize) -> Option<Moment> {
        for _ in 0..300 {
            if !self.processes[at].calls.is_empty() {
                self.answer(at, 0);
            } else if let Turn::Asleep(until) = self.act(at, Fault::None) {
                if let Some(until) = until {
                    assert!(until > self.now.at, "wakes at once\n{}", self.story());
                }
                return until;
            }
        }
        panic!("never sleeps\n{}", self.story());
    }
}
