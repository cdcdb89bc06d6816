//! Plays a history, and checks each step.

use std::time::{Duration, SystemTime};

use super::history::{Beginning, Event};
use super::process::{Call, LIFE, Process, Served};
use super::world::{Fault, Old, World, long_term, number, number_of_short};
use crate::clock::{Moment, Now};
use crate::machine::input::SetId;
use crate::machine::long_term::agenda::Next;
use crate::machine::long_term::lease::Lease;
use crate::machine::long_term::task::{Effect, Purpose, Step, Task};
use crate::machine::long_term::trial::Landing;
use crate::machine::long_term::{Durability, Reading, Recovers};
use crate::store::{Record, Rotation, Version};
use crate::token::LongTermToken;

/// How long after the history all calls succeed.
const CALM: Duration = Duration::from_secs(3 * 60 * 60);

/// How many lines of a history are shown.
const LONGEST_STORY: usize = 200;

pub(super) struct Play {
    beginning: Beginning,
    world: World,
    processes: Vec<Process>,
    now: Now,
    log: Vec<String>,
    /// Whether a person has handed in a token or removed the record.
    other_hands: bool,
    crashes: u32,
    seed: u64,
}

/// What became of a turn of a process.
enum Turn {
    Acted,
    Asleep(Option<Moment>),
}

impl Play {
    pub(super) fn new(beginning: Beginning) -> Self {
        let now = Now {
            at: Moment::from_origin(Duration::from_secs(1_000)),
            wall: SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000),
        };
        let processes =
            (0..beginning.processes as u64).map(|seed| Process::new(beginning, seed, now));
        Self {
            beginning,
            world: World::new(beginning.behaviour),
            processes: processes.collect(),
            now,
            log: Vec::new(),
            other_hands: false,
            crashes: 0,
            seed: 0,
        }
    }

    pub(super) fn happens(&mut self, event: Event) {
        let count = self.processes.len();
        let process = |number: u8| usize::from(number) % count;
        match event {
            Event::Act(at, fault) => {
                let at = process(at);
                if !self.is_stopped(at) {
                    self.act(at, fault);
                }
            }
            Event::Answer(at, call) => {
                let at = process(at);
                let calls = self.processes[at].calls.len();
                if calls > 0 && !self.is_stopped(at) {
                    self.answer(at, usize::from(call) % calls);
                }
            }
            Event::Pass(time) => self.pass(time),
            Event::Crash(at) => self.crash(process(at)),
            Event::Interrupt(at) => self.interrupt(process(at)),
            Event::HandIn(at) => self.hand_in(process(at)),
            Event::Remove => {
                self.log.push("removed".to_owned());
                self.world.stored = None;
                self.other_hands = true;
                for process in &mut self.processes {
                    process.rules.store_changed();
                }
            }
            Event::Rotate(at) => {
                let now = self.now;
                self.processes[process(at)].rules.demand_rotation(now);
            }
            Event::Need(at, set) => {
                let now = self.now;
                self.processes[process(at)].need(SetId(u64::from(set)), now);
            }
            Event::Changed(at) => self.processes[process(at)].rules.store_changed(),
            Event::Stop(at) => {
                let at = process(at);
                let is_first = !self.processes.iter().any(|it| it.is_stopped);
                if self.beginning.stops && is_first && self.world.lease == Some(at) {
                    self.log.push(format!("{at} is stopped with the lease"));
                    self.processes[at].is_stopped = true;
                }
            }
            Event::ShutDown(at) if count == 1 => {
                let process = &mut self.processes[process(at)];
                self.log.push("shutdown".to_owned());
                process.is_draining = true;
                process.attempts.clear();
                process.wanted.clear();
                process.rules.shut_down();
            }
            Event::ShutDown(_) => {}
        }
    }

    fn is_stopped(&self, at: usize) -> bool {
        self.processes[at].is_stopped
    }

    fn pass(&mut self, time: Duration) {
        self.now = Now {
            at: self.now.at + time,
            wall: self.now.wall + time,
        };
    }

    fn crash(&mut self, at: usize) {
        self.log.push(format!("{at} crashes, and starts again"));
        self.crashes += 1;
        self.world.lost.extend(self.processes[at].unanswered());
        if self.world.lease == Some(at) {
            self.world.lease = None;
        }
        if !self.beginning.is_shared {
            self.world.stored = None;
            self.other_hands = true;
        }
        self.seed += 100;
        self.processes[at] = Process::new(self.beginning, self.seed, self.now);
    }

    fn interrupt(&mut self, at: usize) {
        self.log.push(format!("{at} is interrupted"));
        if self.world.lease == Some(at) {
            self.world.lease = None;
        }
        // The calls in flight may be answered all the same.
        let process = &mut self.processes[at];
        process.attempts.clear();
        process.upcoming.clear();
        process.rules.interrupted();
    }

    fn hand_in(&mut self, at: usize) {
        // A person does so once, unless a grant can help, too.
        if self.beginning.recovers.is_none() && self.other_hands {
            return;
        }
        let token = self.world.issue();
        self.log.push(format!("{at} is handed in {token}"));
        self.other_hands = true;
        let now = self.now;
        let process = &mut self.processes[at];
        process.handed_in = Some(token);
        process.rules.hand_in(long_term(token, now), now);
    }

    /// The process does what is next.
    fn act(&mut self, at: usize, fault: Fault) -> Turn {
        let now = self.now;
        let process = &mut self.processes[at];
        let served = |token: &LongTermToken| {
            let tokens = process.served.values().chain(process.upcoming.values());
            let of_token = tokens.filter(|it| it.minted_from.reads_like(token));
            of_token.map(|it| it.until).max()
        };
        let next = process.rules.next(now, &served);
        self.take_effects(at);
        let step = match next {
            Next::Do(step) => step,
            Next::Sleep(until) => return Turn::Asleep(until),
        };
        self.note(at, &step, fault);
        self.check(at, &step);
        let process = &mut self.processes[at];
        match step {
            Step::Begin(number, task) => {
                let served = process.served.values().filter(|it| it.until > now.at);
                let mut good: Vec<u32> = served.map(|it| it.short).collect();
                good.retain(|short| self.world.is_alive(*short));
                let outcome = self.world.perform(&task, at, fault, now);
                // No revocation ends a token that callers get, also where it ends what was minted.
                for short in good {
                    assert!(
                        self.world.is_alive(short),
                        "{} ends st-{short}, which callers get\n{}",
                        named_task(&task),
                        self.story()
                    );
                }
                self.processes[at]
                    .calls
                    .push(Call::Task(number, Box::new((task, outcome))));
            }
            Step::Exchange {
                call, set, with, ..
            } => {
                let outcome = self.world.exchange(&with, fault);
                process.calls.push(Call::Exchange {
                    id: call,
                    set,
                    with,
                    outcome,
                });
            }
            Step::Fail { set, .. } => {
                process.attempts.remove(&set);
                process.upcoming.remove(&set);
            }
            Step::Land(set) => {
                let served = process.upcoming.remove(&set).expect("it was minted");
                process.publish(set, served);
            }
            Step::Release if self.world.lease == Some(at) => self.world.lease = None,
            Step::RevokeSpent(token) => self.world.revoke_short(&token),
            Step::Release | Step::Tell(_) => {}
        }
        Turn::Acted
    }

    fn take_effects(&mut self, at: usize) {
        let process = &mut self.processes[at];
        for effect in process.rules.take_effects() {
            if let Effect::Replace { superseded } = effect {
                let from_it = |it: &Served| it.minted_from.reads_like(&superseded);
                let sets = process.served.iter().filter(|(_, served)| from_it(served));
                let sets: Vec<SetId> = sets.map(|(set, _)| *set).collect();
                process.wanted.extend(sets);
            }
        }
    }

    fn note(&mut self, at: usize, step: &Step, fault: Fault) {
        let fault = if fault == Fault::None {
            String::new()
        } else {
            format!(" ({fault:?})")
        };
        let seconds = self
            .now
            .at
            .since(Moment::from_origin(Duration::from_secs(1_000)));
        self.log
            .push(format!("{seconds:?} {at} {}{fault}", named(step)));
    }

    fn answer(&mut self, at: usize, call: usize) {
        let now = self.now;
        let process = &mut self.processes[at];
        match process.calls.remove(call) {
            Call::Task(id, call) => {
                let (task, outcome) = *call;
                let how = match &outcome {
                    Ok(_) => "ok".to_owned(),
                    Err(error) => error.to_string(),
                };
                self.log
                    .push(format!("    {at} <- {}: {how}", named_task(&task)));
                process.rules.ended(id, outcome, now);
            }
            Call::Exchange {
                id,
                set,
                with,
                outcome,
            } => {
                self.log.push(format!(
                    "    {at} <- exchange {}: {outcome:?}",
                    number(&with)
                ));
                match outcome {
                    Ok((short, replacement)) => {
                        let minted_from = replacement.unwrap_or_else(|| number(&with));
                        let served = Served {
                            short,
                            minted_from: long_term(minted_from, now).token,
                            until: now.at + LIFE,
                        };
                        let replacement = replacement.map(|token| long_term(token, now));
                        match process
                            .rules
                            .minted((id, set), &with, LIFE, replacement, now)
                        {
                            Landing::Now(_) => process.publish(set, served),
                            Landing::Later(_) => {
                                process.upcoming.insert(set, served);
                            }
                            Landing::Gone => {}
                        }
                    }
                    Err(error) => process.rules.exchange_failed((id, set), error, now),
                }
            }
        }
    }

    /// Checks what must hold of each step.
    fn check(&self, at: usize, step: &Step) {
        let process = &self.processes[at];
        let is_alone = self.processes.len() == 1;
        let stored = self.world.stored.as_ref().map(|(record, _)| record);
        let has_lease = self.has_lease(at);
        let told = |what: &str| format!("{what}: {}\n{}", named(step), self.story());
        match step {
            Step::Begin(_, Task::Revoke(token)) => {
                let has_lease = self.world.lease == Some(at) || !self.beginning.is_shared;
                assert!(has_lease, "{}", told("revokes without the lease"));
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
                | Step::Release
                | Step::RevokeSpent(_)
                | Step::Tell(_)
        );
        assert!(
            !process.is_draining || is_quiet,
            "{}",
            told("begins after the shutdown")
        );
    }

    fn has_lease(&self, at: usize) -> bool {
        let lease = self.processes[at].rules.lease;
        !self.beginning.is_shared
            || matches!(lease, Lease::Held { is_read: true, .. } | Lease::Forgone)
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

    /// From now on all calls succeed, and all scope sets need tokens.
    pub(super) fn calm_down(&mut self) {
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

    /// Checks what must hold at the end.
    pub(super) fn check_the_end(&self) {
        let recovers = self.beginning.recovers == Some(Recovers::WithGrant);
        // A person has to come where a person has taken the stored token away, and no grant can help.
        let needs_a_person = !recovers && self.other_hands;
        // A holder of the lease that is stopped between two calls may wake up later and ask, too.
        let is_split = self.beginning.stops && self.beginning.behaviour.old != Old::Lives;
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
    /// revoked.
    fn check_known(&self) {
        let Some((record, _)) = &self.world.stored else {
            return;
        };
        let is_settled = matches!(record.rotation, Rotation::Settled);
        for token in &self.world.alive {
            let is_kept = self.world.lost.contains(token) || *token == 1;
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

    fn story(&self) -> String {
        let stored = self.world.stored.as_ref().map(|(record, version)| {
            let text = format!("{} version {version}", named_record(record));
            text
        });
        let first = &self.log[..self.log.len().min(LONGEST_STORY)];
        format!(
            "{:?}\nstored: {stored:?}\n{}",
            self.beginning,
            first.join("\n")
        )
    }
}

fn named(step: &Step) -> String {
    match step {
        Step::Begin(_, task) => named_task(task),
        Step::Exchange { set, with, .. } => format!("exchange {} for {}", number(with), set.0),
        Step::Fail { set, error, .. } => format!("fail {}: {error}", set.0),
        Step::Land(set) => format!("land {}", set.0),
        Step::Release => "release".to_owned(),
        Step::RevokeSpent(token) => format!("revoke st-{}", number_of_short(token)),
        Step::Tell(event) => format!("tell {event:?}"),
    }
}

fn named_task(task: &Task) -> String {
    match task {
        Task::Load => "load".to_owned(),
        Task::Save { record, over } => {
            format!(
                "save {} over {:?}",
                named_record(record),
                over.as_ref().map(Version::as_str)
            )
        }
        Task::Lease { .. } => "lease".to_owned(),
        Task::Renew { .. } => "renew the lease".to_owned(),
        Task::Authorize { with } => format!("authorize with {}", number(with)),
        Task::Ask { with, .. } => format!("ask with st-{}", number_of_short(with)),
        Task::Obtain { purpose, .. } => format!("obtain to {purpose:?}"),
        Task::Revoke(token) => format!("revoke {}", number(token)),
    }
}

fn named_record(record: &Record) -> String {
    let rotation = match &record.rotation {
        Rotation::Settled => String::new(),
        Rotation::Asking { with } => format!(" asking with st-{}", number_of_short(with)),
        Rotation::Proving { next, with } => format!(
            " next {} with {:?}",
            number(&next.token),
            with.as_ref().map(number_of_short)
        ),
    };
    let retiring: Vec<u32> = record.retiring.iter().map(|it| number(&it.token)).collect();
    format!(
        "[{}{rotation} retiring {retiring:?}]",
        number(record.current())
    )
}
