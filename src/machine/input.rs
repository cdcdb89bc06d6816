//! The machine's whole contract: what it is told, and what it asks for.
//!
//! 1. Pass each event to [`Machine::handle`](super::Machine::handle), and each token that an exchange
//!    returns to [`Machine::exchanged`](super::Machine::exchanged).
//! 2. Then [`Machine::poll`](super::Machine::poll), and do what the answer says.
//! 3. Go on polling until the answer is to sleep or to stop.

use std::time::Duration;

use crate::clock::Moment;

/// A set of scopes, which has tokens of its own. [`SetId::ROOT`] stands for the provider's own
/// set; the others come and go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SetId(pub(crate) u64);

/// Counts the tokens that a machine has accepted, of all scope sets; 0 stands for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Generation(pub(crate) u64);

/// What happened.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Input {
    /// Someone wants tokens of this scope set, which is not open.
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
    /// An exchange brought nothing.
    Failed { set: SetId, failure: Failure },
    /// Whoever carried the actions out is gone, and the exchanges in flight with it.
    Interrupted,
    /// Another long-term token replaces the refused one, or the secret of the grant has changed. The machine
    /// forgets refusals and, unless `keeps_pauses` is set, the pauses that the server requested with them.
    Renewed { keeps_pauses: bool },
    /// The long-term token in use is this old, and has so much left if that is known.
    LongTermBegan {
        age: Duration,
        left: Option<Duration>,
    },
    /// The same, after the wall clock that its dates are read by has stepped.
    LongTermDated {
        age: Duration,
        left: Option<Duration>,
    },
    /// The long-term token is to be rotated now.
    RotationDemanded,
    /// Something about the long-term token is to be seen to then.
    Chore { at: Moment },
    /// Something new about the long-term token is to be seen to now, whatever has failed before.
    Urgent,
    /// Whether there is a next long-term token, which an exchange of the root scope set is to prove.
    Proving(bool),
    /// The long-term token was seen to.
    Attended,
    /// Another process holds the lease: look again then.
    AttendingDeferred { until: Moment },
    /// The long-term token could not be seen to, or the next one is no good.
    AttendingFailed {
        failure: Failure,
        /// It is to be tried again after this at the latest: what it is done with ends.
        at_most: Option<Duration>,
    },
    /// No more exchanges; revoke, and be done by then.
    ShutDown { deadline: Moment },
    /// The revoking is done.
    Drained,
    /// The last handle was dropped.
    Abandoned,
}

/// Why an exchange brought nothing, as far as it matters for the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The next attempt may succeed; the server may have said when to make it.
    Transient { retry_after: Option<Duration> },
    /// The same attempt will fail again; the server may have requested a pause.
    Terminal { retry_after: Option<Duration> },
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
    /// See to the long-term token, rotate it if it says so, and report how that ended.
    Attend { rotate: bool },
    /// No caller has used this scope set for long, and it is closed: revoke what it still has.
    Retire(SetId),
    /// The grace of an evicted scope set is over: revoke its tokens.
    RevokeEvicted(SetId),
    /// Revoke what is to be revoked by the deadline, and report when it is done.
    Drain { deadline: Moment },
    /// Nothing until then (for ever, if it is `None`), or until the next event.
    Sleep(Option<Moment>),
    /// Nothing, ever again.
    Stop,
}

/// When the accepted token is to be replaced, and when it must not be used any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) generation: Generation,
    /// When the token was asked for.
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
