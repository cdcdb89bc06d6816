//! A process of the toy world: the rules for its long-term token, and its calls in flight.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::history::Beginning;
use super::world::long_term;
use crate::clock::{Moment, Now};
use crate::error::Error;
use crate::machine::input::SetId;
use crate::machine::long_term::task::{Call as CallNumber, Outcome, Task};
use crate::machine::long_term::{LongTerm, Setup};
use crate::policy::{Policies, RefreshPolicy};
use crate::token::LongTermToken;

/// How long the short-term tokens live.
pub(super) const LIFE: Duration = Duration::from_secs(600);

#[derive(Debug)]
pub(super) struct Process {
    pub(super) rules: LongTerm,
    pub(super) calls: Vec<Call>,
    /// The short-term tokens that it has got.
    pub(super) minted: Vec<u32>,
    /// Those that callers get.
    pub(super) served: BTreeMap<SetId, Served>,
    /// The tokens that are published once a replacement is stored.
    pub(super) upcoming: BTreeMap<SetId, Served>,
    pub(super) attempts: BTreeSet<SetId>,
    /// The scope sets that are to be refreshed.
    pub(super) wanted: BTreeSet<SetId>,
    /// The last token that was handed in. No older one is exchanged.
    pub(super) handed_in: Option<u32>,
    /// How many tokens it has got.
    pub(super) tokens: u32,
    /// When it needs a token again in the calm, unless it has got one.
    pub(super) retry_at: Moment,
    /// The version of the stored record of which the process was told last.
    pub(super) told_version: u64,
    pub(super) is_stopped: bool,
    pub(super) is_draining: bool,
}

/// A call that was carried out and not answered.
#[derive(Debug)]
pub(super) enum Call {
    Task(CallNumber, Box<(Task, Result<Outcome, Error>)>),
    Exchange {
        id: CallNumber,
        set: SetId,
        with: LongTermToken,
        outcome: Result<(u32, Option<u32>), Error>,
    },
}

#[derive(Clone, Debug)]
pub(super) struct Served {
    pub(super) short: u32,
    pub(super) minted_from: LongTermToken,
    pub(super) until: Moment,
}

impl Process {
    /// A process that starts.
    pub(super) fn new(beginning: Beginning, seed: u64, now: Now) -> Self {
        let setup = Setup {
            shares_store: beginning.is_shared(),
            replaces: beginning.behaviour.replaces,
            reuse_grace: Duration::ZERO,
            rotates: beginning.rotates,
            recovers: beginning.recovers,
            policies: Policies {
                refresh: RefreshPolicy::default().default_lifetime(LIFE),
                ..Policies::default()
            }
            .into(),
        };
        Self {
            rules: LongTerm::new(
                setup,
                beginning.has_token.then(|| long_term(1, now)),
                seed,
                now,
            ),
            minted: Vec::new(),
            calls: Vec::new(),
            served: BTreeMap::new(),
            upcoming: BTreeMap::new(),
            attempts: BTreeSet::new(),
            wanted: BTreeSet::new(),
            handed_in: None,
            tokens: 0,
            retry_at: now.at,
            told_version: 0,
            is_stopped: false,
            is_draining: false,
        }
    }

    /// A scope set begins an attempt, unless it has begun one.
    pub(super) fn need(&mut self, set: SetId, now: Now) {
        if !self.is_draining && self.attempts.insert(set) {
            self.wanted.remove(&set);
            self.rules.begin(set, now.at, now.at);
        }
    }

    pub(super) fn publish(&mut self, set: SetId, served: Served) {
        self.attempts.remove(&set);
        self.served.insert(set, served);
        self.tokens += 1;
    }

    /// Returns the long-term tokens in calls whose answers have not arrived.
    pub(super) fn unanswered(&self) -> impl Iterator<Item = u32> {
        self.calls.iter().filter_map(|call| match call {
            Call::Task(_, call) => match &call.1 {
                Ok(Outcome::Obtained(token)) => Some(super::world::number(&token.token)),
                _ => None,
            },
            Call::Exchange {
                outcome: Ok((_, replacement)),
                ..
            } => *replacement,
            Call::Exchange { .. } => None,
        })
    }
}
