//! What the driver works on: the machine, and what it must not know. It outlives a driver that
//! goes away with its runtime, and the next one goes on from here.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use super::authority::Learnt;
use super::current::{Published, USE_PRECISION};
use super::grant_pause::GrantPause;
use super::live::{LiveToken, LiveTokens};
use super::outage::{Observed, Outages};
use super::scope_set::ScopeSet;
use super::swap::Swap;
use crate::clock::Moment;
use crate::error::{Error, ErrorKind};
use crate::machine::{Action, Demand, Generation, Input, Machine, Outline, Outlook, SetId};
use crate::observe::Event;
use crate::policy::Policies;
use crate::token::{LongTermToken, ShortTermToken};

/// By less than this a wall clock may wander without anybody minding.
const LEAST_STEP: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) machine: Machine,
    pub(crate) driven: bool,
    pub(crate) long_term: Option<Held>,
    /// How often another long-term token has taken the place of the one before.
    pub(crate) long_term_changes: u64,
    /// When the dates of the long-term token were last read, by both clocks.
    pub(crate) dated_at: Option<(Moment, SystemTime)>,
    /// A next long-term token, which no exchange has proven yet.
    pub(crate) next: Option<LongTermToken>,
    /// What an exchange has shown of the next token, which is to be acted upon.
    pub(crate) verdict: Option<Verdict>,
    /// The long-term tokens beside the one in use: the next one, and those that are superseded.
    pub(crate) beside: Vec<LongTermToken>,
    /// The long-term tokens that were obtained here and that the store does not hold: no other process will
    /// know of them.
    pub(crate) unwritten: Vec<LongTermToken>,
    /// A long-term token that was handed in and is not written down yet.
    pub(crate) handed_in: Option<LongTermToken>,
    /// How many attempts to see to the long-term token have failed, and why the last one did.
    pub(crate) rotation_failures: (u64, Option<Error>),
    /// Whether a rotation was begun that has neither succeeded nor failed yet.
    pub(crate) is_rotating: bool,
    /// The pause that the server requested for the grant, if any.
    pub(crate) grant_pause: Option<GrantPause>,
    /// Why the store cannot be used, if it cannot.
    pub(crate) store_error: Option<Error>,
    pub(crate) live: LiveTokens,
    outages: Outages,
    pub(crate) shutdown_began: Option<Moment>,
    pub(crate) learnt: Learnt,
    /// Whether observers were told which tokens a shutdown without a driver did not revoke.
    pub(crate) is_undone_told: bool,
    root: Arc<ScopeSet>,
    open: HashMap<SetId, Open>,
    /// The evicted scope sets, with their tokens to revoke.
    evicted: HashMap<SetId, Retired>,
    /// Every scope set that a handle holds, open or not. The same scopes never have a second one.
    known: HashMap<Arc<[String]>, Weak<ScopeSet>>,
    sets: u64,
}

/// The long-term token, since when it is here.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) token: LongTermToken,
    pub(crate) since: Moment,
}

/// What an exchange has shown of a next long-term token.
#[derive(Clone, Debug)]
pub(crate) struct Verdict {
    pub(crate) token: LongTermToken,
    /// Why the server refuses it where it accepts the one in use; `None` if it is proven.
    pub(crate) refusal: Option<Error>,
}

/// A scope set whose token is looked after.
#[derive(Debug)]
struct Open {
    set: Arc<ScopeSet>,
    /// The token that will replace the one in use.
    upcoming: Option<Swap>,
    /// How many exchanges have ended.
    attempts: u64,
    /// Why the last one failed, if it did.
    last_error: Option<Error>,
    /// How it was when it was last measured.
    measured: Option<Outline>,
}

/// A scope set that was closed, with what is to be revoked.
#[derive(Debug)]
pub(crate) struct Retired {
    pub(crate) set: Arc<ScopeSet>,
    pub(crate) left: Vec<LiveToken>,
}

/// What there is to say to a caller that the hot path did not serve.
pub(crate) enum Service {
    Token(Arc<Published>),
    /// Wait for the scope set's tick, and ask again.
    Wait {
        /// Whether the exchange is under way, so that the driver need not be told.
        is_under_way: bool,
    },
}

/// What a caller asks for, and what it has seen.
#[derive(Debug)]
pub(crate) struct Asking {
    pub(crate) newer_than: Generation,
    pub(crate) give_up_at: Moment,
    /// How many of the scope set's exchanges had ended when it came.
    pub(crate) seen: Option<u64>,
    /// The scope set that was evicted for the caller's, to be reported.
    pub(crate) evicted: Option<Arc<[String]>>,
}

impl Engine {
    pub(crate) fn new(
        policies: Policies,
        root: &Arc<ScopeSet>,
        long_term: Option<LongTermToken>,
        seed: u64,
        now: Moment,
    ) -> Self {
        let mut engine = Self {
            machine: Machine::new(policies, seed, now),
            driven: false,
            long_term: long_term.map(|token| Held { token, since: now }),
            long_term_changes: 0,
            dated_at: None,
            next: None,
            verdict: None,
            beside: Vec::new(),
            unwritten: Vec::new(),
            handed_in: None,
            rotation_failures: (0, None),
            is_rotating: false,
            grant_pause: None,
            store_error: None,
            live: LiveTokens::default(),
            outages: Outages::default(),
            shutdown_began: None,
            learnt: Learnt::default(),
            is_undone_told: false,
            root: Arc::clone(root),
            open: HashMap::new(),
            evicted: HashMap::new(),
            known: HashMap::new(),
            sets: 0,
        };
        engine.insert(root);
        engine
            .known
            .insert(Arc::clone(&root.scopes), Arc::downgrade(root));
        engine
    }

    /// Has the dates of the long-term token read again if the wall clock has stepped since.
    pub(crate) fn mind_the_wall_clock(&mut self, now: Moment, wall: SystemTime) {
        let Some((then, wall_then)) = self.dated_at else {
            return;
        };
        let passed = now.since(then);
        let step = match wall.duration_since(wall_then) {
            Ok(by_wall) => by_wall.abs_diff(passed),
            Err(back) => back.duration() + passed,
        };
        if step > LEAST_STEP {
            self.dated_at = None;
            self.machine.handle(Input::Chore { at: now }, now);
        }
    }

    /// Takes this long-term token into use.
    pub(crate) fn hold(&mut self, token: LongTermToken, now: Moment) {
        self.long_term = Some(Held { token, since: now });
        self.long_term_changes += 1;
    }

    /// Notes what an exchange has shown of the next token, which the machine is to see to at once.
    pub(crate) fn judge(&mut self, verdict: Verdict, now: Moment) {
        self.verdict = Some(verdict);
        self.forget_outdated_verdict();
        if self.verdict.is_some() {
            self.machine.handle(Input::Proving(false), now);
            self.machine.handle(Input::Urgent, now);
        }
    }

    /// A verdict is about the next token that is there, or about none.
    pub(crate) fn forget_outdated_verdict(&mut self) {
        let next = self.next.as_ref();
        self.verdict
            .take_if(|verdict| !next.is_some_and(|next| next.reads_like(&verdict.token)));
    }

    /// The scope set of the provider's own set.
    pub(crate) fn root(&self) -> Arc<ScopeSet> {
        Arc::clone(&self.root)
    }

    /// The scope set of this set, which need not be open.
    pub(crate) fn set(&mut self, scopes: Arc<[String]>) -> Arc<ScopeSet> {
        if let Some(set) = self.known.get(&scopes).and_then(Weak::upgrade) {
            return set;
        }
        self.known.retain(|_, set| set.strong_count() > 0);
        self.sets += 1;
        let set = ScopeSet::new(SetId(self.sets), Arc::clone(&scopes));
        self.known.insert(scopes, Arc::downgrade(&set));
        set
    }

    pub(crate) fn open_sets(&self) -> impl Iterator<Item = &Arc<ScopeSet>> {
        self.open.values().map(|open| &open.set)
    }

    /// The scope sets that are not as they were when they were last measured, and the root, whose
    /// measurement is also that of the provider.
    pub(crate) fn changed_sets(&mut self) -> Vec<Arc<ScopeSet>> {
        let mut changed = Vec::new();
        for (&id, open) in &mut self.open {
            let outline = self.machine.outline(id);
            if open.measured != outline || id == SetId::ROOT {
                open.measured = outline;
                changed.push(Arc::clone(&open.set));
            }
        }
        changed
    }

    /// Returns whether the last attempt to rotate the long-term token was refused.
    pub(crate) fn is_rotation_refused(&self) -> bool {
        let (_, last) = &self.rotation_failures;
        last.as_ref().is_some_and(|error| !error.is_retryable())
    }

    pub(crate) fn last_error(&self, set: SetId) -> Option<&Error> {
        self.open.get(&set)?.last_error.as_ref()
    }

    /// Serves a caller, or notes what it needs. All that decides it is seen at one moment.
    pub(crate) fn serve(
        &mut self,
        set: &Arc<ScopeSet>,
        asking: &mut Asking,
        now: Moment,
    ) -> Result<Service, Error> {
        if let Some(published) = set.current.good(now, asking.newer_than) {
            self.machine.handle(Input::Used(set.id), now);
            if self.machine.is_lazy() && published.window.refresh_at <= now {
                self.demand(set.id, Demand::Refresh, now);
            }
            return Ok(Service::Token(published));
        }
        if !self.machine.is_running() {
            return Err(shut_down());
        }
        asking.evicted = self.open(set, now)?;
        let (attempts, last_error) = match self.open.get(&set.id) {
            Some(open) => (open.attempts, open.last_error.clone()),
            None => (0, None),
        };
        let outlook = self.machine.outlook(set.id, asking.newer_than, now);
        let has_failed = attempts > *asking.seen.get_or_insert(attempts);
        let is_hopeless = match outlook {
            Outlook::Imminent => false,
            Outlook::At(at) => at > asking.give_up_at,
            Outlook::Unchanged => return Err(unchanged()),
            Outlook::Refused | Outlook::ShutDown => true,
        };
        if let Some(error) = last_error.filter(|_| has_failed || is_hopeless) {
            return Err(error);
        }
        self.demand(set.id, Demand::NewerThan(asking.newer_than), now);
        Ok(Service::Wait {
            is_under_way: self.machine.is_exchanging(set.id),
        })
    }

    /// Notes who was used, and says what is to be done next. A scope set that the machine retires is
    /// closed before anybody can open it again.
    pub(crate) fn poll(&mut self, now: Moment) -> (Action, Option<Retired>) {
        self.note_uses(now);
        let action = self.machine.poll(now);
        let retired = match action {
            Action::Retire(set) => self.close(set, now),
            Action::RevokeEvicted(set) => self.evicted.remove(&set),
            _ => None,
        };
        (action, retired)
    }

    fn note_uses(&mut self, now: Moment) {
        for Open { set, .. } in self.open.values() {
            let last_use = if set.has_waiting() {
                now
            } else {
                (set.current.last_use() + USE_PRECISION).min(now)
            };
            self.machine.handle(Input::Used(set.id), last_use);
        }
    }

    fn close(&mut self, set: SetId, now: Moment) -> Option<Retired> {
        let open = self.open.remove(&set)?;
        self.outages.forget(set);
        for token in open.tokens() {
            self.live.give(&token, set);
        }
        let Open { set, .. } = open;
        set.current.withdraw();
        self.live.forget_ended(now);
        let left = self.live.of_set(set.id);
        Some(Retired { set, left })
    }

    pub(crate) fn generations_in_use(&self) -> Vec<u64> {
        let published = self
            .open
            .values()
            .filter_map(|open| open.set.current.load());
        published.map(|it| it.window.generation.0).collect()
    }

    /// Returns the tokens to revoke: those that no open scope set uses and that the driver will not revoke for an
    /// evicted scope set. Assigns each token that an open scope set uses to that scope set. A server may return one token
    /// for several scope sets.
    pub(crate) fn unused(
        &mut self,
        tokens: impl IntoIterator<Item = ShortTermToken>,
    ) -> Vec<ShortTermToken> {
        let mut unused = Vec::new();
        for token in tokens {
            let mut evicted = self.evicted.values().flat_map(|evicted| &evicted.left);
            match self.open.values().find(|open| open.uses(&token)) {
                Some(open) => self.live.give(&token, open.set.id),
                None if evicted.any(|minted| minted.token.is_same(&token)) => {}
                None => unused.push(token),
            }
        }
        unused
    }

    /// Returns the long-term tokens: the one in use, and all others.
    pub(crate) fn long_term_tokens(&self) -> Vec<LongTermToken> {
        let in_use = self.long_term.iter().map(|held| &held.token);
        in_use
            .chain(&self.next)
            .chain(&self.beside)
            .chain(&self.unwritten)
            .chain(&self.handed_in)
            .cloned()
            .collect()
    }

    /// Returns the short-term tokens that open scope sets use, or will use next.
    pub(crate) fn tokens_in_use(&self) -> impl Iterator<Item = ShortTermToken> {
        self.open.values().flat_map(Open::tokens)
    }

    pub(crate) fn note_upcoming(&mut self, set: SetId, swap: Swap) {
        if let Some(open) = self.open.get_mut(&set) {
            open.upcoming = Some(swap);
        }
    }

    pub(crate) fn take_upcoming(&mut self, set: SetId) -> Option<(Arc<ScopeSet>, Swap)> {
        let open = self.open.get_mut(&set)?;
        Some((Arc::clone(&open.set), open.upcoming.take()?))
    }

    pub(crate) fn forget_grant_pause(&mut self, now: Moment) {
        self.grant_pause.take_if(|pause| pause.is_over(now));
    }

    /// Drops all tokens after the shutdown.
    pub(crate) fn forget_tokens(&mut self) {
        self.live = LiveTokens::default();
        self.evicted = HashMap::new();
        self.long_term = None;
        self.next = None;
        self.beside = Vec::new();
        self.unwritten = Vec::new();
        self.handed_in = None;
        self.grant_pause = None;
        for open in self.open.values_mut() {
            open.upcoming = None;
        }
    }

    /// Returns what to tell observers of the outages, and when to look again at the latest.
    pub(crate) fn observe_outages(&mut self, now: Moment) -> (Vec<Event>, Option<Moment>) {
        if !self.machine.is_running() {
            return (Vec::new(), None);
        }
        let machine = &self.machine;
        let open = self.open.iter().filter_map(|(&id, open)| {
            Some(Observed {
                scope_set: &open.set,
                health: machine.health(id, now)?,
                attempts: open.attempts,
                last_error: open.last_error.as_ref(),
            })
        });
        self.outages.observe(open, now)
    }

    /// Notes that an exchange of this scope set has ended, after the machine was told.
    pub(crate) fn note_attempt(&mut self, set: SetId, error: Option<Error>) {
        if let Some(open) = self.open.get_mut(&set) {
            open.attempts += 1;
            open.last_error = error;
        }
    }

    fn demand(&mut self, set: SetId, demand: Demand, now: Moment) {
        self.machine.handle(Input::Demanded { set, demand }, now);
    }

    /// Opens the scope set unless it is open. Returns the scope set that was evicted for it.
    fn open(&mut self, set: &Arc<ScopeSet>, now: Moment) -> Result<Option<Arc<[String]>>, Error> {
        if self.machine.is_open(set.id) {
            return Ok(None);
        }
        let evicted = if self.machine.has_room() {
            None
        } else {
            self.evict(now)?
        };
        self.machine.handle(Input::Opened(set.id), now);
        self.insert(set);
        Ok(evicted)
    }

    /// Evicts the scope set that has been idle longest. Its tokens are revoked after the grace.
    fn evict(&mut self, now: Moment) -> Result<Option<Arc<[String]>>, Error> {
        self.note_uses(now);
        let evicted = self.machine.evict(now).ok_or_else(|| {
            Error::own(
                ErrorKind::TooManyScopeSets,
                "all scope sets that ScopePolicy::max_sets allows were in use within the last 30 s, or \
                 are in a pause that the server requested; use fewer scope sets, or raise \
                 ScopePolicy::max_sets",
            )
        })?;
        let Some(retired) = self.close(evicted, now) else {
            return Ok(None);
        };
        let scopes = Arc::clone(&retired.set.scopes);
        self.evicted.insert(evicted, retired);
        Ok(Some(scopes))
    }

    fn insert(&mut self, set: &Arc<ScopeSet>) {
        let open = Open {
            set: Arc::clone(set),
            upcoming: None,
            attempts: 0,
            last_error: None,
            measured: None,
        };
        self.open.insert(set.id, open);
    }
}

impl Open {
    /// Returns the token in use and the one that will replace it.
    fn tokens(&self) -> impl Iterator<Item = ShortTermToken> {
        let present = self.set.current.load().map(|present| present.token.clone());
        let upcoming = self.upcoming.as_ref().map(|it| it.token.clone());
        present.into_iter().chain(upcoming)
    }

    fn uses(&self, token: &ShortTermToken) -> bool {
        self.tokens().any(|used| used.is_same(token))
    }
}

pub(crate) fn shut_down() -> Error {
    Error::own(
        ErrorKind::ShutDown,
        "the token provider was shut down and gives out no more tokens",
    )
}

fn unchanged() -> Error {
    Error::own(
        ErrorKind::Unchanged,
        "the auth server returned the token in use again; try again when that token has expired",
    )
}
