//! What holds for any sequence of events, at any moments, with any answers of an issuer.
//!
//! `PROPTEST_CASES=10000 cargo test properties` runs more cases than usual.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;

use super::schedule::{Rest, retry_delay, window};
use super::*;

/// One thing that happens to a machine, this long after the one before.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// The clock goes on, as when nothing happens or the machine sleeps.
    Pass,
    /// Whatever is in flight for the lane ends so.
    Land(u8, Answer),
    Demand(u8, Newer),
    Deny(u8, Newer),
    Use(u8),
    Renew,
    /// Another long-term token is in use: this old, with so much left.
    Begin(Duration, Option<Duration>),
    Rotate,
    Chore(Duration),
    /// What was under way about the long-term token ends so.
    Attend(Attendance),
    Interrupt,
    ShutDown,
    Drained,
}

#[derive(Clone, Copy, Debug)]
enum Answer {
    Token(Duration),
    Transient(Option<Duration>),
    Terminal,
}

#[derive(Clone, Copy, Debug)]
enum Attendance {
    Done { proving: bool },
    Deferred,
    Transient(Option<Duration>),
    Terminal,
}

/// A generation relative to what is there.
#[derive(Clone, Copy, Debug)]
enum Newer {
    Any,
    Present,
    Past,
}

fn durations() -> impl Strategy<Value = Duration> {
    prop_oneof![
        Just(Duration::ZERO),
        (1_u64..1_000).prop_map(Duration::from_micros),
        (1_u64..2_000).prop_map(Duration::from_millis),
        (1_u64..100_000).prop_map(Duration::from_secs),
        Just(Duration::from_secs(u64::MAX)),
        Just(Duration::MAX),
    ]
}

fn passing() -> impl Strategy<Value = Duration> {
    prop_oneof![
        3 => Just(Duration::ZERO),
        4 => (0_u64..5_000).prop_map(Duration::from_millis),
        3 => (0_u64..10_000).prop_map(Duration::from_secs),
    ]
}

fn answers() -> impl Strategy<Value = Answer> {
    prop_oneof![
        4 => durations().prop_map(Answer::Token),
        3 => proptest::option::of(durations()).prop_map(Answer::Transient),
        1 => Just(Answer::Terminal),
    ]
}

fn attendances() -> impl Strategy<Value = Attendance> {
    prop_oneof![
        any::<bool>().prop_map(|proving| Attendance::Done { proving }),
        Just(Attendance::Deferred),
        proptest::option::of(durations()).prop_map(Attendance::Transient),
        Just(Attendance::Terminal),
    ]
}

fn rotations() -> impl Strategy<Value = RotationPolicy> {
    let shares = (0.01_f64..0.99, 0.0_f64..0.25);
    let delays = (1_u64..5_000, 1_u32..100);
    let lead = durations().prop_map(|lead| lead.min(crate::policy::LONGEST));
    (shares, lead, any::<bool>(), delays).prop_map(
        |((fraction, jitter), lead, on_demand_only, (first, times))| {
            let first = Duration::from_millis(first);
            RotationPolicy::default()
                .fraction(fraction)
                .jitter(jitter)
                .before_end(lead)
                .on_demand_only(on_demand_only)
                .delays(first, first * times)
        },
    )
}

fn newer() -> impl Strategy<Value = Newer> {
    prop_oneof![Just(Newer::Any), Just(Newer::Present), Just(Newer::Past)]
}

fn steps() -> impl Strategy<Value = Step> {
    let lane = 0_u8..4;
    prop_oneof![
        6 => Just(Step::Pass),
        8 => (lane.clone(), answers()).prop_map(|(lane, answer)| Step::Land(lane, answer)),
        4 => (lane.clone(), newer()).prop_map(|(lane, newer)| Step::Demand(lane, newer)),
        2 => (lane.clone(), newer()).prop_map(|(lane, newer)| Step::Deny(lane, newer)),
        2 => lane.prop_map(Step::Use),
        1 => Just(Step::Renew),
        2 => (durations(), proptest::option::of(durations()))
            .prop_map(|(age, left)| Step::Begin(age, left)),
        1 => Just(Step::Rotate),
        1 => durations().prop_map(Step::Chore),
        3 => attendances().prop_map(Step::Attend),
        1 => Just(Step::Interrupt),
    ]
}

fn policies() -> impl Strategy<Value = Policies> {
    let refresh = (0.01_f64..0.99, 0.0_f64..0.25, durations(), any::<bool>());
    let lead = proptest::option::of(1_u64..10_000);
    let retry = (1_u64..5_000, 1_u64..100, durations(), 1_u64..100_000);
    (refresh, lead, retry, rotations()).prop_map(|(refresh, lead, retry, rotation)| {
        let (fraction, jitter, margin, lazy) = refresh;
        let (first, times, longest_retry_after, pause) = retry;
        let first = Duration::from_millis(first);
        let mut refresh = RefreshPolicy::default()
            .fraction(fraction)
            .jitter(jitter)
            .margin(margin.min(crate::policy::LONGEST))
            .lazy(lazy);
        if let Some(lead) = lead {
            refresh = refresh.before_end(Duration::from_secs(lead));
        }
        Policies {
            refresh,
            retry: RetryPolicy::default()
                .delays(first, first * u32::try_from(times).unwrap())
                .longest_retry_after(longest_retry_after.min(crate::policy::LONGEST))
                .terminal_pause(Duration::from_millis(pause)),
            scopes: ScopePolicy::default()
                .most(3)
                .idle(Duration::from_secs(600)),
            rotation,
        }
    })
}

/// Plays a machine and holds it to what must always be so.
struct Play {
    machine: Machine,
    now: Moment,
    in_flight: BTreeSet<LaneId>,
    attending: bool,
    proving: bool,
    generations: BTreeMap<LaneId, Generation>,
    highest: Generation,
    /// When each exchange of the lane began.
    begun: BTreeMap<LaneId, Vec<Moment>>,
    shut_down: bool,
}

impl Play {
    fn new(policies: Policies, seed: u64) -> Self {
        let now = Moment::from_origin(Duration::from_secs(1_000));
        Self {
            machine: Machine::new(policies, seed, now),
            now,
            in_flight: BTreeSet::new(),
            attending: false,
            proving: false,
            generations: BTreeMap::new(),
            highest: Generation(0),
            begun: BTreeMap::new(),
            shut_down: false,
        }
    }

    fn step(&mut self, after: Duration, step: Step) {
        self.now = self.now + after;
        match step {
            Step::Pass => {}
            Step::Land(lane, answer) => self.land(lane_of(lane), answer),
            Step::Demand(lane, newer) => {
                let lane = self.open(lane);
                let newer_than = self.generation(lane, newer);
                self.machine
                    .handle(Event::Demanded { lane, newer_than }, self.now);
            }
            Step::Deny(lane, newer) => {
                let lane = lane_of(lane);
                let generation = self.generation(lane, newer);
                self.machine
                    .handle(Event::Denied { lane, generation }, self.now);
            }
            Step::Use(lane) => self.machine.handle(Event::Used(lane_of(lane)), self.now),
            Step::Renew => self.machine.handle(Event::Renewed, self.now),
            Step::Begin(age, left) => {
                self.machine
                    .handle(Event::LongTermBegan { age, left }, self.now);
            }
            Step::Rotate => self.machine.handle(Event::RotationDemanded, self.now),
            Step::Chore(pause) => {
                let at = self.now + pause;
                self.machine.handle(Event::Chore { at }, self.now);
            }
            Step::Attend(attendance) => self.attend(attendance),
            Step::Interrupt => {
                self.in_flight.clear();
                self.attending = false;
                self.machine.handle(Event::Interrupted, self.now);
            }
            Step::ShutDown => {
                let deadline = self.now + Duration::from_secs(5);
                self.shut_down = true;
                self.machine.handle(Event::ShutDown { deadline }, self.now);
            }
            Step::Drained => self.machine.handle(Event::Drained, self.now),
        }
        self.act();
    }

    fn attend(&mut self, attendance: Attendance) {
        if !std::mem::take(&mut self.attending) {
            return;
        }
        let failed = |failure| Event::AttendingFailed {
            failure,
            at_most: None,
        };
        let event = match attendance {
            Attendance::Done { proving } => {
                self.prove(proving);
                Event::Attended
            }
            Attendance::Deferred => Event::AttendingDeferred {
                until: self.now + Duration::from_millis(250),
            },
            Attendance::Transient(retry_after) => failed(Failure::Transient { retry_after }),
            Attendance::Terminal => failed(Failure::Terminal),
        };
        self.machine.handle(event, self.now);
        // A chore may have come up while the one before was seen to.
        if !self.shut_down
            && !matches!(attendance, Attendance::Done { .. })
            && let Some(next) = self.machine.attends_at(self.now)
        {
            assert!(next > self.now, "one attempt follows on the other");
        }
    }

    /// The engine tells so, and takes it back when an exchange has proven the token.
    fn prove(&mut self, proving: bool) {
        self.proving = proving;
        self.machine.handle(Event::Proving(proving), self.now);
    }

    fn open(&mut self, lane: u8) -> LaneId {
        let lane = lane_of(lane);
        if !self.machine.is_open(lane) && self.machine.has_room() {
            self.machine.handle(Event::Opened(lane), self.now);
        }
        lane
    }

    fn generation(&self, lane: LaneId, newer: Newer) -> Generation {
        let present = self.machine.window(lane).map(|it| it.generation);
        match newer {
            Newer::Any => Generation(0),
            Newer::Present => present.unwrap_or_default(),
            Newer::Past => Generation(present.unwrap_or_default().0.saturating_sub(1)),
        }
    }

    fn land(&mut self, lane: LaneId, answer: Answer) {
        if !self.in_flight.remove(&lane) {
            return;
        }
        let before = self.machine.window(lane);
        let sent = *self.begun.get(&lane).unwrap().last().unwrap();
        let event = match answer {
            Answer::Token(life) => Event::Exchanged { lane, sent, life },
            Answer::Transient(retry_after) => Event::Failed {
                lane,
                failure: Failure::Transient { retry_after },
            },
            Answer::Terminal => Event::Failed {
                lane,
                failure: Failure::Terminal,
            },
        };
        self.machine.handle(event, self.now);
        let after = self.machine.window(lane);
        if self.proving && lane == LaneId::ROOT && after != before {
            self.prove(false);
        }
        if after == before {
            self.check_failure(lane, before);
        } else {
            self.check_acceptance(lane, after.unwrap());
        }
    }

    /// A failure never withdraws a token, and the next attempt lies strictly ahead.
    fn check_failure(&self, lane: LaneId, before: Option<Window>) {
        if self.shut_down {
            return;
        }
        assert_eq!(self.machine.window(lane), before);
        assert!(self.machine.failures(lane) > 0);
        if let Some(next) = self.machine.next_attempt_at(lane, self.now) {
            assert!(
                next > self.now,
                "after a failure the next attempt is at once"
            );
        }
        assert!(!matches!(
            self.machine.outlook(lane, self.now),
            Outlook::Imminent
        ));
    }

    /// Generations grow, over all lanes; the refresh lies before the end, and is still to come.
    fn check_acceptance(&mut self, lane: LaneId, window: Window) {
        assert!(!self.shut_down, "nothing is accepted after the shutdown");
        assert!(window.generation > self.highest);
        self.highest = window.generation;
        self.generations.insert(lane, window.generation);
        assert!(window.refresh_at < window.usable_until, "{window:?}");
        assert!(window.usable_until <= window.ends_at, "{window:?}");
        assert!(self.now < window.refresh_at, "{window:?} at {:?}", self.now);
        assert_eq!(self.machine.failures(lane), 0);
        assert!(!self.machine.is_refused(lane));
    }

    /// Polls until the machine sleeps, and carries out what it says.
    fn act(&mut self) {
        for _ in 0..20 {
            match self.machine.poll(self.now) {
                Action::Exchange(lane) => {
                    assert!(!self.shut_down, "no exchange after the shutdown");
                    assert!(self.in_flight.insert(lane), "two exchanges at once");
                    self.begun.entry(lane).or_default().push(self.now);
                }
                Action::Attend { .. } => {
                    assert!(!self.shut_down, "no rotation after the shutdown");
                    assert!(!self.attending, "two attendances at once");
                    self.attending = true;
                }
                Action::Retire(lane) => {
                    assert_ne!(lane, LaneId::ROOT);
                    assert!(!self.shut_down && !self.in_flight.contains(&lane));
                    assert!(!self.machine.is_open(lane));
                }
                Action::Drain { .. } => assert!(self.shut_down),
                Action::Sleep(until) => return self.check_sleep(until),
                Action::Stop => return,
            }
        }
        panic!("the machine does not come to rest");
    }

    fn check_sleep(&self, until: Option<Moment>) {
        if let Some(until) = until {
            assert!(until > self.now, "a sleep that ends at once is a hot loop");
        }
        if self.shut_down {
            return assert_eq!(until, None);
        }
        for lane in [0, 1, 2, 3].map(lane_of) {
            let Some(next) = self.machine.next_attempt_at(lane, self.now) else {
                continue;
            };
            assert!(
                until.is_some_and(|until| until <= next),
                "it would sleep through"
            );
            if let Some(window) = self.machine.window(lane)
                && self.now < window.usable_until
                && !self.machine.is_refused(lane)
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

fn lane_of(number: u8) -> LaneId {
    LaneId(u64::from(number))
}

proptest! {
    // What a case found is better written down as a test with a name.
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn w16_any_sequence_of_events_keeps_every_rule(
        policies in policies(),
        seed: u64,
        steps in proptest::collection::vec((passing(), steps()), 1..120),
    ) {
        let mut play = Play::new(policies, seed);
        play.act();
        for (after, step) in steps {
            play.step(after, step);
        }
    }

    #[test]
    fn d1_after_the_shutdown_no_sequence_brings_about_anything_but_revoking(
        policies in policies(),
        seed: u64,
        before in proptest::collection::vec((passing(), steps()), 0..40),
        after in proptest::collection::vec((passing(), steps()), 0..40),
    ) {
        let mut play = Play::new(policies, seed);
        play.act();
        for (pause, step) in before {
            play.step(pause, step);
        }
        play.step(Duration::ZERO, Step::ShutDown);
        for (pause, step) in after {
            play.step(pause, step);
        }
        play.step(Duration::ZERO, Step::Drained);
        prop_assert_eq!(play.machine.poll(play.now), Action::Stop);
    }

    /// Whatever an issuer answers, at once or later: with nobody asking, exchanges come at a
    /// bounded rate.
    #[test]
    fn no_sequence_of_answers_makes_a_hot_loop(
        seed: u64,
        answers in proptest::collection::vec((answers(), 0_u64..30), 1..200),
    ) {
        let mut play = Play::new(Policies::default(), seed);
        let began = play.now;
        play.act();
        let mut exchanges = 0_u32;
        for (answer, took) in answers {
            if play.in_flight.contains(&LaneId::ROOT) {
                exchanges += 1;
                play.step(Duration::from_millis(took), Step::Land(0, answer));
            }
            let Action::Sleep(Some(until)) = play.machine.poll(play.now) else {
                break;
            };
            if until.since(began) > crate::policy::LONGEST * 4 {
                break; // the end of the representable time is near
            }
            play.step(until.since(play.now), Step::Pass);
        }
        let passed = play.now.since(began);
        let most = passed.as_secs_f64() * 60.0 + 2.0;
        prop_assert!(f64::from(exchanges) <= most, "{} in {:?}", exchanges, passed);
    }

    #[test]
    fn j2_and_j3_the_window_is_drawn_once_inside_the_life(
        policies in policies(),
        life in durations(),
        latency in durations(),
        draw in 0.0_f64..=1.0,
    ) {
        let sent = Moment::from_origin(Duration::from_secs(5));
        let now = sent + latency;
        let at = (sent, now);
        if let Some(window) = window(&policies.refresh, Generation(1), at, life, draw) {
            prop_assert!(now < window.refresh_at);
            prop_assert!(window.refresh_at < window.usable_until);
            prop_assert!(window.usable_until <= window.ends_at);
            prop_assert!(window.ends_at <= sent + life);
        }
    }

    #[test]
    fn l1_a_rotation_lies_inside_the_life_and_before_the_lead(
        policy in rotations(),
        age in durations(),
        left in durations(),
        draw in 0.0_f64..=1.0,
    ) {
        let pause = super::schedule::rotation_in(&policy, age, left, draw);
        prop_assert!(pause <= left);
        let (age, left) = (age.min(crate::policy::LONGEST), left.min(crate::policy::LONGEST));
        let lead = policy.before_end.min((age + left) / 2);
        prop_assert!(pause <= left.saturating_sub(lead));
        let earliest = (age + left).mul_f64((policy.fraction - policy.jitter).max(0.0));
        let by_lead = (age + left).saturating_sub(lead).saturating_sub((age + left).mul_f64(2.0 * policy.jitter));
        let slack = Duration::from_millis(1);
        prop_assert!(age + pause + slack >= earliest.min(by_lead));
    }

    #[test]
    fn e4_and_e5_delays_are_bounded_below_and_above(
        policies in policies(),
        failures: u32,
        usable in proptest::option::of(1_u64..100_000_000),
        retry_after in proptest::option::of(durations()),
        draw in 0.0_f64..=1.0,
    ) {
        let failure = Failure::Transient { retry_after };
        let rest = usable.map(|usable| Rest {
            usable: Duration::from_micros(usable),
            life: Duration::from_micros(usable) * 4,
        });
        let delay = retry_delay(&policies.retry, failure, failures, rest, draw);
        prop_assert!(delay >= Duration::from_millis(1));
        if let Some(rest) = rest {
            prop_assert!(delay <= rest.usable.max(Duration::from_millis(1)));
        }
        let policy = &policies.retry;
        let most = policy.longest_delay.max(policy.longest_retry_after);
        prop_assert!(delay <= most.max(Duration::from_millis(1)));
    }
}

#[test]
fn j1_a_fleet_with_one_expiry_spreads_over_the_window() {
    let life = Duration::from_secs(900);
    let mut seconds = BTreeMap::new();
    for seed in 0..10_000 {
        let mut play = Play::new(Policies::default(), seed * 7_919);
        play.act();
        play.step(Duration::ZERO, Step::Land(0, Answer::Token(life)));
        let window = play.machine.window(LaneId::ROOT).unwrap();
        let second = window.refresh_at.since(play.now).as_secs();
        *seconds.entry(second).or_insert(0_u32) += 1;
    }
    let mean = 10_000 / u32::try_from(seconds.len()).unwrap();
    assert!(seconds.len() > 80, "{} seconds", seconds.len());
    let most = seconds.values().max().unwrap();
    assert!(*most <= 2 * mean, "{most} in one second, {mean} on average");
}

#[test]
fn j4_a_fleet_that_restarts_together_does_not_stay_together() {
    let life = Duration::from_secs(900);
    let refreshes: BTreeSet<Vec<u128>> = (0..1_000)
        .map(|seed| {
            let mut play = Play::new(Policies::default(), seed);
            play.act();
            (0..3)
                .map(|_| {
                    play.step(Duration::ZERO, Step::Land(0, Answer::Token(life)));
                    let window = play.machine.window(LaneId::ROOT).unwrap();
                    play.step(window.refresh_at.since(play.now), Step::Pass);
                    play.now
                        .since(Moment::from_origin(Duration::ZERO))
                        .as_millis()
                })
                .collect()
        })
        .collect();
    assert!(refreshes.len() > 990, "{} of 1,000 differ", refreshes.len());
}
