//! The rules for one scope set: when its token is exchanged, and what a failure means for the next attempt.

mod accept;
mod exchange_result;
mod minted_from;
mod served;

use std::time::Duration;

use super::backoff::Rest;
use super::input::{Demand, Failure, Generation, Window};
use super::{backoff, refresh_time};
use crate::clock::Moment;
use crate::policy::Policies;

use exchange_result::Upcoming;
pub(crate) use exchange_result::{Accepted, Brought};
use minted_from::MintedFrom;

#[derive(Debug)]
pub(super) struct SetState {
    random: fastrand::Rng,
    pub(super) in_flight: bool,
    pub(super) window: Option<Window>,
    life: Duration,
    /// The latest possible end of the token in use, if there is an upper bound of its life.
    latest_end: Option<Moment>,
    /// The token that will replace the one in use.
    upcoming: Option<Box<Upcoming>>,
    /// From which long-term tokens the tokens were minted.
    minted_from: MintedFrom,
    /// How many exchanges in its life returned the token in use again.
    repetitions: u32,
    /// The earliest next exchange, except to prove a long-term token: an earlier one would return the
    /// token in use.
    held_until: Option<Moment>,
    demand: Option<Demand>,
    /// When a failed forced refresh is retried, if there is one.
    forced_at: Option<Moment>,
    pub(super) failures: u32,
    /// How many of them in a row were in the same situation, with a valid token or without.
    alike: u32,
    had_token: bool,
    /// The earliest next attempt after a failure.
    retry_at: Option<Moment>,
    /// The failure that began a long pause, which a change ends.
    long_pause: Option<Failure>,
    /// The end of the pause that the server requested.
    paused_until: Option<Moment>,
    refusal: Refusal,
    last_denial: Option<Moment>,
    /// When a caller last demanded a longer remaining life than the token in use has.
    last_top_up: Option<Moment>,
    last_use: Moment,
    /// Until when callers need a token of this scope set.
    needed_until: Moment,
}

/// Whether the last failure was terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    None,
    /// It was: without a valid token, only a demand causes the next attempt.
    Standing,
    /// It was, and something has changed since. The pause that the server requested with it may last.
    Forgotten,
}

/// What a caller that waits for a token may expect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outlook {
    /// An exchange is in flight or about to begin.
    Imminent,
    /// The next attempt begins at this moment.
    At(Moment),
    /// The server returns the token in use again instead of a newer one.
    Unchanged,
    /// The last failure was terminal and is too recent to ask again.
    Refused,
    /// No further exchange begins.
    ShutDown,
}

impl SetState {
    pub(super) fn new(seed: u64, now: Moment) -> Self {
        Self {
            random: fastrand::Rng::with_seed(seed),
            in_flight: false,
            window: None,
            life: Duration::ZERO,
            latest_end: None,
            upcoming: None,
            minted_from: MintedFrom::default(),
            repetitions: 0,
            held_until: None,
            demand: None,
            forced_at: None,
            failures: 0,
            alike: 0,
            had_token: false,
            retry_at: None,
            long_pause: None,
            paused_until: None,
            refusal: Refusal::None,
            last_denial: None,
            last_top_up: None,
            last_use: now,
            needed_until: now,
        }
    }

    /// Returns whether the use is later than the last one.
    pub(super) fn used(&mut self, at: Moment) -> bool {
        let is_later = self.last_use < at;
        self.last_use = self.last_use.max(at);
        is_later
    }

    pub(super) fn needed(&mut self, until: Moment) {
        self.needed_until = self.needed_until.max(until);
    }

    pub(super) fn demanded(&mut self, demand: Demand, now: Moment) {
        self.used(now);
        self.demand = self.demand.max(Some(demand));
    }

    /// Returns until when callers have a valid token that no resource server has refused.
    pub(super) fn accepted_until(&self) -> Option<Moment> {
        let is_accepted = |window: &Window| self.last_denial.is_none_or(|at| at < window.received);
        let present = self.window.filter(is_accepted);
        let upcoming = self.upcoming.as_ref().map(|upcoming| upcoming.window);
        let windows = present.into_iter().chain(upcoming);
        windows.map(|window| window.usable_until).max()
    }

    pub(super) fn denied(&mut self, policies: &Policies, generation: Generation, now: Moment) {
        let Some(window) = self.window else { return };
        if generation != window.generation {
            return;
        }
        if !self.in_flight && self.upcoming.is_none() {
            let pause = refresh_time::min_reject_interval(&policies.refresh, self.life);
            let since_last = self.last_denial.map(|denial| now.since(denial));
            if since_last.is_some_and(|since| since < pause) {
                return;
            }
            self.last_denial = Some(now);
        } // else the demand publishes the held-back token, or the token of the exchange in flight, at once
        self.demanded(Demand::NewerThan(generation), now);
    }

    /// Handles a caller that needs a longer remaining life than the token in use has.
    pub(super) fn outlasted(&mut self, generation: Generation, now: Moment) {
        let Some(window) = self.window else { return };
        let pause = refresh_time::between_top_ups(self.life);
        let too_soon = self.last_top_up.is_some_and(|last| now.since(last) < pause);
        if generation == window.generation && !too_soon && !self.in_flight {
            self.last_top_up = Some(now);
            self.demanded(Demand::NewerThan(generation), now);
        }
    }

    pub(super) fn failed(&mut self, policies: &Policies, failure: Failure, now: Moment) {
        self.in_flight = false;
        self.failures = self.failures.saturating_add(1);
        self.refusal = match failure {
            Failure::Terminal { .. } => Refusal::Standing,
            Failure::Transient { .. } | Failure::Unclear { .. } | Failure::Held { .. } => {
                Refusal::None
            }
        };
        self.last_denial = None;
        let rest_of_life = self.rest_of_life(now);
        // Callers wait once the token has expired, so the delays begin anew.
        if self.had_token != rest_of_life.is_some() {
            self.had_token = rest_of_life.is_some();
            self.alike = 0;
        }
        self.alike = self.alike.saturating_add(1);
        let delay = backoff::retry_delay(
            &policies.retry,
            failure,
            self.alike,
            rest_of_life,
            self.random.f64(),
        );
        self.retry_at = Some(now + delay);
        let is_long = matches!(failure, Failure::Held { .. } | Failure::Unclear { .. });
        self.long_pause = is_long.then_some(failure);
        self.paused_until = backoff::pause_asked_for(&policies.retry, failure).map(|it| now + it);
        // The waiting callers get the error, which ends their demand. A forced refresh of a valid token is
        // retried.
        let pause = refresh_time::min_reject_interval(&policies.refresh, self.life);
        let was_forced = self.forced_at.is_some() || self.is_forced(now);
        self.forced_at = (was_forced && rest_of_life.is_some()).then(|| now + delay.max(pause));
        self.demand = None;
    }

    /// Ends the pause before an attempt that may end all tokens: which ones are valid has changed. Returns whether there
    /// was one.
    pub(super) fn end_hold(&mut self) -> bool {
        matches!(self.long_pause, Some(Failure::Held { .. })) && self.end_long_pause()
    }

    fn end_long_pause(&mut self) -> bool {
        let is_ended = self.long_pause.take().is_some();
        if is_ended {
            self.retry_at = None;
        }
        is_ended
    }

    /// Returns whether a changed secret may end a refusal.
    pub(super) const fn waits_for_change(&self) -> bool {
        self.is_refused() || self.long_pause.is_some()
    }

    /// Returns whether the last failure was terminal and nothing has changed since.
    pub(super) const fn is_refused(&self) -> bool {
        matches!(self.refusal, Refusal::Standing)
    }

    pub(super) const fn interrupted(&mut self) -> bool {
        std::mem::replace(&mut self.in_flight, false)
    }

    /// Forgets a refusal and the pause after it. With `keeps_pause`, a pause that the server requested stays.
    /// A forced refresh that the refusal has delayed is due when the pause ends.
    pub(super) fn renewed(&mut self, keeps_pause: bool, now: Moment) -> bool {
        let is_ended = self.end_long_pause();
        let is_known = match self.refusal {
            Refusal::None => false,
            Refusal::Standing => true,
            Refusal::Forgotten => !keeps_pause,
        };
        if is_known {
            self.refusal = if keeps_pause {
                Refusal::Forgotten
            } else {
                Refusal::None
            };
            self.paused_until = self.paused_until.filter(|_| keeps_pause);
            self.retry_at = self.paused_until;
            let earliest = self.paused_until.unwrap_or(now);
            self.forced_at = self.forced_at.map(|at| at.min(earliest.max(now)));
        }
        is_ended || is_known
    }

    /// Returns when callers cannot be served any more, which may be in the past; `None` if the last exchange
    /// succeeded. The end of a lazy scope set's token is no outage: its next exchange may succeed.
    pub(super) fn outage_at(&self, is_lazy: bool) -> Option<Moment> {
        if self.failures == 0 || (is_lazy && self.had_token) {
            return None;
        }
        let from_the_start = Moment::from_origin(Duration::ZERO);
        let usable_until = self.window.map(|window| window.usable_until);
        Some(usable_until.unwrap_or(from_the_start))
    }

    /// Returns when the next exchange begins, unless another input comes first. If it is to prove a next long-term token,
    /// it begins at once.
    pub(super) fn next_attempt(
        &self,
        policies: &Policies,
        proving: bool,
        now: Moment,
    ) -> Option<Moment> {
        if self.in_flight {
            return None;
        }
        if proving {
            return Some(self.retry_at.unwrap_or(now).max(now));
        }
        let wanted_at = if self.upcoming.is_none() && self.demand_is_open(now) {
            now
        } else if policies.refresh.lazy || (self.is_refused() && self.rest_of_life(now).is_none()) {
            return None;
        } else {
            let upcoming = self.upcoming.as_ref().map(|upcoming| upcoming.window);
            let refresh_at = upcoming.or(self.window).map_or(now, |it| it.refresh_at);
            self.forced_at.map_or(refresh_at, |at| at.min(refresh_at))
        };
        let earliest = self.retry_at.max(self.held_until);
        Some(wanted_at.max(earliest.unwrap_or(now)))
    }

    /// Returns when the idle scope set is closed: not before its next attempt is due, so that a pause that the server
    /// requested is kept.
    pub(super) fn idle_at(&self, policies: &Policies) -> Option<Moment> {
        let idle_at = self.idle_for(policies.scopes.idle_timeout)?;
        Some(idle_at.max(self.retry_at.unwrap_or(idle_at)))
    }

    /// Returns when the scope set will have been idle for `duration`; `None` while it is in use.
    pub(super) fn idle_for(&self, duration: Duration) -> Option<Moment> {
        let is_busy = self.in_flight || self.demand.is_some() || self.upcoming.is_some();
        (!is_busy).then(|| (self.last_use + duration).max(self.needed_until))
    }

    /// Returns whether the server has requested a pause that is not over.
    pub(super) fn is_paused(&self, now: Moment) -> bool {
        self.paused_until.is_some_and(|until| now < until)
    }

    /// Returns what a caller that waits for a newer token than this one may expect.
    pub(super) fn outlook(&self, newer_than: Generation, now: Moment) -> Outlook {
        let pending = |at: Option<Moment>| at.filter(|at| !self.in_flight && *at > now);
        if let Some(at) = pending(self.retry_at) {
            return if self.is_refused() {
                Outlook::Refused
            } else {
                Outlook::At(at)
            };
        }
        let Some(held_until) = pending(self.held_until) else {
            return Outlook::Imminent;
        };
        let is_present =
            |window: Window| window.generation <= newer_than && now < window.usable_until;
        if self.window.is_some_and(is_present) {
            Outlook::Unchanged
        } else {
            Outlook::At(held_until)
        }
    }

    /// Returns whether a newer token than this one is in use or waits to be published, or an exchange for one
    /// is in flight or demanded.
    pub(super) fn replaces(&self, generation: Generation) -> bool {
        self.upcoming.is_some() || self.is_replacing(generation)
    }

    /// Returns whether a newer token than this one is in use, or an exchange for one is in flight or
    /// demanded.
    pub(super) fn is_replacing(&self, generation: Generation) -> bool {
        self.in_flight
            || self.demand >= Some(Demand::NewerThan(generation))
            || self
                .window
                .is_some_and(|window| window.generation > generation)
    }

    fn rest_of_life(&self, now: Moment) -> Option<Rest> {
        let usable = self.window?.usable_until.since(now);
        (!usable.is_zero()).then_some(Rest {
            usable,
            life: self.life,
        })
    }

    /// Returns whether a caller waits for a newer token.
    fn is_forced(&self, now: Moment) -> bool {
        matches!(self.demand, Some(Demand::NewerThan(_))) && self.demand_is_open(now)
    }

    fn demand_is_open(&self, now: Moment) -> bool {
        self.demand.is_some() && self.demand_opens_at(now).is_none()
    }

    /// Returns when the callers' demand may cause an exchange, if it may not yet.
    pub(super) fn demand_opens_at(&self, now: Moment) -> Option<Moment> {
        let window = self.window?;
        let at = match self.demand? {
            Demand::Refresh => window.refresh_at,
            Demand::NewerThan(generation) if window.generation <= generation => return None,
            Demand::NewerThan(_) => window.usable_until,
        };
        (now < at).then_some(at)
    }
}
