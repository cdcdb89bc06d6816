//! Plays a history, and checks each step.

mod calm;
mod checks;
mod story;

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use super::history::{Beginning, Event};
use super::process::{Call, LIFE, Process, Served};
use super::world::{Fault, World, long_term, number, number_of_short, short_term};
use crate::clock::{Moment, Now};
use crate::machine::input::SetId;
use crate::machine::long_term::agenda::Next;
use crate::machine::long_term::exchange_results::Landing;
use crate::machine::long_term::lease::LeaseState;
use crate::machine::long_term::task::{Effect, Outcome, Step, Task};
use crate::token::LongTermToken;

pub(super) struct Play {
    beginning: Beginning,
    world: World,
    processes: Vec<Process>,
    now: Now,
    log: Vec<String>,
    /// Whether a person has handed in a token or removed the record.
    other_hands: bool,
    /// Whether a process has requested the next token without the lease, while others ran.
    asked_alone: bool,
    /// The tokens that a person has provided.
    provided: BTreeSet<u32>,
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
            (0..beginning.processes() as u64).map(|seed| Process::new(beginning, seed, now));
        let mut world = World::new(beginning.behaviour);
        world.is_private = !beginning.is_shared();
        Self {
            beginning,
            world,
            processes: processes.collect(),
            now,
            log: Vec::new(),
            other_hands: false,
            asked_alone: false,
            provided: BTreeSet::from([1]),
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
            Event::HandIn(..) | Event::Remove if !self.beginning.has_other_hands => {}
            Event::HandIn(at, is_alive) => self.hand_in(process(at), is_alive),
            Event::HandInAgain(at) => {
                let (at, now) = (process(at), self.now);
                let rules = &mut self.processes[at].rules;
                if let Some(token) = rules.current().map(number) {
                    self.log.push(format!("{at} is handed in {token} again"));
                    rules.hand_in(long_term(token, now), now);
                }
            }
            Event::Remove if self.world.is_private => {}
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
            Event::ShutDown(at) if count == 1 => self.shut_down(process(at)),
            Event::ShutDown(_) => {}
            Event::GiveUp(at) => {
                let at = process(at);
                if self.processes[at].is_draining {
                    self.world.lost.extend(self.processes[at].unanswered());
                    self.processes[at].calls.clear();
                    self.interrupt(at);
                }
            }
        }
    }

    /// The shutdown revokes the short-term tokens, except the one that can repeat a request of a later process.
    fn shut_down(&mut self, at: usize) {
        let process = &mut self.processes[at];
        self.log.push("shutdown".to_owned());
        process.is_draining = true;
        process.attempts.clear();
        process.wanted.clear();
        process.served.clear();
        process.rules.shut_down();
        let kept = process.rules.stored_authority().map(number_of_short);
        for short in process.minted.drain(..).filter(|it| Some(*it) != kept) {
            self.world.revoke_short(&short_term(short));
        }
    }

    /// Returns whether the token was minted long after a write has taken its long-term token out of use: the store tells of
    /// its changes.
    fn is_late(&self, served: &Served) -> bool {
        let out_of_use = self.world.out_of_use.get(&number(&served.minted_from));
        out_of_use.is_some_and(|at| *at + Duration::from_secs(30) + LIFE < served.until)
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
        if !self.beginning.is_shared() {
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

    fn hand_in(&mut self, at: usize, is_alive: bool) {
        // A person does so once, unless a grant can help, too.
        if self.beginning.recovers.is_none() && self.other_hands {
            return;
        }
        let token = self.world.issue();
        if !is_alive {
            self.world.alive.remove(&token);
        }
        self.log.push(format!("{at} is handed in {token}"));
        self.other_hands = true;
        let now = self.now;
        let process = &mut self.processes[at];
        process.handed_in = Some(token);
        self.provided.insert(token);
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
        let is_shared = self.processes.len() > 1;
        let process = &mut self.processes[at];
        match step {
            Step::Begin(number, task) => {
                let is_alone = process.rules.lease == LeaseState::GivenUp && is_shared;
                self.asked_alone |= is_alone && matches!(task, Task::Ask { .. });
                let served = self.processes.iter().flat_map(|it| it.served.values());
                let served = served.filter(|it| it.until > now.at && !self.is_late(it));
                let mut good: Vec<u32> = served.map(|it| it.short).collect();
                good.retain(|short| self.world.is_alive(*short));
                let outcome = self.world.perform(&task, at, fault, now);
                self.check_served(&good, &task);
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
            Step::Accept(set) => {
                let served = process.upcoming.remove(&set).expect("it was minted");
                process.publish(set, served);
            }
            Step::Release if self.world.lease == Some(at) => self.world.lease = None,
            Step::RevokeAuthority(token) => self.world.revoke_short(&token),
            Step::Release | Step::Tell(_) => {}
        }
        Turn::Acted
    }

    fn take_effects(&mut self, at: usize) {
        let process = &mut self.processes[at];
        for effect in process.rules.take_effects() {
            if let Effect::Refresh { superseded } = effect {
                let from_it = |it: &Served| it.minted_from.reads_like(&superseded);
                let sets = process.served.iter().filter(|(_, served)| from_it(served));
                let sets: Vec<SetId> = sets.map(|(set, _)| *set).collect();
                process.wanted.extend(sets);
            }
        }
    }

    fn answer(&mut self, at: usize, call: usize) {
        let now = self.now;
        let process = &mut self.processes[at];
        match process.calls.remove(call) {
            Call::Task(id, call) => {
                let (task, outcome) = *call;
                self.note_answer(at, &task, &outcome);
                let process = &mut self.processes[at];
                if let Ok(Outcome::Authorized(short, _)) = &outcome {
                    process.minted.push(number_of_short(short));
                }
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
                        process.minted.push(short);
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
                            Landing::Late => {}
                        }
                    }
                    Err(error) => process.rules.exchange_failed((id, set), error, now),
                }
            }
        }
    }
}
