//! Drives a machine, and checks the invariants after each step.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::super::*;
use super::given::{Answer, Newer, Step};

/// Drives a machine and checks the invariants.
pub(super) struct Play {
    pub(super) machine: Machine,
    pub(super) now: Moment,
    pub(super) in_flight: BTreeSet<SetId>,
    generations: BTreeMap<SetId, Generation>,
    highest: Generation,
    /// When each exchange of the scope set began.
    begun: BTreeMap<SetId, Vec<Moment>>,
    /// Until when callers need a token of the scope set.
    needed: BTreeMap<SetId, Moment>,
    evicted: BTreeSet<SetId>,
    /// How many exchanges returned the scope set's token in use again within its life.
    repetitions: BTreeMap<SetId, u32>,
    /// When an exchange of the scope set last returned the token in use again.
    repeated_at: BTreeMap<SetId, Moment>,
    /// Scope sets whose last failure was terminal, and which may keep a pause that the server requested.
    locked_out: BTreeSet<SetId>,
    /// The latest possible end of the scope set's token, if there is an upper bound of its life.
    latest_end: BTreeMap<SetId, Moment>,
    shut_down: bool,
}

impl Play {
    pub(super) fn new(policies: Policies, seed: u64) -> Self {
        let now = Moment::from_origin(Duration::from_secs(1_000));
        Self {
            machine: Machine::new(policies.into(), None, seed, now),
            now,
            in_flight: BTreeSet::new(),
            generations: BTreeMap::new(),
            highest: Generation(0),
            begun: BTreeMap::new(),
            needed: BTreeMap::new(),
            evicted: BTreeSet::new(),
            repetitions: BTreeMap::new(),
            repeated_at: BTreeMap::new(),
            locked_out: BTreeSet::new(),
            latest_end: BTreeMap::new(),
            shut_down: false,
        }
    }

    pub(super) fn step(&mut self, after: Duration, step: Step) {
        self.now = self.now + after;
        match step {
            Step::Pass => {}
            Step::Land(set, answer) => self.land(set_of(set), answer),
            Step::Demand(set, newer) => {
                let set = self.open(set);
                let demand = match newer {
                    Newer::Due => Demand::Refresh,
                    newer => Demand::NewerThan(self.generation(set, newer)),
                };
                self.machine
                    .handle(Input::Demanded { set, demand }, self.now);
            }
            Step::Deny(set, newer) => {
                let set = set_of(set);
                let generation = self.generation(set, newer);
                self.machine
                    .handle(Input::Denied { set, generation }, self.now);
            }
            Step::Use(set) => self.machine.handle(Input::Used(set_of(set)), self.now),
            Step::Outlast(set) => {
                let set = set_of(set);
                let generation = self.generation(set, Newer::Present);
                self.machine
                    .handle(Input::Outlasted { set, generation }, self.now);
            }
            Step::Need(set, duration) => self.need(set_of(set), self.now + duration),
            Step::Evict => {
                if let Some(set) = self.machine.evict(self.now) {
                    self.check_closed(set);
                    self.evicted.insert(set);
                }
            }
            Step::Renew { keeps_pauses } => {
                if !keeps_pauses {
                    self.locked_out.clear();
                }
                self.machine.renew(keeps_pauses, self.now);
            }
            Step::Interrupt => {
                self.in_flight.clear();
                self.machine.handle(Input::Interrupted, self.now);
            }
            Step::ShutDown => {
                let deadline = self.now + Duration::from_secs(5);
                self.shut_down = true;
                self.machine.handle(Input::ShutDown { deadline }, self.now);
            }
            Step::Drained => self.machine.handle(Input::Drained, self.now),
        }
        self.act();
    }

    fn need(&mut self, set: SetId, until: Moment) {
        self.machine.handle(Input::Needed { set, until }, self.now);
        if self.machine.is_open(set) && !self.shut_down {
            let needed = self.needed.entry(set).or_insert(until);
            *needed = until.max(*needed);
        }
    }

    fn open(&mut self, set: u8) -> SetId {
        let set = set_of(set);
        if !self.machine.is_open(set) && self.machine.has_room() {
            self.machine.handle(Input::Opened(set), self.now);
        }
        set
    }

    fn generation(&self, set: SetId, newer: Newer) -> Generation {
        let present = self.machine.window(set).map(|it| it.generation);
        match newer {
            Newer::Due | Newer::Any => Generation(0),
            Newer::Present => present.unwrap_or_default(),
            Newer::Past => Generation(present.unwrap_or_default().0.saturating_sub(1)),
        }
    }

    fn land(&mut self, set: SetId, answer: Answer) {
        if !self.in_flight.remove(&set) {
            return;
        }
        let before = self.machine.window(set);
        let (life, settling) = match answer {
            Answer::Token(life) | Answer::Again(life, _) => (life, Duration::ZERO),
            Answer::Unsettled(life, settling) => (life, settling),
            Answer::Transient(retry_after) => {
                return self.fail(set, Failure::Transient { retry_after }, before);
            }
            Answer::Terminal(retry_after) => {
                return self.fail(set, Failure::Terminal { retry_after }, before);
            }
        };
        let brought = Brought {
            sent: *self.begun.get(&set).unwrap().last().unwrap(),
            life,
            settling,
            is_repeated: matches!(answer, Answer::Again(..)),
            at_most: match answer {
                Answer::Again(_, at_most) => at_most,
                _ => None,
            },
        };
        let accepted = self.machine.exchanged(set, brought, self.now);
        if self.shut_down {
            return assert_eq!(accepted, None, "nothing is accepted after the shutdown");
        }
        let after = self.machine.window(set);
        match accepted.unwrap() {
            Accepted::Now(window) => {
                assert_eq!(after, Some(window));
                self.check_acceptance(set, window);
            }
            Accepted::Later(window) => {
                assert_eq!(after, before, "the present token stays");
                assert!(before.is_some_and(|present| self.now < present.usable_until));
                self.check_acceptance(set, window);
            }
            Accepted::Again(window) => {
                assert_eq!(after, Some(window));
                self.check_again(set, before.unwrap(), window, brought);
            }
            Accepted::Expired => {
                if brought.is_repeated && before.is_some() {
                    self.repeated_at.insert(set, self.now);
                }
                return self.check_failure(set, before);
            }
        }
        assert_eq!(self.machine.failures(set), 0);
        assert!(!self.machine.is_refused(set));
        self.locked_out.remove(&set);
    }

    fn fail(&mut self, set: SetId, failure: Failure, before: Option<Window>) {
        if matches!(failure, Failure::Terminal { .. }) {
            self.locked_out.insert(set);
        } else {
            self.locked_out.remove(&set);
        }
        self.machine
            .handle(Input::Failed { set, failure }, self.now);
        self.check_failure(set, before);
    }

    /// Checks a repeated token: it keeps its generation, is served to its end, and few exchanges follow.
    fn check_again(&mut self, set: SetId, before: Window, window: Window, brought: Brought) {
        assert_eq!(window.generation, before.generation);
        assert!(window.usable_until <= window.ends_at && self.now < window.refresh_at);
        if let Some(at_most) = brought.at_most {
            let latest_end = brought.sent + at_most;
            let earliest = self.latest_end.entry(set).or_insert(latest_end);
            *earliest = latest_end.min(*earliest);
            assert!(window.ends_at <= *earliest, "it outlives its upper bound");
        }
        self.repeated_at.insert(set, self.now);
        let gained = window.ends_at.since(before.ends_at);
        let begins_anew = gained * 2 >= window.ends_at.since(self.now);
        if begins_anew {
            self.repetitions.remove(&set);
            return;
        }
        assert_eq!(
            window.usable_until, window.ends_at,
            "it is served to its end"
        );
        let repetitions = self.repetitions.entry(set).or_default();
        *repetitions += 1;
        if *repetitions == 3 {
            assert!(window.refresh_at >= window.ends_at);
        }
    }

    /// Checks that a failure withdraws no token, and that the next attempt is not at once.
    fn check_failure(&self, set: SetId, before: Option<Window>) {
        if self.shut_down {
            return;
        }
        assert_eq!(self.machine.window(set), before);
        assert!(self.machine.failures(set) > 0);
        if let Some(next) = self.machine.next_attempt_at(set, self.now) {
            assert!(
                next > self.now,
                "after a failure the next attempt is at once"
            );
        }
        assert!(!matches!(
            self.machine.outlook(set, Generation(0), self.now),
            Outlook::Imminent
        ));
    }

    /// Checks that generations grow over all scope sets, and that the refresh lies between now and the end.
    fn check_acceptance(&mut self, set: SetId, window: Window) {
        self.repetitions.remove(&set);
        self.repeated_at.remove(&set);
        self.latest_end.remove(&set);
        assert!(window.generation > self.highest);
        self.highest = window.generation;
        self.generations.insert(set, window.generation);
        assert!(window.refresh_at < window.usable_until, "{window:?}");
        assert!(window.usable_until <= window.ends_at, "{window:?}");
        assert!(self.now < window.refresh_at, "{window:?} at {:?}", self.now);
    }

    /// Polls until the machine sleeps, and executes its actions.
    pub(super) fn act(&mut self) {
        for _ in 0..20 {
            match self.machine.next_of_sets(self.now) {
                SetAction::Exchange(set) => {
                    assert!(!self.shut_down, "no exchange after the shutdown");
                    assert!(self.in_flight.insert(set), "two exchanges at once");
                    self.check_pause_after_repetition(set);
                    self.begun.entry(set).or_default().push(self.now);
                }
                SetAction::Retire(set) => {
                    assert!(!self.shut_down);
                    self.check_closed(set);
                }
                SetAction::Publish(set) => {
                    assert!(!self.shut_down);
                    let window = self.machine.window(set).unwrap();
                    assert_eq!(self.generations.get(&set), Some(&window.generation));
                }
                SetAction::RevokeEvicted(set) => {
                    assert!(!self.shut_down);
                    assert!(self.evicted.remove(&set), "it is revoked once");
                }
                SetAction::Drain { .. } => assert!(self.shut_down),
                SetAction::Sleep(until) => return self.check_sleep(until),
                SetAction::Stop => return,
            }
        }
        panic!("the machine does not come to rest");
    }

    /// Checks that the next exchange begins at least a second after one that returned the token in use.
    fn check_pause_after_repetition(&mut self, set: SetId) {
        if let Some(last) = self.repeated_at.get(&set) {
            assert!(self.now.since(*last) >= Duration::from_secs(1));
        }
    }

    /// Checks that only an idle scope set is closed.
    fn check_closed(&mut self, set: SetId) {
        assert_ne!(set, SetId::ROOT);
        assert!(!self.in_flight.contains(&set) && !self.machine.is_open(set));
        let needed_until = self.needed.remove(&set);
        assert!(needed_until.is_none_or(|until| until <= self.now));
        self.repetitions.remove(&set);
        self.repeated_at.remove(&set);
        self.latest_end.remove(&set);
    }

    fn check_sleep(&self, until: Option<Moment>) {
        if let Some(until) = until {
            assert!(until > self.now, "a sleep that ends at once is a hot loop");
        }
        if self.shut_down {
            return assert_eq!(until, None);
        }
        for set in [0, 1, 2, 3].map(set_of) {
            let state = self.machine.sets.get(set);
            let idle_at = state.and_then(|state| state.idle_at(&self.machine.policies));
            if let Some(idle_at) = idle_at.filter(|_| set != SetId::ROOT) {
                assert!(until.is_some_and(|until| until <= idle_at));
            }
            let publish_at = state.and_then(|state| state.publish_at(self.now));
            if let Some(publish_at) = publish_at {
                assert!(until.is_some_and(|until| until <= publish_at));
                let present = self.machine.window(set).unwrap();
                assert!(
                    publish_at <= present.usable_until,
                    "a caller would wait for it"
                );
                continue;
            }
            let Some(next) = self.machine.next_attempt_at(set, self.now) else {
                continue;
            };
            assert!(
                until.is_some_and(|until| until <= next),
                "it would sleep through"
            );
            if let Some(window) = self.machine.window(set)
                && self.now < window.usable_until
                && !self.machine.is_refused(set)
                && !self.repeated_at.contains_key(&set)
                && !self.locked_out.contains(&set)
            {
                let latest = window.usable_until + Duration::from_millis(1);
                assert!(
                    next <= latest,
                    "the next attempt lies beyond the end of the life"
                );
            }
        }
    }
}

fn set_of(number: u8) -> SetId {
    SetId(u64::from(number))
}
