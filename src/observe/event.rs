//! What happens to a provider, as values.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast;

use crate::error::Error;

/// The target of each tracing event and span.
pub(super) const TARGET: &str = "everbearer";

/// Something that happened to a provider, in the order in which it happened.
///
/// Each is also a tracing event with the target `everbearer`, as
/// [`guide::observation`](crate::guide::observation) lists them. None holds a secret.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A long-term token was obtained by a grant.
    #[non_exhaustive]
    LongTermObtained {
        /// Its ID, if the server gave one.
        token_id: Option<String>,
    },
    /// An exchange began.
    #[non_exhaustive]
    ExchangeBegan {
        /// The scopes that are asked for; empty if all.
        scopes: Arc<[String]>,
        /// How many exchanges in a row have failed before this one.
        failures: u32,
    },
    /// An exchange brought a token, which took the place of the one before.
    #[non_exhaustive]
    Swapped {
        /// The scopes that were asked for; empty if all.
        scopes: Arc<[String]>,
        /// Counts the tokens of this provider, of all its sets of scopes; the first is 1.
        generation: u64,
        /// The new token's ID, if the server gave one.
        token_id: Option<String>,
        /// How long the new token lives, counted from when it was asked for.
        life: Duration,
        /// How long the exchange took.
        took: Duration,
        /// How much of its life the token before had left; `None` if there was none before.
        previous_left: Option<Duration>,
    },
    /// An exchange returned the token in use again.
    #[non_exhaustive]
    Unchanged {
        /// The scopes that were asked for; empty if all.
        scopes: Arc<[String]>,
        /// The token's generation.
        generation: u64,
        /// How much of its life is left, by the latest statement.
        left: Duration,
        /// How long the exchange took.
        took: Duration,
    },
    /// An exchange brought no token. The token in use, if it is still good, stays in use.
    #[non_exhaustive]
    ExchangeFailed {
        /// The scopes that were asked for; empty if all.
        scopes: Arc<[String]>,
        /// Why.
        error: Error,
        /// How many exchanges in a row have failed, this one included.
        failures: u32,
        /// Whether the one before failed in the same way.
        repeats: bool,
        /// In how long the next attempt begins by itself; `None` if only a caller in need of a
        /// token brings it about.
        retry_in: Option<Duration>,
    },
    /// An exchange has failed, and there is no valid token: callers cannot be served until one succeeds. If the
    /// scope set is retired or evicted, or the provider shuts down, no [`OutageEnded`](Self::OutageEnded)
    /// follows.
    #[non_exhaustive]
    OutageBegan {
        /// The scopes that were asked for; empty if all.
        scopes: Arc<[String]>,
        /// Why the last exchange failed.
        error: Error,
        /// How many exchanges in a row have failed.
        failures: u32,
    },
    /// One or more outages go on. The provider reports this 30 s after the first outage began, and then after
    /// pauses that double, up to 1 h.
    #[non_exhaustive]
    OutageContinues {
        /// How many scope sets that are in use have no valid token.
        scope_sets: usize,
        /// How long the longest outage has lasted.
        lasted: Duration,
        /// Why the last exchange of the scope set with the longest outage failed.
        error: Error,
    },
    /// There is a valid token again.
    #[non_exhaustive]
    OutageEnded {
        /// The scopes that were asked for; empty if all.
        scopes: Arc<[String]>,
        /// How many exchanges it took, from the first one that failed to the one that returned the token.
        attempts: u64,
        /// How long the outage lasted.
        lasted: Duration,
    },
    /// A resource server refused the token in use, and it is exchanged for another.
    #[non_exhaustive]
    Denied {
        /// The scopes of the token; empty if all.
        scopes: Arc<[String]>,
        /// The generation that was refused.
        generation: u64,
    },
    /// No caller has used a scope set for long: its tokens are no longer refreshed, and are
    /// revoked.
    #[non_exhaustive]
    ScopesRetired {
        /// The set.
        scopes: Arc<[String]>,
    },
    /// There is another long-term token, by
    /// [`TokenProvider::set_long_term_token`](crate::TokenProvider::set_long_term_token).
    #[non_exhaustive]
    LongTermRenewed {
        /// Its ID, if it is known.
        token_id: Option<String>,
    },
    /// Another process has put another long-term token into the
    /// [store](crate::TokenProviderBuilder::store), and it was taken up.
    #[non_exhaustive]
    LongTermReloaded {
        /// Its ID, if it is known.
        token_id: Option<String>,
    },
    /// A rotation of the long-term token began.
    RotationBegan,
    /// The next long-term token is durably stored, was proven by an exchange, and is the one in
    /// use from now on. The one before is revoked after
    /// [`RotationPolicy::grace`](crate::RotationPolicy::grace).
    #[non_exhaustive]
    Rotated {
        /// The new one's ID, if it is known.
        token_id: Option<String>,
        /// The ID of the one before, if it is known.
        previous_id: Option<String>,
    },
    /// A rotation, or what else is to be done about the long-term token, failed; the one in use
    /// stays in use.
    #[non_exhaustive]
    RotationFailed {
        /// Why.
        error: Error,
        /// Whether the one before failed in the same way.
        repeats: bool,
        /// In how long it is tried again.
        retry_in: Option<Duration>,
    },
    /// The store could not be read or written. What was read from it last stays in use, and what
    /// is to be written is kept until it can be.
    #[non_exhaustive]
    StoreFailed {
        /// Why.
        error: Error,
        /// Whether the last attempt failed in the same way.
        repeats: bool,
    },
    /// The shutdown began: no exchange begins any more.
    #[non_exhaustive]
    ShutdownBegan {
        /// How many short-term tokens are to be revoked.
        tokens: usize,
    },
    /// A token was revoked, or could not be and is not tried again.
    #[non_exhaustive]
    Revocation {
        /// Its ID, if the server gave one.
        token_id: Option<String>,
        /// Why it may live on; `None` if it is gone.
        error: Option<Error>,
    },
    /// The shutdown's deadline passed before these revocations ended. The first 100 are reported one by one,
    /// as [`Revocation`](Self::Revocation); this counts the others.
    #[non_exhaustive]
    RevocationsUnfinished {
        /// How many tokens may still be valid.
        tokens: usize,
    },
    /// The shutdown is over.
    ShutDown,
}

/// What happens to a provider from now on; see
/// [`TokenProvider::subscribe`](crate::TokenProvider::subscribe).
#[derive(Debug)]
pub struct Subscription {
    pub(super) receiver: broadcast::Receiver<Event>,
    /// The generations that were in use when the subscription began. Their swaps may be reported later.
    pub(super) known: Vec<u64>,
}

impl Subscription {
    /// The next event; `None` once the provider is gone. A subscriber that falls more than
    /// 256 behind misses the oldest ones.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no event.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            match self.receiver.recv().await {
                Ok(Event::Swapped { generation, .. }) if self.known.contains(&generation) => {}
                Ok(event) => return Some(event),
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }
}
