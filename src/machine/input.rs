//! The inputs of the machine.
//!
//! 1. Pass each event to [`Machine::handle`](super::Machine::handle), and how each exchange and each task ended to the
//!    methods for that.
//! 2. Then call [`Machine::poll`](super::Machine::poll), and execute the action.
//! 3. Repeat step 2 until the action is to sleep or to stop.

use std::time::Duration;

use crate::clock::Moment;
use crate::error::Error;

/// How long after a token was replaced calls with it may be in flight, and no longer than the grace.
pub(super) const IN_FLIGHT: Duration = Duration::from_secs(60);

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
    /// The store may hold another record, or a caller wants to know.
    StoreChanged,
    /// The secret of the issuer or of a grant was replaced after a refusal.
    SecretChanged,
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
    /// The same attempt is likely to fail again, and is repeated after this pause.
    Unclear { pause: Duration },
    /// The next attempt may end all tokens, and is made after this pause, when no token is valid any more.
    Held { pause: Duration },
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
