//! What became of each token.

use std::fmt;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;

use crate::error::Error;
use crate::observe::causes::Causes;
use crate::token::TokenRef;

/// The maximum number of tokens that `Display` shows.
const MOST_SHOWN: usize = 10;

/// What became of each token, as [`TokenProvider::shutdown`](crate::TokenProvider::shutdown)
/// reports it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// Every token that had not ended by itself, short-term ones first.
    pub tokens: Vec<TokenReport>,
    /// How long the shutdown took, from the first call.
    pub took: Duration,
}

/// What became of one token.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TokenReport {
    /// Its ID, if the server gave one.
    pub token_id: Option<String>,
    /// Which tier it belongs to.
    pub kind: TokenKind,
    /// Until when it lives at most if it was not revoked, by this machine's wall clock, if that
    /// is known.
    pub ends_at: Option<SystemTime>,
    /// What became of it.
    pub outcome: RevocationOutcome,
}

/// The tier of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TokenKind {
    /// It goes on requests.
    ShortTerm,
    /// It is exchanged for the others.
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

/// What became of a token.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum RevocationOutcome {
    /// It is gone: the server has revoked it, or no longer knows it, or it has just expired.
    Revoked,
    /// It may live on, for this reason.
    NotRevoked(Error),
    /// The auth server does not say whether it still accepts the token; the error has the reason.
    Unknown(Error),
    /// The auth server cannot revoke tokens of this tier: the token is valid until it expires.
    Unsupported,
    /// It was to live on: the policy says so, or other clients use the same token.
    Kept,
}

/// The report on one line, for a log: how many tokens were revoked, and which were not, with the causes of
/// the error. Of more than ten tokens, the others are counted.
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
                RevocationOutcome::NotRevoked(error) | RevocationOutcome::Unknown(error) => {
                    write!(f, "; not revoked: {kind} token {id}: {}", Causes(error))?;
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
    /// Whether every token that was to be revoked is revoked.
    pub fn all_revoked(&self) -> bool {
        self.not_revoked().next().is_none()
    }

    /// The tokens that were to be revoked and may live on.
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
