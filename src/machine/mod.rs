//! What to do next, decided from facts and a moment. Pure: no async, no I/O, no clock, no
//! randomness but a seed, no secret. `event.rs` is the whole contract.

mod event;
mod schedule;
#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::clock::Moment;
use crate::policy::{RefreshPolicy, RetryPolicy};

pub(crate) use event::{Action, Event, Failure, Generation, Window};
pub(crate) use schedule::retry_delay;

/// Decides for one token: when it is exchanged, and what a failure means for the next attempt.
#[derive(Debug)]
pub(crate) struct Machine {
    refresh: RefreshPolicy,
    retry: RetryPolicy,
    random: fastrand::Rng,
    phase: Phase,
    in_flight: bool,
    window: Option<Window>,
    life: Duration,
    /// Someone waits for a token newer than this.
    demand: Option<Generation>,
    failures: u32,
    /// The attempt after the last failure, and whether only a demand may make it.
    retry_at: Option<Moment>,
    terminal: bool,
    last_denial: Option<Moment>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Running,
    Draining { deadline: Moment, begun: bool },
    Stopped,
}

/// What a caller that waits for a token may expect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outlook {
    /// An attempt is under way, or is about to begin.
    Imminent,
    /// The next attempt begins at this moment.
    At(Moment),
    /// The last failure was terminal and is too recent to ask again.
    Refused,
    /// No attempt will be made any more.
    ShutDown,
}

impl Machine {
    pub(crate) fn new(refresh: RefreshPolicy, retry: RetryPolicy, seed: u64) -> Self {
        Self {
            refresh,
            retry,
            random: fastrand::Rng::with_seed(seed),
            phase: Phase::Running,
            in_flight: false,
            window: None,
            life: Duration::ZERO,
            demand: None,
            failures: 0,
            retry_at: None,
            terminal: false,
            last_denial: None,
        }
    }

    pub(crate) fn handle(&mut self, event: Event, now: Moment) {
        match event {
            Event::Drained | Event::Abandoned => self.phase = Phase::Stopped,
            Event::Interrupted => self.interrupted(),
            _ if self.phase != Phase::Running => {}
            Event::Demanded { newer_than } => self.demand = self.demand.max(Some(newer_than)),
            Event::Denied(generation) => self.denied(generation, now),
            Event::Exchanged { sent, life } => self.exchanged(sent, life, now),
            Event::Failed(failure) => self.failed(failure, now),
            Event::ShutDown { deadline } => self.shut_down(deadline),
        }
    }

    pub(crate) fn poll(&mut self, now: Moment) -> Action {
        match &mut self.phase {
            Phase::Stopped => Action::Stop,
            Phase::Draining { begun: true, .. } => Action::Sleep(None),
            Phase::Draining { deadline, begun } => {
                *begun = true;
                Action::Drain {
                    deadline: *deadline,
                }
            }
            Phase::Running if self.in_flight => Action::Sleep(None),
            Phase::Running => match self.next_attempt(now) {
                Some(at) if at <= now => {
                    self.in_flight = true;
                    Action::Exchange
                }
                later => Action::Sleep(later),
            },
        }
    }

    /// Whether exchanges are still made.
    pub(crate) fn is_running(&self) -> bool {
        self.phase == Phase::Running
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.phase == Phase::Stopped
    }

    /// The token in use, usable or not.
    pub(crate) const fn window(&self) -> Option<Window> {
        self.window
    }

    pub(crate) const fn failures(&self) -> u32 {
        self.failures
    }

    /// Whether the last failure was terminal and nothing has changed since.
    pub(crate) const fn is_refused(&self) -> bool {
        self.terminal
    }

    /// When the next attempt begins, if nothing else happens; `None` while one is under way.
    pub(crate) fn next_attempt_at(&self, now: Moment) -> Option<Moment> {
        if self.phase != Phase::Running || self.in_flight {
            return None;
        }
        self.next_attempt(now)
    }

    /// Whether something newer than this generation is there, under way or asked for.
    pub(crate) fn replaces(&self, generation: Generation) -> bool {
        self.in_flight
            || self.demand >= Some(generation)
            || self
                .window
                .is_some_and(|window| window.generation > generation)
    }

    pub(crate) fn outlook(&self, now: Moment) -> Outlook {
        match (self.phase, self.retry_at) {
            (Phase::Draining { .. } | Phase::Stopped, _) => Outlook::ShutDown,
            (Phase::Running, Some(at)) if !self.in_flight && at > now => {
                if self.terminal {
                    Outlook::Refused
                } else {
                    Outlook::At(at)
                }
            }
            (Phase::Running, _) => Outlook::Imminent,
        }
    }

    fn next_attempt(&self, now: Moment) -> Option<Moment> {
        let wanted_at = if self.demand_is_open(now) {
            Some(now)
        } else if self.terminal {
            None
        } else {
            Some(self.window.map_or(now, |window| window.refresh_at))
        };
        Some(wanted_at?.max(self.retry_at.unwrap_or(now)))
    }

    fn demand_is_open(&self, now: Moment) -> bool {
        self.demand.is_some_and(|newer_than| {
            self.window
                .is_none_or(|window| window.generation <= newer_than || window.usable_until <= now)
        })
    }

    fn denied(&mut self, generation: Generation, now: Moment) {
        let Some(window) = self.window else { return };
        let pause = schedule::between_denials(&self.refresh, self.life);
        let too_soon = self
            .last_denial
            .is_some_and(|denial| now.since(denial) < pause);
        if generation == window.generation && !too_soon && !self.in_flight {
            self.last_denial = Some(now);
            self.handle(
                Event::Demanded {
                    newer_than: generation,
                },
                now,
            );
        }
    }

    fn exchanged(&mut self, sent: Moment, life: Duration, now: Moment) {
        let generation = Generation(self.window.map_or(0, |window| window.generation.0) + 1);
        let draw = self.random.f64();
        let Some(window) = schedule::window(&self.refresh, generation, (sent, now), life, draw)
        else {
            return self.failed(Failure::Transient { retry_after: None }, now);
        };
        self.in_flight = false;
        self.window = Some(window);
        self.life = life;
        self.demand = None;
        self.failures = 0;
        self.retry_at = None;
        self.terminal = false;
    }

    fn failed(&mut self, failure: Failure, now: Moment) {
        self.in_flight = false;
        self.demand = None;
        self.failures = self.failures.saturating_add(1);
        self.terminal = failure == Failure::Terminal;
        self.last_denial = None;
        let rest_of_life = self
            .window
            .map(|window| window.usable_until.since(now))
            .filter(|rest| !rest.is_zero());
        let delay = schedule::retry_delay(
            &self.retry,
            failure,
            self.failures,
            rest_of_life,
            self.random.f64(),
        );
        self.retry_at = Some(now + delay);
    }

    fn interrupted(&mut self) {
        self.in_flight = false;
        if let Phase::Draining { begun, .. } = &mut self.phase {
            *begun = false;
        }
    }

    const fn shut_down(&mut self, deadline: Moment) {
        self.phase = Phase::Draining {
            deadline,
            begun: false,
        };
    }
}
