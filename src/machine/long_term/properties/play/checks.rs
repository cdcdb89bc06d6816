//! What must hold of each step, and at the end.

use super::Play;
use super::story::{named, named_record, named_task};
use crate::machine::input::SetId;
use crate::machine::long_term::lease::LeaseState;
use crate::machine::long_term::properties::process::Process;
use crate::machine::long_term::properties::world::{Old, long_term, number};
use crate::machine::long_term::task::{Purpose, Step, Task};
use crate::machine::long_term::{Durability, Reading, Recovers};
use crate::store::{Record, Rotation};
use crate::token::LongTermToken;

impl Play {
    /// Checks what must hold of each step.
    pub(super) fn check(&self, at: usize, step: &Step) {
        let process = &self.processes[at];
        let is_alone = self.processes.len() == 1;
        let stored = self.world.stored.as_ref().map(|(record, _)| record);
        let has_lease = self.has_lease(at);
        let told = |what: &str| format!("{what}: {}\n{}", named(step), self.story());
        match step {
            Step::Begin(_, Task::Revoke(token)) => {
                let has_lease = self.world.lease == Some(at) || !self.beginning.is_shared();
                assert!(has_lease, "{}", told("revokes without the lease"));
                let is_provided = self.provided.contains(&number(token));
                let is_rotated = self.world.rotated.contains(&number(token));
                assert!(
                    !is_provided || is_rotated,
                    "{}",
                    told("revokes what a person has provided")
                );
                let is_used = |record: &Record| {
                    record.current().reads_like(token)
                        || record
                            .next()
                            .is_some_and(|next| next.token.reads_like(token))
                };
                assert!(
                    !(is_alone && stored.is_some_and(is_used)),
                    "{}",
                    told("revokes a token in use")
                );
            }
            Step::Begin(_, Task::Ask { with, .. }) => {
                assert!(has_lease, "{}", told("asks without the lease"));
                let is_stored = stored.is_some_and(|record| {
                    record
                        .rotation
                        .asking_with()
                        .is_some_and(|it| it.reads_like(with))
                });
                assert!(
                    !is_alone || self.other_hands || is_stored,
                    "{}",
                    told("asks with what is not stored")
                );
            }
            Step::Begin(_, Task::Obtain { purpose, .. }) => {
                assert!(
                    has_lease || *purpose == Purpose::Recover,
                    "{}",
                    told("asks without the lease")
                );
            }
            Step::Exchange { set, with, .. } => self.check_exchange(at, *set, with, &told),
            _ => {}
        }
        let is_quiet = matches!(
            step,
            Step::Begin(_, Task::Load | Task::Save { .. })
                | Step::Fail { .. }
                | Step::Release
                | Step::RevokeAuthority(_)
                | Step::Tell(_)
        );
        assert!(
            !process.is_draining || is_quiet,
            "{}",
            told("begins after the shutdown")
        );
    }

    /// No revocation ends a token that callers get, also where it ends what was minted from it.
    pub(super) fn check_served(&self, good: &[u32], by: &Task) {
        for short in good {
            assert!(
                self.world.is_alive(*short),
                "{} ends st-{short}, which callers get\n{}",
                named_task(by),
                self.story()
            );
        }
    }

    fn has_lease(&self, at: usize) -> bool {
        let lease = self.processes[at].rules.lease;
        !self.beginning.is_shared()
            || matches!(
                lease,
                LeaseState::Held { is_read: true, .. } | LeaseState::GivenUp
            )
    }

    fn check_exchange(
        &self,
        at: usize,
        set: SetId,
        with: &LongTermToken,
        told: &dyn Fn(&str) -> String,
    ) {
        let process = &self.processes[at];
        let rules = &process.rules;
        let is_alone = self.processes.len() == 1;
        let stored = self.world.stored.as_ref().map(|(record, _)| record);
        if let Some(handed_in) = process.handed_in.filter(|_| is_alone) {
            assert!(
                number(with) >= handed_in,
                "{}",
                told("goes back behind a handed-in token")
            );
        }
        let is_stored = stored.is_some_and(|record| record.tokens().any(|it| it.reads_like(with)));
        let is_next = rules.next_token().is_some_and(|next| next.reads_like(with));
        let is_current_refused = rules.attempts.get(&set).is_some_and(|it| {
            rules
                .current()
                .is_some_and(|current| it.has_refused(current))
        });
        assert!(
            !is_alone || self.other_hands || !is_next || is_stored || is_current_refused,
            "{}",
            told("exchanges a next token that is not stored")
        );
        if self.beginning.behaviour.replaces {
            assert!(
                self.has_lease(at),
                "{}",
                told("exchanges without the lease")
            );
            assert!(
                !is_alone || self.other_hands || is_stored,
                "{}",
                told("exchanges a token that is not stored")
            );
        }
    }

    /// Checks what must hold at the end.
    pub(in crate::machine::long_term::properties) fn check_the_end(&self) {
        let recovers = self.beginning.recovers == Some(Recovers::WithGrant);
        // A person has to come where a person has taken the stored token away, and no grant can help.
        let needs_a_person = !recovers && self.other_hands;
        // Two processes have requested the next token: a holder of the lease that was stopped between two calls and went on,
        // or one without the lease, where the store grants none.
        let may_split = self.beginning.stops || self.asked_alone;
        let is_split = may_split && self.beginning.behaviour.old != Old::Lives;
        for process in self.processes.iter().filter(|it| !it.is_stopped) {
            if process.is_draining {
                self.check_saved(process);
                continue;
            }
            assert!(
                process.tokens > 0 || needs_a_person || is_split && !recovers,
                "there is no token: {:?}, alive {:?}\n{:?}\n{}",
                self.beginning,
                self.world.alive,
                process.rules,
                self.story()
            );
        }
        let mut holder = self.world.lease.iter();
        assert!(
            holder.all(|at| self.processes[*at].is_stopped),
            "the lease is held at rest\n{}",
            self.story()
        );
        let is_alone = self.processes.len() == 1;
        for process in self
            .processes
            .iter()
            .filter(|it| is_alone && !it.is_stopped)
        {
            self.check_saved(process);
        }
        let is_whole = self.crashes == 0 && !self.other_hands && !self.beginning.stops;
        let mut processes = self.processes.iter();
        if is_whole && processes.all(|it| !it.is_draining) {
            self.check_known();
        }
    }

    /// At rest, the store holds the record.
    fn check_saved(&self, process: &Process) {
        let rules = &process.rules;
        if rules.reading == Reading::Never || rules.record.is_none() {
            return;
        }
        let ours = rules.record.as_ref().map(named_record);
        let stored = self.world.stored.as_ref();
        let stored = stored.map(|(record, _)| named_record(record));
        // A shutdown does not read the store.
        let is_written =
            process.is_draining && !matches!(rules.durability, Durability::Unstored { .. });
        assert!(
            is_written || ours == stored,
            "not stored at rest: {rules:?}\n{}",
            self.story()
        );
    }

    /// No token that was obtained is forgotten, but for those in answers that were lost, and the superseded ones are
    /// revoked. One that the server has refused although it is valid, and that another process has obtained, is tried
    /// again.
    fn check_known(&self) {
        let Some((record, _)) = &self.world.stored else {
            return;
        };
        let is_settled = matches!(record.rotation, Rotation::Settled);
        for token in &self.world.alive {
            let text = long_term(*token, self.now).token;
            let is_tried_again = self.processes.iter().any(|it| it.rules.is_fallback(&text));
            let is_kept =
                is_tried_again || self.world.lost.contains(token) || self.provided.contains(token);
            let is_known = record.tokens().any(|it| number(it) == *token);
            assert!(
                is_kept || is_known,
                "{token} is forgotten\n{}",
                self.story()
            );
            let is_current = number(record.current()) == *token;
            let is_revoked = is_current || !is_settled;
            assert!(
                is_kept || is_revoked,
                "{token} is not revoked\n{}",
                self.story()
            );
        }
    }
}
