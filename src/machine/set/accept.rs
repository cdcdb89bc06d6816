//! Accepting the token that an exchange returned. It replaces the token in use, at once or later, or it is
//! the token in use again.

use std::time::Duration;

use super::exchange_result::{Accepted, Brought, Upcoming};
use super::{Refusal, SetState};
use crate::clock::Moment;
use crate::machine::input::{Demand, Failure, Generation, Window};
use crate::machine::refresh_time;
use crate::policy::{LONGEST, Policies};

/// How many exchanges within one life may return the token in use again.
const MOST_REPETITIONS: u32 = 3;
/// The minimum pause after an exchange that returned the token in use.
const BETWEEN_REPETITIONS: Duration = Duration::from_secs(1);

impl SetState {
    /// Accepts the token, as generation `next` unless it is the token in use.
    pub(in crate::machine) fn exchanged(
        &mut self,
        policies: &Policies,
        next: Generation,
        brought: Brought,
        now: Moment,
    ) -> Accepted {
        let accepted = match self.window.filter(|_| brought.is_repeated) {
            Some(present) => self.accept_again(policies, present, brought, now),
            None => self.accept(policies, next, brought, now),
        };
        let Some(accepted) = accepted else {
            self.failed(policies, Failure::Transient { retry_after: None }, now);
            if brought.is_repeated {
                self.held_until = Some(now + BETWEEN_REPETITIONS);
            }
            return Accepted::Expired;
        };
        self.in_flight = false;
        self.demand = None;
        self.forced_at = None;
        self.failures = 0;
        self.alike = 0;
        self.retry_at = None;
        self.paused_until = None;
        self.refusal = Refusal::None;
        accepted
    }

    fn accept(
        &mut self,
        policies: &Policies,
        next: Generation,
        brought: Brought,
        now: Moment,
    ) -> Option<Accepted> {
        let Brought { sent, life, .. } = brought;
        let draw = self.random.f64();
        let window = refresh_time::window(&policies.refresh, next, (sent, now), life, draw)?;
        let settled_at = now + brought.settling;
        let present_until = self.window.map_or(now, |present| present.usable_until);
        let publish_at = settled_at.min(present_until).min(window.refresh_at);
        if publish_at > now && !self.is_forced(now) {
            self.minted_from.wait();
            self.upcoming = Some(Box::new(Upcoming {
                window,
                life,
                latest_end: brought.latest_end(),
                publish_at,
            }));
            return Some(Accepted::Later(window));
        }
        self.minted_from.wait();
        self.take(window, life, now);
        self.latest_end = brought.latest_end();
        Some(Accepted::Now(window))
    }

    /// Accepts the token in use again. If its end has moved by at least half of what is left, its life
    /// begins anew. Otherwise the server returns it until it expires: the token is served to its end, with
    /// [`MOST_REPETITIONS`] further exchanges at most.
    fn accept_again(
        &mut self,
        policies: &Policies,
        present: Window,
        brought: Brought,
        now: Moment,
    ) -> Option<Accepted> {
        let Brought { sent, life, .. } = brought;
        let policy = &policies.refresh;
        let latest_ends = [self.latest_end, brought.latest_end()];
        self.latest_end = latest_ends.into_iter().flatten().min();
        let stated = sent + life.min(LONGEST);
        let ends_at = self.latest_end.map_or(stated, |latest| latest.min(stated));
        let rest = ends_at.since(now);
        if rest < refresh_time::SHORTEST_LIFE {
            return None;
        }
        let draw = self.random.f64();
        let generation = present.generation;
        let earliest = now + BETWEEN_REPETITIONS;
        let begins_anew = ends_at.since(present.ends_at) * 2 >= rest;
        let window = if begins_anew {
            let life = ends_at.since(sent);
            let window = refresh_time::window(policy, generation, (sent, now), life, draw)?;
            // The token that waits is dropped.
            self.minted_from.upcoming = None;
            self.take(window, life, now);
            self.held_until = Some(earliest);
            window
        } else {
            self.repetitions += 1;
            // Spread over a fleet that shares the token, whose instances must not refresh all at once.
            let next_token_at = ends_at + refresh_time::spread_after(policy, self.life, draw);
            let next_token_at = next_token_at.max(earliest);
            let refresh_at = (now + refresh_time::refresh_after(policy, rest, draw)).max(earliest);
            let is_exhausted = self.repetitions >= MOST_REPETITIONS || refresh_at >= ends_at;
            self.held_until = Some(if is_exhausted {
                next_token_at
            } else {
                earliest
            });
            let window = Window {
                refresh_at: if is_exhausted {
                    next_token_at
                } else {
                    refresh_at
                },
                usable_until: ends_at,
                ends_at,
                ..present
            };
            self.window = Some(window);
            window
        };
        Some(Accepted::Again(window))
    }

    fn take(&mut self, window: Window, life: Duration, now: Moment) {
        let needed_until = self
            .needed_until
            .min(self.window.map_or(now, |it| it.ends_at));
        self.minted_from.take(needed_until, now);
        self.window = Some(window);
        self.life = life;
        self.upcoming = None;
        self.repetitions = 0;
        self.held_until = None;
    }

    /// Returns when the upcoming token replaces the one in use, unless another event comes first.
    pub(in crate::machine) fn publish_at(&self, now: Moment) -> Option<Moment> {
        let upcoming = self.upcoming.as_ref()?;
        let is_wanted = matches!(self.demand, Some(Demand::NewerThan(_)));
        Some(if is_wanted && self.demand_is_open(now) {
            now
        } else {
            upcoming.publish_at
        })
    }

    /// Replaces the token in use with the upcoming one.
    pub(in crate::machine) fn publish(&mut self, now: Moment) {
        if let Some(upcoming) = self.upcoming.take() {
            self.take(upcoming.window, upcoming.life, now);
            self.latest_end = upcoming.latest_end;
            self.demand = None;
        }
    }
}
