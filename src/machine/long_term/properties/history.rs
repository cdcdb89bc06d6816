//! What happens in a history: steps of the processes, faults, and other hands.

use std::time::Duration;

use proptest::prelude::*;

use super::world::{Behaviour, Fault, Old};
use crate::machine::long_term::{Recovers, Rotates};

/// What a history begins with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Beginning {
    pub(super) behaviour: Behaviour,
    pub(super) rotates: Option<Rotates>,
    pub(super) recovers: Option<Recovers>,
    /// Whether the processes are configured with the token 1. Otherwise a grant obtains the first one.
    pub(super) has_token: bool,
    /// How many processes share the store. `None` is one with a private store, which is lost in a crash.
    pub(super) sharing: Option<usize>,
    /// Whether a person hands in tokens and removes the record. What that costs is excused.
    pub(super) has_other_hands: bool,
    /// Whether a process may be stopped while it holds the lease.
    pub(super) stops: bool,
}

impl Beginning {
    pub(super) fn processes(&self) -> usize {
        self.sharing.unwrap_or(1)
    }

    pub(super) const fn is_shared(&self) -> bool {
        self.sharing.is_some()
    }
}

/// One thing that happens. `u8` numbers a process.
#[derive(Clone, Copy, Debug)]
pub(super) enum Event {
    /// The process does what is next. If that is a call, it is carried out at once, and answered later.
    Act(u8, Fault),
    /// A call of the process is answered.
    Answer(u8, u8),
    Pass(Duration),
    /// The process dies, and another one starts in its place.
    Crash(u8),
    /// A person hands in a token, which the server accepts or not.
    HandIn(u8, bool),
    /// A person hands in the token in use.
    HandInAgain(u8),
    /// Somebody removes the stored record.
    Remove,
    Rotate(u8),
    /// A scope set of the process needs a token.
    Need(u8, u8),
    /// The store tells the process that it has changed.
    Changed(u8),
    /// The runtime of the process is dropped with all calls in flight, and another one takes over.
    Interrupt(u8),
    /// The process stops while it holds the lease.
    Stop(u8),
    ShutDown(u8),
    /// The calls in flight have taken too much of the time for the shutdown, and are dropped.
    GiveUp(u8),
}

pub(super) fn beginnings() -> impl Strategy<Value = Beginning> {
    let old = prop_oneof![
        Just(Old::DiesAtOnce),
        Just(Old::DiesAtProof),
        Just(Old::Lives)
    ];
    let rotates = prop_oneof![
        7 => Just(Some(Rotates::WithShortTerm)),
        2 => Just(Some(Rotates::WithGrant)),
        1 => Just(None),
    ];
    let recovers = prop_oneof![
        6 => Just(None),
        3 => Just(Some(Recovers::WithGrant)),
        1 => Just(Some(Recovers::WithOneTimeCode)),
    ];
    let replaces = proptest::bool::weighted(0.15);
    (
        old,
        any::<bool>(),
        replaces,
        rotates,
        recovers,
        prop_oneof![1 => Just(0_usize), 4 => Just(1), 5 => Just(2)],
        proptest::bool::weighted(0.3),
        proptest::bool::weighted(0.2),
        any::<bool>(),
    )
        .prop_map(
            |(
                old,
                cascades,
                replaces,
                rotates,
                recovers,
                processes,
                stops,
                is_bare,
                has_other_hands,
            )| Beginning {
                behaviour: Behaviour {
                    old,
                    cascades,
                    replaces,
                },
                rotates: rotates.filter(|_| !replaces),
                recovers: if replaces {
                    Some(Recovers::WithGrant)
                } else {
                    recovers
                },
                has_token: !is_bare || recovers != Some(Recovers::WithGrant),
                sharing: Some(processes).filter(|processes| *processes > 0),
                has_other_hands,
                stops: stops && processes == 2,
            },
        )
}

fn faults() -> impl Strategy<Value = Fault> {
    prop_oneof![
        20 => Just(Fault::None),
        1 => Just(Fault::Unreachable),
        2 => Just(Fault::AnswerLost),
        1 => Just(Fault::Dud),
        1 => Just(Fault::Refused),
    ]
}

pub(super) fn events() -> impl Strategy<Value = Event> {
    let process = 0_u8..2;
    prop_oneof![
        80 => (process.clone(), faults()).prop_map(|(process, fault)| Event::Act(process, fault)),
        60 => (process.clone(), any::<u8>()).prop_map(|(process, call)| Event::Answer(process, call)),
        6 => (0_u64..2_000).prop_map(|millis| Event::Pass(Duration::from_millis(millis))),
        2 => (0_u64..400).prop_map(|seconds| Event::Pass(Duration::from_secs(seconds))),
        4 => process.clone().prop_map(Event::Crash),
        2 => (process.clone(), any::<bool>()).prop_map(|(process, is_alive)| Event::HandIn(process, is_alive)),
        1 => process.clone().prop_map(Event::HandInAgain),
        1 => Just(Event::Remove),
        6 => process.clone().prop_map(Event::Rotate),
        8 => (process.clone(), 0_u8..2).prop_map(|(process, set)| Event::Need(process, set)),
        4 => process.clone().prop_map(Event::Changed),
        2 => process.clone().prop_map(Event::Interrupt),
        2 => process.clone().prop_map(Event::Stop),
        1 => process.clone().prop_map(Event::ShutDown),
        2 => process.prop_map(Event::GiveUp),
    ]
}
