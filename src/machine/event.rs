//! The machine's whole contract: what it is told, and what it asks for.
//!
//! 1. Whatever happens, [`Machine::handle`](super::Machine::handle) it.
//! 2. Then [`Machine::poll`](super::Machine::poll), and do what the answer says.
//! 3. Go on polling until the answer is to sleep or to stop.

use std::time::Duration;

use crate::clock::Moment;

/// Counts the tokens that one machine has accepted; the first is 1, and 0 stands for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Generation(pub(crate) u64);

/// What happened.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Event {
    /// A caller waits for a usable token that is newer than this one.
    Demanded { newer_than: Generation },
    /// A resource server refused this token.
    Denied(Generation),
    /// An exchange, sent at this moment, brought a token that lives this long from then.
    Exchanged { sent: Moment, life: Duration },
    /// An exchange brought nothing.
    Failed(Failure),
    /// Whoever carried the actions out is gone, and an exchange in flight with it.
    Interrupted,
    /// No more exchanges; revoke, and be done by then.
    ShutDown { deadline: Moment },
    /// The revoking is done.
    Drained,
    /// Nobody is left to use a token.
    Abandoned,
}

/// Why an exchange brought nothing, as far as it matters for the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The next attempt may succeed; the server may have said when to make it.
    Transient { retry_after: Option<Duration> },
    /// The same attempt will fail again.
    Terminal,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Begin an exchange, and report how it ended.
    Exchange,
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
    pub(crate) refresh_at: Moment,
    pub(crate) usable_until: Moment,
    pub(crate) ends_at: Moment,
}
