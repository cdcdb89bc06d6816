//! What a machine does next.

use super::action::{Action, SetAction};
use super::input::{Input, SetId};
use super::long_term::{Call, Next, Step};
use super::{Machine, Phase};
use crate::clock::{Moment, Now};
use crate::token::LongTermToken;

impl Machine {
    pub(crate) fn poll(&mut self, now: Now) -> Action {
        loop {
            if let Some((set, error, failure)) = self.failures_to_tell.pop_front() {
                self.handle(Input::Failed { set, failure }, now.at);
                return Action::Failed { set, error };
            }
            let wake = match self.next_of_sets(now.at) {
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
                    let served_until = self.sets.values().filter_map(|set| set.accepted_until());
                    let served_until = served_until.max().unwrap_or(now.at);
                    long_term.begin(set, served_until, now.at);
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
                sets.filter_map(|set| set.served_until(token, grace)).max()
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

    pub(super) fn next_of_sets(&mut self, now: Moment) -> SetAction {
        match &mut self.phase {
            Phase::Stopped => SetAction::Stop,
            Phase::Draining { begun: true, .. } => SetAction::Sleep(None),
            Phase::Draining { deadline, begun } => {
                *begun = true;
                SetAction::Drain {
                    deadline: *deadline,
                }
            }
            Phase::Running => self.poll_sets(now),
        }
    }

    fn poll_sets(&mut self, now: Moment) -> SetAction {
        let is_proving = self.is_proving(SetId::ROOT);
        let mut wake: Option<Moment> = None;
        let mut wake_at = |at: Moment| wake = Some(wake.map_or(at, |wake| wake.min(at)));
        if let Some((&id, &at)) = self.evicted.iter().min_by_key(|(_, at)| **at) {
            if at <= now {
                self.evicted.remove(&id);
                return SetAction::RevokeEvicted(id);
            }
            wake_at(at);
        }
        let mut idle = None;
        for (&id, set) in &mut self.sets {
            set.forget_released(self.policies.rotation.grace, now);
            if id != SetId::ROOT
                && let Some(at) = set.idle_at(&self.policies)
            {
                if at <= now {
                    idle = Some(id);
                    break;
                }
                wake_at(at);
            }
            if let Some(at) = set.publish_at(now) {
                if at <= now {
                    set.publish(now);
                    return SetAction::Publish(id);
                }
                wake_at(at);
            }
            let proving = id == SetId::ROOT && is_proving;
            if let Some(at) = set.next_attempt(&self.policies, proving, now) {
                if at <= now {
                    set.in_flight = true;
                    return SetAction::Exchange(id);
                }
                wake_at(at);
            }
        }
        match idle {
            Some(id) => {
                self.sets.remove(&id);
                self.end_holds();
                SetAction::Retire(id)
            }
            None => SetAction::Sleep(wake),
        }
    }
}
