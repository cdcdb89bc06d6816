//! What is done about the long-term token, one task at a time, and how each task ends.

use std::time::Duration;

use crate::error::Error;
use crate::machine::{Failure, SetId};
use crate::observe::Event;
use crate::store::{Dated, Record, Stored, Version};
use crate::token::{LongTermToken, ShortTermToken};

/// Numbers the tasks and exchanges. The answer to one that was interrupted may come while the next one is in progress.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Call(pub(super) u64);

/// What to do next.
#[derive(Debug)]
pub(crate) enum Step {
    /// Run this task, and report how it ended with `LongTerm::ended`.
    Begin(Call, Task),
    /// Exchange this long-term token for the scope set within this time, and report how that ended with
    /// `LongTerm::minted` or `LongTerm::exchange_failed`.
    Exchange {
        call: Call,
        set: SetId,
        with: LongTermToken,
        within: Duration,
    },
    /// The attempt of this scope set has failed.
    Fail {
        set: SetId,
        error: Error,
        failure: Failure,
    },
    /// The attempt of this scope set has succeeded: its token may be published.
    Accept(SetId),
    /// Drop the lease.
    Release,
    /// Revoke a short-term token that has authorized a request. The outcome does not matter here.
    RevokeAuthority(ShortTermToken),
    /// Tell observers.
    Tell(Event),
}

/// What a change of the long-term token means for the scope sets.
#[derive(Debug)]
pub(crate) enum Effect {
    /// What the server has refused may succeed. Unless `keeps_pauses`, the pauses that it requested end, too.
    ForgetRefusals { keeps_pauses: bool },
    /// Refresh within the grace the scope sets whose token was minted from this one.
    Refresh { superseded: LongTermToken },
    /// Forget this token, which was revoked.
    Forget { token: LongTermToken },
}

/// A task about the long-term token. The task in progress is the only one.
#[derive(Clone, Debug)]
pub(crate) enum Task {
    Load,
    /// Write the record in place of this version.
    Save {
        record: Record,
        over: Option<Version>,
    },
    /// Take the lease, for this long at most.
    Lease {
        at_most: Duration,
    },
    /// Prolong the lease that is held, for this long from now at most.
    Renew {
        at_most: Duration,
    },
    /// Exchange the long-term token for the short-term token that authorizes a request for the next one.
    Authorize {
        with: LongTermToken,
    },
    /// Request the next long-term token after this one.
    Ask {
        with: ShortTermToken,
        after: LongTermToken,
    },
    /// Obtain with a grant the long-term token that follows this one, if there is one.
    Obtain {
        purpose: Purpose,
        after: Option<LongTermToken>,
    },
    Revoke(LongTermToken),
}

/// A call in progress that may obtain a token.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InFlight {
    pub(crate) call: Call,
    /// The scope set whose exchange it is, if it is one.
    pub(crate) set: Option<SetId>,
    /// How long the token lives that it may obtain, as far as that can be told.
    pub(crate) life: Option<Duration>,
    /// Whether that is a long-term token.
    pub(crate) is_long_term: bool,
}

/// What a grant is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To replace the token in use, which the server accepts.
    Rotate,
    /// To replace a token that the server refuses, or to begin with.
    Recover,
}

/// How a task ended, unless it failed.
#[derive(Debug)]
pub(crate) enum Outcome {
    Loaded(Option<Stored>),
    Saved(Version),
    /// Whether the lease is held.
    Leased(bool),
    /// A short-term token, and the long-term token that replaces the exchanged one, if there is one.
    Authorized(ShortTermToken, Option<Dated>),
    Obtained(Dated),
    /// The token is revoked, or cannot be revoked.
    Revoked,
}

/// The kinds of task, each of which has its own pause after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// Reading the store, and the lease.
    Read,
    Write,
    Rotation,
    /// Grants whose tokens the server refuses.
    Recovery,
    Revocation,
}
