//! How a scripted issuer answers one call.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::error::Error;
use crate::issuer::Revoked;
use crate::token::ShortTermToken;

/// Determines how a [`ScriptedIssuer`](super::ScriptedIssuer) answers one call.
///
/// # Examples
///
/// ```
/// # use everbearer::testkit::{Reply, ScriptedIssuer};
/// # use everbearer::{Error, LongTermToken, TokenProvider};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Error> {
/// # let issuer = ScriptedIssuer::new();
/// # let provider = TokenProvider::builder(issuer.clone(), LongTermToken::new("secret")?).build()?;
/// use std::time::Duration;
///
/// issuer.script([Reply::token(Duration::from_secs(60)).after(Duration::from_millis(5))]);
/// assert_eq!(provider.token().await?.token_id(), Some("st-1"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Reply {
    pub(super) latency: Duration,
    pub(super) outcome: Outcome,
}

#[derive(Clone, Debug)]
pub(super) enum Outcome {
    Token { life: Option<Duration> },
    FromFn(FromFn),
    Revoked(Revoked),
    Error(Error),
    Hang,
    Panic,
}

/// Makes a token; the argument is its name.
type Make = dyn Fn(&str) -> Result<ShortTermToken, Error> + Send + Sync;

#[derive(Clone)]
pub(super) struct FromFn(pub(super) Arc<Make>);

impl fmt::Debug for FromFn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FromFn").finish_non_exhaustive()
    }
}

impl Reply {
    /// Returns a reply with a token of this lifetime.
    ///
    /// # Examples
    ///
    /// ```
    /// # use everbearer::testkit::{Reply, ScriptedIssuer};
    /// # use everbearer::{Error, LongTermToken, TokenProvider};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Error> {
    /// # let issuer = ScriptedIssuer::new();
    /// # let provider = TokenProvider::builder(issuer.clone(), LongTermToken::new("secret")?).build()?;
    /// use std::time::Duration;
    ///
    /// issuer.script([Reply::token(Duration::from_secs(60))]);
    /// provider.ready().await?;
    /// assert!(provider.status().usable_for <= Duration::from_secs(60));
    /// # Ok(())
    /// # }
    /// ```
    pub const fn token(life: Duration) -> Self {
        Self::with(Outcome::Token { life: Some(life) })
    }

    /// Returns a reply with a token whose expiry is not stated.
    ///
    /// # Examples
    ///
    /// ```
    /// # use everbearer::testkit::{Reply, ScriptedIssuer};
    /// # use everbearer::{Error, LongTermToken, TokenProvider};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Error> {
    /// # let issuer = ScriptedIssuer::new();
    /// # let provider = TokenProvider::builder(issuer.clone(), LongTermToken::new("secret")?).build()?;
    /// issuer.script([Reply::token_without_end()]);
    /// assert_eq!(provider.token().await?.expires_at(), None);
    /// # Ok(())
    /// # }
    /// ```
    pub const fn token_without_end() -> Self {
        Self::with(Outcome::Token { life: None })
    }

    /// Returns a reply with the token that `make` returns, such as a JWT or a token whose expiry is stated as
    /// a date.
    ///
    /// The closure is called when the reply is due. Its argument is the name that the issuer would give to
    /// its next token, such as `st-2`. The issuer uses the number in the name for one token, unless the
    /// closure fails or returns a token with the text of the issuer's last short-term token.
    ///
    /// # Examples
    ///
    /// ```
    /// use everbearer::testkit::{ManualClock, Reply, ScriptedIssuer};
    /// use everbearer::{Clock, LongTermToken, ShortTermToken, TokenProvider};
    /// # use std::time::Duration;
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), everbearer::Error> {
    /// let clock = ManualClock::new();
    /// let issuer = ScriptedIssuer::new();
    /// let server_clock = clock.clone();
    /// issuer.default_reply(Reply::from_fn(move |name| {
    ///     let now = server_clock.wall();
    ///     ShortTermToken::builder(name)
    ///         .token_id(name)
    ///         .server_time(now)
    ///         .expires_at(now + Duration::from_secs(60))
    ///         .build()
    /// }));
    /// let provider = TokenProvider::builder(issuer, LongTermToken::new("secret")?)
    ///     .clock(clock.clone())
    ///     .build()?;
    /// let token = provider.token().await?;
    /// assert_eq!(token.token_id(), Some("st-1"));
    /// assert_eq!(token.expires_at(), Some(clock.wall() + Duration::from_secs(60)));
    /// # Ok(())
    /// # }
    /// ```
    pub fn from_fn(
        make: impl Fn(&str) -> Result<ShortTermToken, Error> + Send + Sync + 'static,
    ) -> Self {
        Self::with(Outcome::FromFn(FromFn(Arc::new(make))))
    }

    /// Returns a reply with this error, such as [`Error::transient`] or [`Error::terminal`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use everbearer::testkit::{Reply, ScriptedIssuer};
    /// # use everbearer::{Error, LongTermToken, TokenProvider};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Error> {
    /// # let issuer = ScriptedIssuer::new();
    /// # let provider = TokenProvider::builder(issuer.clone(), LongTermToken::new("secret")?).build()?;
    /// issuer.script([Reply::error(Error::transient("down for a moment"))]);
    /// assert!(provider.token().await.unwrap_err().is_retryable());
    /// # Ok(())
    /// # }
    /// ```
    pub const fn error(error: Error) -> Self {
        Self::with(Outcome::Error(error))
    }

    /// Returns a reply to a revocation that states that the token is revoked.
    ///
    /// # Examples
    ///
    /// ```
    /// # use everbearer::testkit::{Reply, ScriptedIssuer};
    /// # use everbearer::{Error, LongTermToken, TokenProvider};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Error> {
    /// # let issuer = ScriptedIssuer::new();
    /// # let provider = TokenProvider::builder(issuer.clone(), LongTermToken::new("secret")?).build()?;
    /// issuer.script_revocations([Reply::done()]);
    /// provider.ready().await?;
    /// provider.shutdown().await;
    /// assert_eq!(issuer.revoked(), ["st-1"]);
    /// # Ok(())
    /// # }
    /// ```
    pub const fn done() -> Self {
        Self::revoked(Revoked::Gone)
    }

    /// Returns a reply to a revocation with this result.
    ///
    /// # Examples
    ///
    /// ```
    /// # use everbearer::testkit::{Reply, ScriptedIssuer};
    /// # use everbearer::{Error, LongTermToken, TokenProvider};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Error> {
    /// # let issuer = ScriptedIssuer::new();
    /// # let provider = TokenProvider::builder(issuer.clone(), LongTermToken::new("secret")?).build()?;
    /// use everbearer::Revoked;
    ///
    /// issuer.script_revocations([Reply::revoked(Revoked::Unsupported)]);
    /// provider.ready().await?;
    /// assert!(!provider.shutdown().await.all_revoked());
    /// # Ok(())
    /// # }
    /// ```
    pub const fn revoked(revoked: Revoked) -> Self {
        Self::with(Outcome::Revoked(revoked))
    }

    /// Returns a reply that never arrives.
    ///
    /// # Examples
    ///
    /// ```
    /// # use everbearer::testkit::{Reply, ScriptedIssuer};
    /// # use everbearer::{Error, LongTermToken, TokenProvider};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Error> {
    /// # let issuer = ScriptedIssuer::new();
    /// # let provider = TokenProvider::builder(issuer.clone(), LongTermToken::new("secret")?).build()?;
    /// use std::time::Duration;
    ///
    /// issuer.script([Reply::hang()]);
    /// let wait = tokio::time::timeout(Duration::from_millis(10), provider.token());
    /// assert!(wait.await.is_err());
    /// # Ok(())
    /// # }
    /// ```
    pub const fn hang() -> Self {
        Self::with(Outcome::Hang)
    }

    /// Returns a reply by which the call panics.
    ///
    /// # Examples
    ///
    /// ```
    /// # use everbearer::testkit::{Reply, ScriptedIssuer};
    /// # use everbearer::{Error, LongTermToken, TokenProvider};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Error> {
    /// # let issuer = ScriptedIssuer::new();
    /// # let provider = TokenProvider::builder(issuer.clone(), LongTermToken::new("secret")?).build()?;
    /// issuer.script([Reply::panic()]);
    /// assert!(provider.token().await.is_err());
    /// # Ok(())
    /// # }
    /// ```
    pub const fn panic() -> Self {
        Self::with(Outcome::Panic)
    }

    /// Returns the same reply, delayed by this latency.
    ///
    /// ```
    /// use std::time::Duration;
    /// use everbearer::testkit::Reply;
    ///
    /// let reply = Reply::token(Duration::from_secs(900)).after(Duration::from_millis(20));
    /// ```
    #[must_use]
    pub const fn after(mut self, latency: Duration) -> Self {
        self.latency = latency;
        self
    }

    const fn with(outcome: Outcome) -> Self {
        Self {
            latency: Duration::ZERO,
            outcome,
        }
    }
}

#[allow(
    clippy::panic,
    reason = "a script that says so is there to see what a panic does"
)]
pub(super) async fn failed(outcome: Outcome) -> Error {
    match outcome {
        Outcome::Error(error) => error,
        Outcome::Panic => panic!("the script says to panic"),
        Outcome::Hang => std::future::pending().await,
        Outcome::Token { .. } | Outcome::FromFn(_) | Outcome::Revoked(_) => {
            Error::terminal("the script has an answer here that belongs to another call")
        }
    }
}
