//! The report of a shutdown.

use std::fmt;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;

use crate::error::Error;
use crate::observe::causes::Causes;
use crate::token::TokenRef;

/// The maximum number of tokens that `Display` shows.
const MOST_SHOWN: usize = 10;

/// Lists the outcome for each token, as [`TokenProvider::shutdown`](crate::TokenProvider::shutdown) returns
/// it. `Display` shows it on one line, for a log.
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
/// let report = provider.shutdown().await;
/// println!("{report}");
/// assert_eq!(report.tokens.len(), 2);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// Every token that had not expired, short-term tokens first.
    pub tokens: Vec<TokenReport>,
    /// How long the shutdown took, from the first call.
    pub took: Duration,
}

/// States the outcome of the shutdown for one token.
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
/// for token in &provider.shutdown().await.tokens {
///     println!("{:?}: {:?}", token.token_id, token.outcome);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TokenReport {
    /// The ID of the token, if the server stated one.
    pub token_id: Option<String>,
    /// Whether it is a short-term or a long-term token.
    pub kind: TokenKind,
    /// When the token expires at the latest if it was not revoked, by this machine's wall clock; `None` if
    /// that is not known.
    pub ends_at: Option<SystemTime>,
    /// Whether the token was revoked.
    pub outcome: RevocationOutcome,
}

/// Distinguishes short-term and long-term tokens.
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
/// use everbearer::TokenKind;
///
/// provider.ready().await?;
/// let report = provider.shutdown().await;
/// assert_eq!(report.tokens[0].kind, TokenKind::ShortTerm);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TokenKind {
    /// A token that is sent with requests.
    ShortTerm,
    /// A token that is exchanged for short-term tokens.
    LongTerm,
}

impl TokenKind {
    pub(crate) const fn of(token: TokenRef<'_>) -> Self {
        match token {
            TokenRef::ShortTerm(_) => Self::ShortTerm,
            TokenRef::LongTerm(_) => Self::LongTerm,
        }
    }

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::ShortTerm => "short-term",
            Self::LongTerm => "long-term",
        }
    }
}

/// Returns the time as RFC 3339 has it, in whole seconds.
pub(crate) fn shown_time(time: SystemTime) -> impl fmt::Display {
    let time = Timestamp::try_from(time).unwrap_or(Timestamp::MAX);
    let second = Timestamp::from_second(time.as_second());
    second.unwrap_or(Timestamp::MAX)
}

/// States whether a shutdown revoked a token.
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
/// use everbearer::RevocationOutcome;
///
/// provider.ready().await?;
/// for token in provider.shutdown().await.tokens {
///     if let RevocationOutcome::NotRevoked(error) = token.outcome {
///         println!("{:?} is still valid: {error}", token.token_id);
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum RevocationOutcome {
    /// The token is no longer valid: the server has revoked it, or does not know it, or it has expired
    /// meanwhile.
    Revoked,
    /// The token may still be valid, for this reason.
    NotRevoked(Error),
    /// It is unknown whether the token is valid, for this reason: the auth server does not say, or a call that was
    /// in flight at the deadline may have issued the token.
    Unknown(Error),
    /// The auth server cannot revoke tokens of this kind. The token is valid until it expires.
    Unsupported,
    /// The token was not to be revoked: by the policy, because other clients use the same token, or because a later process
    /// may need it.
    Kept,
}

/// Shows the report on one line, for a log: how many tokens were revoked, and which were not, with the causes of
/// their errors. It lists at most ten tokens, and counts the others.
impl fmt::Display for ShutdownReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |is: fn(&RevocationOutcome) -> bool| {
            self.tokens.iter().filter(|it| is(&it.outcome)).count()
        };
        let revoked = count(|outcome| matches!(outcome, RevocationOutcome::Revoked));
        let kept = count(|outcome| matches!(outcome, RevocationOutcome::Kept));
        write!(
            f,
            "revoked {revoked} of {} tokens in {:?}",
            self.tokens.len(),
            self.took
        )?;
        if kept > 0 {
            write!(f, ", kept {kept}")?;
        }
        for token in self.not_revoked().take(MOST_SHOWN) {
            let kind = token.kind.as_str();
            let id = token.token_id.as_deref().unwrap_or("without an ID");
            match &token.outcome {
                RevocationOutcome::NotRevoked(error) => {
                    write!(f, "; not revoked: {kind} token {id}: {}", Causes(error))?;
                }
                RevocationOutcome::Unknown(error) => {
                    write!(
                        f,
                        "; unknown whether revoked: {kind} token {id}: {}",
                        Causes(error)
                    )?;
                }
                RevocationOutcome::Unsupported => {
                    write!(f, "; cannot be revoked: {kind} token {id}")?;
                    if let Some(ends_at) = token.ends_at {
                        write!(f, ", valid until {}", shown_time(ends_at))?;
                    }
                }
                RevocationOutcome::Revoked | RevocationOutcome::Kept => {}
            }
        }
        let more = self.not_revoked().count().saturating_sub(MOST_SHOWN);
        if more > 0 {
            write!(f, "; and {more} more")?;
        }
        Ok(())
    }
}

impl ShutdownReport {
    /// Returns whether every token that was to be revoked is revoked.
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
    /// assert!(provider.shutdown().await.all_revoked());
    /// # Ok(())
    /// # }
    /// ```
    pub fn all_revoked(&self) -> bool {
        self.not_revoked().next().is_none()
    }

    /// Returns the tokens that were to be revoked and may still be valid.
    ///
    /// # Examples
    ///
    /// ```
    /// # use everbearer::testkit::ScriptedIssuer;
    /// # use everbearer::{LongTermToken, TokenProvider};
    /// use everbearer::Error;
    /// use everbearer::testkit::Reply;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Error> {
    /// # let issuer = ScriptedIssuer::new();
    /// # let provider = TokenProvider::builder(issuer.clone(), LongTermToken::new("secret")?).build()?;
    /// issuer.script_revocations([Reply::error(Error::terminal("not allowed"))]);
    /// provider.ready().await?;
    /// let report = provider.shutdown().await;
    /// assert_eq!(report.not_revoked().count(), 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn not_revoked(&self) -> impl Iterator<Item = &TokenReport> {
        let is_done = |token: &&TokenReport| {
            matches!(
                token.outcome,
                RevocationOutcome::Revoked | RevocationOutcome::Kept
            )
        };
        self.tokens.iter().filter(move |token| !is_done(token))
    }
}
