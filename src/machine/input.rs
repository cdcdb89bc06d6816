//! The inputs and actions of the machine.
//!
//! 1. Pass each event to [`Machine::handle`](super::Machine::handle), and each token that an exchange
//!    returns to [`Machine::exchanged`](super::Machine::exchanged).
//! 2. Then call [`Machine::poll`](super::Machine::poll), and execute the action.
//! 3. Repeat step 2 until the action is to sleep or to stop.

use std::time::Duration;

use crate::clock::Moment;
use crate::error::Error;

/// Identifies a scope set, which has tokens of its own. [`SetId::ROOT`] is the provider's own scope set, which is
/// always open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SetId(pub(crate) u64);

/// Numbers the tokens that a machine has accepted, over all scope sets; 0 stands for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Generation(pub(crate) u64);

/// What happened.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Input {
    /// A caller needs tokens of a scope set that is not open.
    Opened(SetId),
    /// A caller has used a token of this scope set, or waits for a token.
    Used(SetId),
    /// A caller needs a token of this scope set until this moment.
    Needed { set: SetId, until: Moment },
    /// A caller has this demand.
    Demanded { set: SetId, demand: Demand },
    /// A resource server refused this token.
    Denied { set: SetId, generation: Generation },
    /// A caller needs a longer remaining life than this token has.
    Outlasted { set: SetId, generation: Generation },
    /// An exchange failed.
    Failed { set: SetId, failure: Failure },
    /// The driver was dropped, and the exchanges in flight with it.
    Interrupted,
    /// Another long-term token replaces the refused one, or the secret of the grant has changed. The machine
    /// forgets refusals and, unless `keeps_pauses` is set, the pauses that the server requested with them.
    Renewed { keeps_pauses: bool },
    /// Another long-term token is in use. It has this age, and this remaining life if that is known.
    LongTermBegan {
        age: Duration,
        left: Option<Duration>,
    },
    /// The age and remaining life of the long-term token in use, after the wall clock has stepped.
    LongTermDated {
        age: Duration,
        left: Option<Duration>,
    },
    /// A caller demands a rotation of the long-term token.
    RotationDemanded,
    /// Requests an [`Action::Attend`] at this moment.
    Chore { at: Moment },
    /// Requests an [`Action::Attend`] now, also after failures.
    Urgent,
    /// Whether there is a next long-term token, which an exchange of the root scope set is to prove.
    Proving(bool),
    /// An [`Action::Attend`] has succeeded.
    Attended,
    /// Another process holds the lease; the next [`Action::Attend`] is due at this moment.
    AttendingDeferred { until: Moment },
    /// An [`Action::Attend`] has failed, or the auth server refuses the next token.
    AttendingFailed {
        failure: Failure,
        /// The longest pause before the next attempt, since the short-term token that authorizes it expires.
        at_most: Option<Duration>,
    },
    /// The shutdown begins, with this deadline. No exchange begins after it.
    ShutDown { deadline: Moment },
    /// The shutdown has ended.
    Drained,
    /// The last handle was dropped.
    Abandoned,
}

/// What a failure means for the next attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The next attempt may succeed; the server may have requested a pause.
    Transient { retry_after: Option<Duration> },
    /// The same attempt will fail again; the server may have requested a pause.
    Terminal { retry_after: Option<Duration> },
}

impl Failure {
    pub(crate) fn of(error: &Error) -> Self {
        let retry_after = error.retry_after();
        if error.is_retryable() {
            Self::Transient { retry_after }
        } else {
            Self::Terminal { retry_after }
        }
    }
}

/// What a caller needs. A greater demand includes the lesser ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Demand {
    /// A refresh that is due; the caller was served the token in use.
    Refresh,
    /// A usable token that is newer than this one; the caller waits.
    NewerThan(Generation),
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Begin an exchange, and report how it ended.
    Exchange(SetId),
    /// Publish the token that was accepted for later.
    Publish(SetId),
    /// Do what is due for the long-term token, rotate it if `rotate` is set, and report how that ended.
    Attend { rotate: bool },
    /// Revoke the tokens of this scope set, which was idle and is closed.
    Retire(SetId),
    /// Revoke the tokens of this evicted scope set, whose grace has ended.
    RevokeEvicted(SetId),
    /// Revoke the tokens by the deadline, and report when that has ended.
    Drain { deadline: Moment },
    /// Wait until this moment, if there is one, or until the next input.
    Sleep(Option<Moment>),
    /// End the driver.
    Stop,
}

/// When the accepted token is to be replaced, and when it must not be used any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) generation: Generation,
    /// When the request for the token was sent.
    pub(crate) sent: Moment,
    /// When the token arrived.
    pub(crate) received: Moment,
    pub(crate) refresh_at: Moment,
    pub(crate) usable_until: Moment,
    pub(crate) ends_at: Moment,
}

impl SetId {
    pub(crate) const ROOT: Self = Self(0);
}
