//! How the tasks end, and what that changes.

mod failures;
mod store;
mod tokens;

use std::time::Duration;

use super::lease::LeaseState;
use super::task::{Call, Kind, Outcome, Purpose, Step, Task};
use super::{Durability, LongTerm, Running};
use crate::clock::Now;
use crate::error::{Error, ErrorKind};

/// How often in a row a write is tried again at once that another process has overtaken.
const MOST_CONFLICTS: u32 = 5;

impl LongTerm {
    /// Returns whether this task is in progress.
    pub(crate) fn is_in_progress(&self, call: Call) -> bool {
        self.running
            .as_ref()
            .is_some_and(|running| running.call == call)
    }

    /// Handles the outcome of a task. A token that an interrupted task has obtained is kept or revoked, not forgotten.
    pub(crate) fn ended(&mut self, call: Call, outcome: Result<Outcome, Error>, now: Now) {
        let Some(running) = self.running.take_if(|running| running.call == call) else {
            match outcome {
                Ok(Outcome::Obtained(token)) => self.retire_late(token, Duration::ZERO, now),
                Ok(Outcome::Authorized(token, replacement)) => {
                    self.used_authorities.push(token);
                    if let Some(replacement) = replacement {
                        self.retire_late(replacement, Duration::ZERO, now);
                    }
                }
                _ => {}
            }
            return;
        };
        let kind = match running.task {
            Task::Load | Task::Lease { .. } | Task::Renew { .. } => Some(Kind::Read),
            Task::Save { .. } => Some(Kind::Write),
            Task::Revoke(_) => Some(Kind::Revocation),
            // A rotation succeeds when the next token is proven, and a grant when its token is.
            Task::Authorize { .. } | Task::Ask { .. } | Task::Obtain { .. } => None,
        };
        match outcome {
            Ok(outcome) => {
                if let Some(kind) = kind {
                    self.backoffs.succeeded(kind);
                }
                self.succeeded(*running, outcome, now);
            }
            Err(error) => {
                if let Task::Save { record, .. } = &running.task
                    && running.makes_next_current
                    && error.kind() != ErrorKind::Conflict
                {
                    self.unconfirmed = Some(record.current().clone());
                    self.mark_outdated();
                }
                self.failed(running.task, error, now);
            }
        }
    }

    fn succeeded(&mut self, running: Running, outcome: Outcome, now: Now) {
        match (running.task, outcome) {
            (Task::Load, Outcome::Loaded(stored)) => {
                self.loaded(stored, now);
                if running.has_store_changed {
                    self.mark_outdated();
                }
            }
            (Task::Save { record, .. }, Outcome::Saved(version)) => {
                self.conflicts = 0;
                self.store_error = None;
                self.unconfirmed = None;
                self.note_stored(&record);
                if self.revision != running.revision {
                    // It has changed since, so the next write replaces this one.
                    self.durability = Durability::Unstored {
                        over: Some(version),
                        is_set_by_caller: self.is_set_by_caller(),
                    };
                    return;
                }
                if running.makes_next_current {
                    let before = self.record.clone();
                    self.set(record, now);
                    if let Some(before) = before {
                        self.refresh_superseded(&before);
                        self.rotated(before);
                    }
                }
                self.unwritten.clear();
                self.durability = Durability::Stored(version);
            }
            (Task::Lease { .. } | Task::Renew { .. }, Outcome::Leased(is_granted)) => {
                self.leased(is_granted, now);
            }
            (Task::Authorize { with }, Outcome::Authorized(token, replacement)) => {
                self.authorized(&with, token, replacement, now);
            }
            (Task::Ask { with, after }, Outcome::Obtained(token)) => {
                self.asked(&with, &after, token, now);
            }
            (Task::Obtain { purpose, after }, Outcome::Obtained(token)) => match purpose {
                Purpose::Rotate => self.obtained(after.as_ref(), token, now),
                Purpose::Recover => self.recovered(after.as_ref(), token, now),
            },
            (Task::Revoke(token), Outcome::Revoked) => self.forget_retiring(&token, now),
            // No other outcome belongs to a task.
            _ => {}
        }
    }

    fn failed(&mut self, task: Task, error: Error, now: Now) {
        match task {
            Task::Save { .. } if error.kind() == ErrorKind::Conflict => {
                self.mark_outdated();
                if self.lease.is_held() {
                    // The process that has written may have the lease now.
                    self.pending.push_back(Step::Release);
                    self.lease = LeaseState::Free;
                }
                self.conflicts += 1;
                if self.conflicts > MOST_CONFLICTS {
                    self.store_failed(Kind::Write, error, now);
                }
            }
            Task::Save { .. } => self.store_failed(Kind::Write, error, now),
            Task::Load => {
                self.failed_readings += 1;
                self.store_failed(Kind::Read, error, now);
                if self.lease.is_held() {
                    self.pending.push_back(Step::Release);
                    self.give_up_lease();
                }
            }
            Task::Lease { .. } => {
                self.store_failed(Kind::Read, error, now);
                self.give_up_lease();
            }
            Task::Renew { .. } => {
                self.store_failed(Kind::Read, error, now);
                self.pending.push_back(Step::Release);
                self.lease = LeaseState::Free;
            }
            Task::Authorize { .. } => self.request_failed(error, now),
            Task::Ask { with, .. } => self.ask_failed(&with, error, now),
            Task::Obtain { purpose, .. } => {
                self.note_pause(&error, None, now);
                if purpose == Purpose::Rotate {
                    self.rotation_failed(error, now);
                } else {
                    for attempt in self.attempts.values_mut().filter(|it| it.has_obtained) {
                        attempt.search_error = Some(error.clone());
                    }
                }
            }
            Task::Revoke(token) => {
                let lives = token.expires_at().is_none_or(|ends_at| ends_at > now.wall);
                if error.is_retryable() && lives {
                    let policy = &self.setup.policies.rotation;
                    (self.backoffs).failed(policy, Kind::Revocation, &error, None, now.at);
                    self.revoke_last(&token);
                } else {
                    self.forget_retiring(&token, now);
                }
            }
        }
    }
}
