//! The state of a provider at one moment.

use std::time::{Duration, SystemTime};

use crate::error::Error;

/// Describes the state of a provider at one moment; see
/// [`TokenProvider::status`](crate::TokenProvider::status).
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
/// provider.ready().await?;
/// let status = provider.status();
/// assert_eq!(status.state.as_str(), "fresh");
/// assert_eq!(status.consecutive_failures, 0);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Status {
    /// Summary of the provider's state.
    pub state: State,
    /// The number of the current token among all tokens of this provider, over all its scope sets; 0 if this
    /// scope set has had no token yet.
    pub generation: u64,
    /// The ID of the token in use, if there is one and the server stated an ID.
    pub token_id: Option<String>,
    /// For how much longer the token in use may be sent with requests; zero if it may not.
    pub usable_for: Duration,
    /// When the token in use expires, by this machine's wall clock.
    pub expires_at: Option<SystemTime>,
    /// In how long the provider begins the next exchange; `None` if one is in flight, or if the provider
    /// begins one only when a caller needs a token.
    pub next_exchange_in: Option<Duration>,
    /// How many exchanges in a row have failed.
    pub consecutive_failures: u32,
    /// Why the last exchange failed; `None` if it succeeded.
    pub last_error: Option<Error>,
    /// Why the last access to the store failed; `None` if it succeeded.
    pub store_error: Option<Error>,
    /// The long-term token, if there is one.
    pub long_term: Option<LongTermStatus>,
}

/// Describes the long-term token of a provider.
///
/// # Examples
///
/// ```
/// # use everbearer::testkit::ScriptedIssuer;
/// # use everbearer::{LongTermToken, TokenProvider};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), everbearer::Error> {
/// # let builder = TokenProvider::builder(ScriptedIssuer::new(), LongTermToken::new("secret")?);
/// let provider = builder.build()?;
/// provider.ready().await?;
/// let long_term = provider.status().long_term.unwrap();
/// println!("held for {:?}, rotates in {:?}", long_term.age, long_term.rotates_in);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LongTermStatus {
    /// The ID of the token, if it is known.
    pub token_id: Option<String>,
    /// For how long the provider has had the token.
    pub age: Duration,
    /// When the token expires by the server's clock, if that is known.
    pub expires_at: Option<SystemTime>,
    /// In how long the provider rotates the token; `None` if it does not rotate it by time.
    pub rotates_in: Option<Duration>,
    /// Why the last rotation failed; `None` if it succeeded.
    pub last_error: Option<Error>,
}

/// Summarizes the state of a provider.
///
/// # Examples
///
/// ```
/// use everbearer::{State, TokenProvider};
///
/// // The answer to a readiness probe.
/// fn is_ready(provider: &TokenProvider) -> bool {
///     matches!(provider.status().state, State::Fresh | State::Failing)
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum State {
    /// There is no token yet, and no attempt has failed.
    Starting,
    /// There is a valid token, and the last exchange succeeded.
    Fresh,
    /// There is a valid token, but the last exchange failed.
    Failing,
    /// There is no valid token. The provider retries.
    Unavailable,
    /// There is no valid token, and the auth server refuses the credential. An operator must supply another
    /// credential.
    Refused,
    /// The shutdown is in progress.
    ShuttingDown,
    /// The shutdown has finished.
    ShutDown,
}

impl State {
    /// Returns a stable name, for metrics and log fields.
    ///
    /// # Examples
    ///
    /// ```
    /// use everbearer::State;
    ///
    /// assert_eq!(State::ShuttingDown.as_str(), "shutting_down");
    /// ```
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Fresh => "fresh",
            Self::Failing => "failing",
            Self::Unavailable => "unavailable",
            Self::Refused => "refused",
            Self::ShuttingDown => "shutting_down",
            Self::ShutDown => "shut_down",
        }
    }
}
