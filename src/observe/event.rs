//! The events of a provider, as values.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast;

use crate::error::Error;

/// The target of each tracing event and span.
pub(super) const TARGET: &str = "everbearer";

/// Describes something that happened to a provider. Events arrive in the order in which they happened.
///
/// Each event is also a tracing event with the target `everbearer`, which
/// [`guide::observation`](crate::guide::observation) lists. No event contains a secret.
///
/// # Examples
///
/// ```
/// # use everbearer::testkit::ScriptedIssuer;
/// # use everbearer::{LongTermToken, TokenProvider};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), everbearer::Error> {
/// # let issuer = ScriptedIssuer::new();
/// # let provider = TokenProvider::builder(issuer, LongTermToken::new("secret")?).build()?;
/// use everbearer::Event;
///
/// let mut events = provider.subscribe();
/// provider.token().await?;
/// provider.shutdown().await;
/// drop(provider);
/// while let Some(event) = events.next().await {
///     match event {
///         Event::Swapped { generation, .. } => println!("token {generation} is in use"),
///         Event::ExchangeFailed { error, .. } => println!("exchange failed: {error}"),
///         _ => {}
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// The provider obtained a long-term token with a grant.
    #[non_exhaustive]
    LongTermObtained {
        /// The ID of the token, if the server stated one.
        token_id: Option<String>,
    },
    /// An exchange began.
    #[non_exhaustive]
    ExchangeBegan {
        /// The requested scopes; empty if all are requested.
        scopes: Arc<[String]>,
        /// How many exchanges in a row have failed before this one.
        failures: u32,
    },
    /// An exchange returned a token, and the provider replaced the previous token with it.
    #[non_exhaustive]
    Swapped {
        /// The requested scopes; empty if all were requested.
        scopes: Arc<[String]>,
        /// The number of the token among all tokens of this provider, over all its scope sets; the first is
        /// 1.
        generation: u64,
        /// The ID of the new token, if the server stated one.
        token_id: Option<String>,
        /// The lifetime of the new token, counted from when the provider sent the request for it.
        life: Duration,
        /// How long the exchange took.
        took: Duration,
        /// The remaining lifetime of the previous token; `None` if there was none.
        previous_left: Option<Duration>,
    },
    /// An exchange returned the token in use again.
    #[non_exhaustive]
    Unchanged {
        /// The requested scopes; empty if all were requested.
        scopes: Arc<[String]>,
        /// The generation of the token.
        generation: u64,
        /// The remaining lifetime of the token, by the latest response.
        left: Duration,
        /// How long the exchange took.
        took: Duration,
    },
    /// An exchange failed. The provider keeps using the current token while it is valid.
    #[non_exhaustive]
    ExchangeFailed {
        /// The requested scopes; empty if all were requested.
        scopes: Arc<[String]>,
        /// Why the exchange failed.
        error: Error,
        /// How many exchanges in a row have failed, including this one.
        failures: u32,
        /// Whether the previous exchange failed in the same way.
        repeats: bool,
        /// In how long the provider retries; `None` if it retries only when a caller needs a token.
        retry_in: Option<Duration>,
    },
    /// An exchange has failed, and there is no valid token. Callers get errors until an exchange succeeds. If
    /// the scope set is retired or evicted, or the provider is shut down, no
    /// [`OutageEnded`](Self::OutageEnded) follows.
    #[non_exhaustive]
    OutageBegan {
        /// The requested scopes; empty if all were requested.
        scopes: Arc<[String]>,
        /// Why the last exchange failed.
        error: Error,
        /// How many exchanges in a row have failed.
        failures: u32,
    },
    /// One or more outages continue. The provider reports this 30 s after the first outage began, and then
    /// after pauses that double, up to 1 h.
    #[non_exhaustive]
    OutageContinues {
        /// How many scope sets in use have no valid token.
        scope_sets: usize,
        /// How long the longest outage has lasted.
        lasted: Duration,
        /// Why the last exchange of the scope set with the longest outage failed.
        error: Error,
    },
    /// There is a valid token again.
    #[non_exhaustive]
    OutageEnded {
        /// The requested scopes; empty if all were requested.
        scopes: Arc<[String]>,
        /// How many exchanges were needed, from the first that failed to the one that returned the token.
        attempts: u64,
        /// How long the outage lasted.
        lasted: Duration,
    },
    /// A resource server refused the token in use, and the provider exchanges the long-term token for a newer
    /// one.
    #[non_exhaustive]
    Denied {
        /// The scopes of the token; empty if all.
        scopes: Arc<[String]>,
        /// The generation of the refused token.
        generation: u64,
    },
    /// The provider stopped refreshing a scope set that was idle, and revokes its tokens.
    #[non_exhaustive]
    ScopesRetired {
        /// The scopes of the set.
        scopes: Arc<[String]>,
    },
    /// [`TokenProvider::set_long_term_token`](crate::TokenProvider::set_long_term_token) replaced the
    /// long-term token.
    #[non_exhaustive]
    LongTermReplaced {
        /// The ID of the new token, if it is known.
        token_id: Option<String>,
    },
    /// The provider loaded a long-term token that another process has written to the
    /// [store](crate::TokenProviderBuilder::store).
    #[non_exhaustive]
    LongTermReloaded {
        /// The ID of the loaded token, if it is known.
        token_id: Option<String>,
    },
    /// A rotation of the long-term token began.
    RotationBegan,
    /// A rotation finished: the next long-term token is durably stored, an exchange has proven it, and it is
    /// in use. The provider revokes the previous token after
    /// [`RotationPolicy::grace`](crate::RotationPolicy::grace).
    #[non_exhaustive]
    Rotated {
        /// The ID of the new token, if it is known.
        token_id: Option<String>,
        /// The ID of the previous token, if it is known.
        previous_id: Option<String>,
    },
    /// A rotation failed, or another operation on the long-term token did, such as the revocation of the
    /// previous one. The current token stays in use.
    #[non_exhaustive]
    RotationFailed {
        /// Why the rotation failed.
        error: Error,
        /// Whether the previous attempt failed in the same way.
        repeats: bool,
        /// In how long the provider retries.
        retry_in: Option<Duration>,
    },
    /// The store could not be read or written. The provider keeps using the record that it read last, and
    /// keeps unwritten changes in memory until it can write them.
    #[non_exhaustive]
    StoreFailed {
        /// Why the store failed.
        error: Error,
        /// Whether the previous attempt failed in the same way.
        repeats: bool,
    },
    /// The shutdown began. The provider begins no more exchanges.
    #[non_exhaustive]
    ShutdownBegan {
        /// How many short-term tokens the provider will revoke.
        tokens: usize,
    },
    /// The provider revoked a token, or failed to and does not retry.
    #[non_exhaustive]
    Revocation {
        /// The ID of the token, if the server stated one.
        token_id: Option<String>,
        /// Why the token may still be valid; `None` if it is revoked.
        error: Option<Error>,
    },
    /// The shutdown's deadline passed before all revocations ended. The provider reports the first 100 of
    /// them one by one, as [`Revocation`](Self::Revocation), and counts the others here.
    #[non_exhaustive]
    RevocationsUnfinished {
        /// How many tokens may still be valid.
        tokens: usize,
    },
    /// The shutdown has finished.
    ShutDown,
}

/// Receives the events of a provider, from the call of
/// [`TokenProvider::subscribe`](crate::TokenProvider::subscribe) on.
///
/// # Examples
///
/// ```
/// # use everbearer::testkit::ScriptedIssuer;
/// # use everbearer::{LongTermToken, TokenProvider};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), everbearer::Error> {
/// # let issuer = ScriptedIssuer::new();
/// # let provider = TokenProvider::builder(issuer, LongTermToken::new("secret")?).build()?;
/// use everbearer::Event;
///
/// let mut events = provider.subscribe();
/// provider.token().await?;
/// assert!(matches!(events.next().await, Some(Event::ExchangeBegan { .. })));
/// assert!(matches!(events.next().await, Some(Event::Swapped { generation: 1, .. })));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Subscription {
    pub(super) receiver: broadcast::Receiver<Event>,
    /// The generations that were in use when the subscription began. Their swaps may be reported later.
    pub(super) known: Vec<u64>,
}

impl Subscription {
    /// Returns the next event, or `None` after the provider has been dropped. A subscriber that falls more
    /// than 256 events behind misses the oldest ones.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no event.
    ///
    /// # Examples
    ///
    /// ```
    /// # use everbearer::testkit::ScriptedIssuer;
    /// # use everbearer::{LongTermToken, TokenProvider};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), everbearer::Error> {
    /// # let issuer = ScriptedIssuer::new();
    /// # let provider = TokenProvider::builder(issuer, LongTermToken::new("secret")?).build()?;
    /// let mut events = provider.subscribe();
    /// tokio::spawn(async move {
    ///     while let Some(event) = events.next().await {
    ///         println!("{event:?}");
    ///     }
    /// });
    /// # Ok(())
    /// # }
    /// ```
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
