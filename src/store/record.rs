//! The record that a store keeps of a long-term token.

use std::time::{Duration, SystemTime};

use crate::token::{LongTermToken, ShortTermToken};

/// Contains a long-term token and the progress of its rotation, which a [`TokenStore`](super::TokenStore)
/// keeps.
///
/// The record is the journal of a rotation: the provider writes each step before it begins the next one, so
/// that the next start after a crash continues the rotation. [`guide::rotation`](crate::guide::rotation)
/// lists the steps.
///
/// # Examples
///
/// ```
/// use everbearer::{LongTermToken, Record};
///
/// # fn main() -> Result<(), everbearer::Error> {
/// let record = Record::from(LongTermToken::new("lt_0d51e9bd2f6449cf")?);
/// let text = record.encode();
/// assert!(text.expose().contains("lt_0d51e9bd2f6449cf"));
/// let again = Record::decode(text.expose())?;
/// assert_eq!(again.current().expose(), "lt_0d51e9bd2f6449cf");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Record {
    pub(crate) current: Dated,
    pub(crate) rotation: Rotation,
    pub(crate) retiring: Vec<Retiring>,
    /// Whether another program wrote the record, as a token without anything else.
    pub(crate) is_bare: bool,
}

/// How far the rotation of the current token is.
#[derive(Clone, Debug)]
pub(crate) enum Rotation {
    /// No rotation has begun.
    Settled,
    /// This short-term token authorizes the request for the next token. Until it expires, the request can be
    /// repeated, also after the server has invalidated the current token.
    Asking { with: ShortTermToken },
    /// There is a next token, which no exchange has proven yet.
    Proving {
        next: Dated,
        /// What authorized the request for it, which can be repeated as long as the next token is not proven.
        with: Option<ShortTermToken>,
    },
}

/// A long-term token and its dates by this machine's wall clock, as far as they are known.
#[derive(Clone, Debug)]
pub(crate) struct Dated {
    pub(crate) token: LongTermToken,
    pub(crate) obtained_at: Option<SystemTime>,
    pub(crate) ends_at: Option<SystemTime>,
}

impl Dated {
    /// Returns how long the token lives in all, if both dates are known.
    pub(crate) fn life(&self) -> Option<Duration> {
        self.ends_at?.duration_since(self.obtained_at?).ok()
    }
}

/// A superseded long-term token.
#[derive(Clone, Debug)]
pub(crate) struct Retiring {
    pub(crate) token: LongTermToken,
    pub(crate) revoke_at: SystemTime,
}

impl Record {
    /// Returns the long-term token in use.
    ///
    /// # Examples
    ///
    /// ```
    /// use everbearer::{LongTermToken, Record};
    ///
    /// # fn main() -> Result<(), everbearer::Error> {
    /// let record = Record::from(LongTermToken::new("lt_0d51e9bd2f6449cf")?);
    /// assert_eq!(record.current().expose(), "lt_0d51e9bd2f6449cf");
    /// # Ok(())
    /// # }
    /// ```
    pub const fn current(&self) -> &LongTermToken {
        &self.current.token
    }

    /// Returns the current token and the next one.
    pub(crate) fn tokens_in_use(&self) -> impl Iterator<Item = &LongTermToken> {
        let next = self.next().map(|next| &next.token);
        std::iter::once(&self.current.token).chain(next)
    }

    /// Returns all long-term tokens of the record.
    pub(crate) fn tokens(&self) -> impl Iterator<Item = &LongTermToken> {
        let retiring = self.retiring.iter().map(|retiring| &retiring.token);
        self.tokens_in_use().chain(retiring)
    }

    pub(crate) const fn new(current: Dated) -> Self {
        Self {
            current,
            rotation: Rotation::Settled,
            retiring: Vec::new(),
            is_bare: false,
        }
    }

    /// Returns the next token, which no exchange has proven yet, if there is one.
    pub(crate) const fn next(&self) -> Option<&Dated> {
        match &self.rotation {
            Rotation::Proving { next, .. } => Some(next),
            Rotation::Settled | Rotation::Asking { .. } => None,
        }
    }

    /// Removes the current and the next token from the tokens to revoke.
    pub(crate) fn tidy(mut self) -> Self {
        let next = match &self.rotation {
            Rotation::Proving { next, .. } => Some(&next.token),
            Rotation::Settled | Rotation::Asking { .. } => None,
        };
        let kept = [Some(&self.current.token), next];
        (self.retiring).retain(|retiring| {
            let mut kept = kept.iter().flatten();
            !kept.any(|kept| retiring.token.is_same(kept))
        });
        self
    }
}

impl Retiring {
    /// Returns a token that is revoked after this time: without a pause, at once, whenever it is stored.
    pub(crate) fn after(token: LongTermToken, pause: Duration, wall: SystemTime) -> Self {
        let revoke_at = if pause.is_zero() {
            SystemTime::UNIX_EPOCH
        } else {
            wall.checked_add(pause).unwrap_or(wall)
        };
        Self { token, revoke_at }
    }

    /// Returns whether no process uses what was minted from the token.
    pub(crate) fn is_unused(&self) -> bool {
        self.revoke_at == SystemTime::UNIX_EPOCH
    }
}

impl Rotation {
    /// Returns the token that authorizes the request for the next one, if there is one.
    pub(crate) const fn asking_with(&self) -> Option<&ShortTermToken> {
        match self {
            Self::Settled => None,
            Self::Asking { with } => Some(with),
            Self::Proving { with, .. } => with.as_ref(),
        }
    }

    /// Replaces this with `Settled`. Returns the next token, and the token that authorized the request for it.
    pub(crate) fn take(&mut self) -> (Option<Dated>, Option<ShortTermToken>) {
        match std::mem::replace(self, Self::Settled) {
            Self::Settled => (None, None),
            Self::Asking { with } => (None, Some(with)),
            Self::Proving { next, with } => (Some(next), with),
        }
    }
}

/// Creates the record of a token, with the dates that the token states.
impl From<LongTermToken> for Record {
    fn from(token: LongTermToken) -> Self {
        Self::new(Dated {
            obtained_at: token.issued_at(),
            ends_at: token.expires_at(),
            token,
        })
    }
}
