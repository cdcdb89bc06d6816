//! Outages: an exchange of a scope set has failed, and the set has no valid token.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use super::scope_set::ScopeSet;
use crate::clock::Moment;
use crate::error::Error;
use crate::machine::{Health, SetId};
use crate::observe::Event;

/// How long after the first outage began the first reminder follows. Each later pause is twice as long.
const FIRST_REMINDER: Duration = Duration::from_secs(30);
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// The outages of a provider, one for each scope set, and when the next reminder of them is due.
#[derive(Debug, Default)]
pub(crate) struct Outages {
    began: BTreeMap<SetId, Outage>,
    reminder: Option<Reminder>,
}

#[derive(Debug)]
struct Outage {
    since: Moment,
    /// How many exchanges of the set had ended before the first one that failed.
    attempts_before: u64,
    error: Error,
    is_idle: bool,
}

#[derive(Clone, Copy, Debug)]
struct Reminder {
    at: Moment,
    pause: Duration,
}

/// An open scope set at one moment.
#[derive(Debug)]
pub(crate) struct Observed<'a> {
    pub(crate) scope_set: &'a ScopeSet,
    pub(crate) health: Health,
    /// How many exchanges have ended.
    pub(crate) attempts: u64,
    pub(crate) last_error: Option<&'a Error>,
}

impl Outages {
    /// Returns the scope sets that are in an outage.
    pub(crate) fn sets(&self) -> impl Iterator<Item = SetId> {
        self.began.keys().copied()
    }

    /// Compares the scope sets that are in an outage, and those whose last exchange has failed, with the outages that
    /// observers were told of. Returns what to tell them, and when to compare again at the latest.
    pub(crate) fn observe<'a>(
        &mut self,
        sets: impl Iterator<Item = Observed<'a>>,
        now: Moment,
    ) -> (Vec<Event>, Option<Moment>) {
        let (mut events, mut next) = (Vec::new(), None::<Moment>);
        for set in sets {
            match self.began.entry(set.scope_set.id) {
                Entry::Occupied(outage) if set.health.has_valid_token => {
                    events.push(outage.remove().ended(&set, now));
                }
                Entry::Occupied(mut outage) => outage.get_mut().update(&set),
                Entry::Vacant(place) => {
                    let (Some(at), Some(error)) = (set.health.outage_at, set.last_error) else {
                        continue;
                    };
                    if set.health.is_idle {
                        continue;
                    }
                    if at <= now {
                        let outage = place.insert(Outage::of(&set, error, now));
                        events.push(outage.began(&set));
                    } else {
                        next = Some(next.map_or(at, |next| next.min(at)));
                    }
                }
            }
        }
        let (reminder, remind_at) = self.remind(now);
        events.extend(reminder);
        (events, next.into_iter().chain(remind_at).min())
    }

    /// Forgets the outage of a set that is closed.
    pub(crate) fn forget(&mut self, set: SetId) {
        self.began.remove(&set);
    }

    /// Returns the reminder that is due, and when the next one is, as long as a set that is in an outage is used.
    fn remind(&mut self, now: Moment) -> (Option<Event>, Option<Moment>) {
        if self.began.is_empty() {
            self.reminder = None;
        }
        let used = self.began.values().filter(|outage| !outage.is_idle);
        let scope_sets = used.clone().count();
        let Some(longest) = used.min_by_key(|outage| outage.since) else {
            return (None, None);
        };
        let due = self.reminder.filter(|reminder| reminder.at <= now);
        let next = match (self.reminder, due) {
            (Some(reminder), None) => reminder,
            (_, due) => {
                let pause = due.map_or(FIRST_REMINDER, |due| (due.pause * 2).min(LONGEST_PAUSE));
                let at = now + pause;
                Reminder { at, pause }
            }
        };
        self.reminder = Some(next);
        let told = due.map(|_| Event::OutageContinues {
            scope_sets,
            lasted: now.since(longest.since),
            error: longest.error.clone(),
        });
        (told, Some(next.at))
    }
}

impl Outage {
    fn of(set: &Observed<'_>, error: &Error, now: Moment) -> Self {
        Self {
            since: now,
            attempts_before: set.attempts.saturating_sub(set.health.failures.into()),
            error: error.clone(),
            is_idle: set.health.is_idle,
        }
    }

    fn update(&mut self, set: &Observed<'_>) {
        self.is_idle = set.health.is_idle;
        if let Some(error) = set.last_error {
            self.error = error.clone();
        }
    }

    fn began(&self, set: &Observed<'_>) -> Event {
        Event::OutageBegan {
            scopes: Arc::clone(&set.scope_set.scopes),
            error: self.error.clone(),
            failures: set.health.failures,
        }
    }

    fn ended(&self, set: &Observed<'_>, now: Moment) -> Event {
        Event::OutageEnded {
            scopes: Arc::clone(&set.scope_set.scopes),
            attempts: set.attempts.saturating_sub(self.attempts_before),
            lasted: now.since(self.since),
        }
    }
}
