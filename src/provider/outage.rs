//! Outages: an exchange of a scope set has failed, and the set has no valid token.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::lane::Lane;
use crate::clock::Moment;
use crate::error::Error;
use crate::machine::LaneId;
use crate::observe::Happening;

/// How long after the first outage began the first reminder follows. Each later pause is twice as long.
const FIRST_REMINDER: Duration = Duration::from_secs(30);
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// The outages of a provider, one for each scope set, and when the next reminder of them is due.
#[derive(Debug, Default)]
pub(super) struct Outages {
    began: HashMap<LaneId, Outage>,
    reminder: Option<Reminder>,
}

#[derive(Debug)]
struct Outage {
    since: Moment,
    /// How many exchanges of the set had ended before the first one that failed.
    attempts_before: u64,
    error: Error,
}

#[derive(Clone, Copy, Debug)]
struct Reminder {
    at: Moment,
    pause: Duration,
}

/// An open scope set at one moment.
#[derive(Debug)]
pub(super) struct Observed<'a> {
    pub(super) lane: &'a Lane,
    pub(super) has_valid_token: bool,
    /// When its outage begins unless an exchange succeeds, which may be in the past; `None` if the last
    /// exchange succeeded.
    pub(super) outage_at: Option<Moment>,
    /// How many exchanges have ended.
    pub(super) attempts: u64,
    /// How many exchanges in a row have failed.
    pub(super) failures: u32,
    pub(super) last_error: Option<&'a Error>,
}

impl Outages {
    /// Compares the open scope sets with the outages that observers were told of. Returns what to tell them,
    /// and when to compare again at the latest.
    pub(super) fn observe<'a>(
        &mut self,
        open: impl Iterator<Item = Observed<'a>>,
        now: Moment,
    ) -> (Vec<Happening>, Option<Moment>) {
        let (mut happenings, mut next) = (Vec::new(), None::<Moment>);
        // The outages of sets that are closed by now are dropped with the old map.
        let mut before = std::mem::take(&mut self.began);
        for set in open {
            let id = set.lane.id;
            if let Some(outage) = before.remove(&id) {
                if set.has_valid_token {
                    happenings.push(outage.ended(&set, now));
                } else {
                    self.began.insert(id, outage.with_error(set.last_error));
                }
            } else if let Some((at, error)) = set.outage_at.zip(set.last_error) {
                if at <= now {
                    let outage = Outage {
                        since: now,
                        attempts_before: set.attempts.saturating_sub(set.failures.into()),
                        error: error.clone(),
                    };
                    happenings.push(outage.began(&set));
                    self.began.insert(id, outage);
                } else {
                    next = Some(next.map_or(at, |next| next.min(at)));
                }
            }
        }
        happenings.extend(self.remind(now));
        let remind_at = self.reminder.map(|reminder| reminder.at);
        (happenings, next.into_iter().chain(remind_at).min())
    }

    /// Returns the reminder that is due, and schedules the next one.
    fn remind(&mut self, now: Moment) -> Option<Happening> {
        let Some(longest) = self.began.values().min_by_key(|outage| outage.since) else {
            self.reminder = None;
            return None;
        };
        let due = self.reminder.filter(|reminder| reminder.at <= now);
        if due.is_some() || self.reminder.is_none() {
            let pause = due.map_or(FIRST_REMINDER, |due| (due.pause * 2).min(LONGEST_PAUSE));
            let at = now + pause;
            self.reminder = Some(Reminder { at, pause });
        }
        due.map(|_| Happening::OutageContinues {
            scope_sets: self.began.len(),
            lasted: now.since(longest.since),
            error: longest.error.clone(),
        })
    }
}

impl Outage {
    fn began(&self, set: &Observed<'_>) -> Happening {
        Happening::OutageBegan {
            scopes: Arc::clone(&set.lane.scopes),
            error: self.error.clone(),
            failures: set.failures,
        }
    }

    fn ended(&self, set: &Observed<'_>, now: Moment) -> Happening {
        Happening::OutageEnded {
            scopes: Arc::clone(&set.lane.scopes),
            attempts: set.attempts.saturating_sub(self.attempts_before),
            lasted: now.since(self.since),
        }
    }

    fn with_error(mut self, error: Option<&Error>) -> Self {
        if let Some(error) = error {
            self.error = error.clone();
        }
        self
    }
}
