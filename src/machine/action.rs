//! The actions of the machine.

use std::time::Duration;

use super::input::SetId;
use super::long_term::{Call, Task};
use crate::clock::Moment;
use crate::error::Error;
use crate::observe::Event;
use crate::token::{LongTermToken, ShortTermToken};

/// What to do next.
#[derive(Debug)]
pub(crate) enum Action {
    /// Exchange the long-term token, if the issuer needs one, within this time, and report how that ended.
    Exchange {
        call: Call,
        set: SetId,
        with: Option<LongTermToken>,
        within: Duration,
    },
    /// The attempt of this scope set has failed.
    Failed { set: SetId, error: Error },
    /// Accept the token that the last exchange of this scope set returned: the long-term token that replaces the
    /// exchanged one is stored.
    Accept(SetId),
    /// Begin this task for the long-term token, and report how it ended.
    Begin(Call, Task),
    /// Drop the lease of the store.
    Release,
    /// Revoke this short-term token, which has served to ask for a long-term one.
    RevokeAuthority(ShortTermToken),
    /// Tell observers.
    Tell(Event),
    /// Do this for a scope set, or for all of them.
    ForSet(SetAction),
    /// Wait until this moment, if there is one, or until the next input.
    Sleep(Option<Moment>),
}

/// What to do next for the scope sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SetAction {
    /// Begin an attempt to exchange.
    Exchange(SetId),
    /// Publish the token that was accepted for later.
    Publish(SetId),
    /// Revoke the tokens of this scope set, which was idle and is closed.
    Retire(SetId),
    /// Revoke the tokens of this evicted scope set, whose grace has ended.
    RevokeEvicted(SetId),
    /// Revoke the tokens by the deadline, and report when that has ended.
    Drain { deadline: Moment },
    /// Nothing until this moment, if there is one, or until the next input.
    Sleep(Option<Moment>),
    /// End the driver.
    Stop,
}
