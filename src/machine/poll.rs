//! What a machine does next.

use super::action::{Action, SetAction};
use super::input::{Input, SetId};
use super::long_term::{Call, Next, Step};
use super::set::SetState;
use super::{Machine, Phase};
use crate::clock::{Moment, Now};
use crate::policy::Policies;
use crate::token::LongTermToken;

/// Returns when a scope set was last used, as far as the machine has not been told.
type LastUse<'a> = &'a dyn Fn(SetId) -> Option<Moment>;

impl Machine {
    pub(crate) fn poll(&mut self, now: Now) -> Action {
        self.poll_with(now, &|_| None)
    }

    /// Like [`poll`](Self::poll). Before a scope set is closed, `last_use` is asked.
    pub(crate) fn poll_with(&mut self, now: Now, last_use: LastUse<'_>) -> Action {
        loop {
            if let Some((set, error, failure)) = self.failures_to_tell.pop_front() {
                self.handle(Input::Failed { set, failure }, now.at);
                return Action::Failed { set, error };
            }
            let wake = match self.next_of_sets_with(now.at, last_use) {
                SetAction::Exchange(set) => {
                    let within = self.policies.retry.exchange_timeout;
                    let Some(long_term) = &mut self.long_term else {
                        return Action::Exchange {
                            call: Call::default(),
                            set,
                            with: None,
                            within,
                        };
                    };
                    let served_until = if long_term.is_replaced_by_exchanges() {
                        let accepted = self.sets.values().filter_map(SetState::accepted_until);
                        accepted.max()
                    } else {
                        None
                    };
                    long_term.begin(set, served_until.unwrap_or(now.at), now.at);
                    continue;
                }
                SetAction::Sleep(wake) => wake,
                action => return Action::ForSet(action),
            };
            let Some(long_term) = &mut self.long_term else {
                return Action::Sleep(wake);
            };
            let grace = self.policies.rotation.grace;
            let served_until = |token: &LongTermToken| {
                let sets = self.sets.values();
                let until = sets.filter_map(|set| set.served_until(token, grace, now.at));
                until.max()
            };
            let next = long_term.next(now, &served_until);
            self.take_effects(now.at);
            return match next {
                Next::Sleep(until) => Action::Sleep(wake.into_iter().chain(until).min()),
                Next::Do(step) => self.action(step, now.at),
            };
        }
    }

    fn action(&mut self, step: Step, now: Moment) -> Action {
        match step {
            Step::Exchange {
                call,
                set,
                with,
                within,
            } => Action::Exchange {
                call,
                set,
                with: Some(with),
                within,
            },
            Step::Fail {
                set,
                error,
                failure,
            } => {
                self.handle(Input::Failed { set, failure }, now);
                Action::Failed { set, error }
            }
            Step::Accept(set) => Action::Accept(set),
            Step::Begin(call, task) => Action::Begin(call, task),
            Step::Release => Action::Release,
            Step::RevokeAuthority(token) => Action::RevokeAuthority(token),
            Step::Tell(event) => Action::Tell(event),
        }
    }

    #[cfg(test)]
    pub(super) fn next_of_sets(&mut self, now: Moment) -> SetAction {
        self.next_of_sets_with(now, &|_| None)
    }

    fn next_of_sets_with(&mut self, now: Moment, last_use: LastUse<'_>) -> SetAction {
        match &mut self.phase {
            Phase::Stopped => SetAction::Stop,
            Phase::Draining { begun: true, .. } => SetAction::Sleep(None),
            Phase::Draining { deadline, begun } => {
                *begun = true;
                SetAction::Drain {
                    deadline: *deadline,
                }
            }
            Phase::Running => self.poll_sets(now, last_use),
        }
    }

    fn poll_sets(&mut self, now: Moment, last_use: LastUse<'_>) -> SetAction {
        let mut wake: Option<Moment> = None;
        let mut wake_at = |at: Moment| wake = Some(wake.map_or(at, |wake| wake.min(at)));
        if let Some(&(at, id)) = self.evicted.front() {
            if at <= now {
                self.evicted.pop_front();
                return SetAction::RevokeEvicted(id);
            }
            wake_at(at);
        }
        let is_proving = self.is_proving(SetId::ROOT);
        self.look_at_changed(now);
        let root = next_of(
            SetId::ROOT,
            self.sets.root(),
            &self.policies,
            is_proving,
            now,
        );
        if let Some((at, next)) = root {
            if at <= now {
                return self.begin(SetId::ROOT, next, now);
            }
            wake_at(at);
        }
        while let Some((at, id)) = self.sets.first_due() {
            if now < at {
                wake_at(at);
                break;
            }
            let set = self.sets.get_mut(id);
            match set.and_then(|set| next_of(id, set, &self.policies, false, now)) {
                Some((at, NextOfSet::Close))
                    if at <= now && last_use(id).is_some_and(|at| self.sets.used(id, at)) => {}
                Some((at, next)) if at <= now => return self.begin(id, next, now),
                // No input has changed the scope set, but it is due later than recorded.
                _ => {}
            }
            self.look_at_changed(now);
        }
        SetAction::Sleep(wake)
    }

    /// Records when the scope sets that may have changed are due.
    fn look_at_changed(&mut self, now: Moment) {
        let policies = &self.policies;
        let grace = policies.rotation.grace;
        self.sets.root_mut().forget_released(grace, now);
        self.sets.update(|id, set| {
            set.forget_released(grace, now);
            next_of(id, set, policies, false, now).map(|(at, _)| at)
        });
    }

    /// Begins the action that is due for this scope set.
    fn begin(&mut self, id: SetId, next: NextOfSet, now: Moment) -> SetAction {
        match next {
            NextOfSet::Close => {
                self.sets.close(id);
                self.end_holds();
                SetAction::Retire(id)
            }
            NextOfSet::Publish => {
                self.with(id, |set, _| set.publish(now));
                SetAction::Publish(id)
            }
            NextOfSet::Exchange => {
                self.with(id, |set, _| set.in_flight = true);
                SetAction::Exchange(id)
            }
        }
    }
}

/// What is next for a scope set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NextOfSet {
    Close,
    Publish,
    Exchange,
}

/// Returns the next action for the scope set, and the earliest time of that action unless another input comes first.
fn next_of(
    id: SetId,
    set: &SetState,
    policies: &Policies,
    is_proving: bool,
    now: Moment,
) -> Option<(Moment, NextOfSet)> {
    let idle_at = (id != SetId::ROOT).then(|| set.idle_at(policies)).flatten();
    let exchange_at = set.next_attempt(policies, is_proving, now);
    let nexts = [
        (idle_at, NextOfSet::Close),
        (set.publish_at(now), NextOfSet::Publish),
        (exchange_at, NextOfSet::Exchange),
        (set.demand_opens_at(now), NextOfSet::Exchange),
    ];
    let nexts = nexts.into_iter().filter_map(|(at, next)| Some((at?, next)));
    // If several actions are due, the first in this list wins.
    nexts.min_by_key(|(at, _)| (*at).max(now))
}
