//! The record that a store keeps of a long-term token.

use std::time::SystemTime;

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
    /// The short-term token that authorizes the request for the next token. Until it expires, the request can be
    /// repeated, also after the server has invalidated the current token.
    pub(crate) asking_with: Option<ShortTermToken>,
    /// The next token, which no exchange has proven yet.
    pub(crate) next: Option<Dated>,
    pub(crate) retiring: Vec<Retiring>,
    /// Whether another program wrote the record, as a token without anything else.
    pub(crate) is_bare: bool,
}

/// A long-term token and its dates by this machine's wall clock, as far as they are known.
#[derive(Clone, Debug)]
pub(crate) struct Dated {
    pub(crate) token: LongTermToken,
    pub(crate) obtained_at: Option<SystemTime>,
    pub(crate) ends_at: Option<SystemTime>,
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

    /// Returns all long-term tokens of the record.
    pub(crate) fn tokens(&self) -> impl Iterator<Item = &LongTermToken> {
        let next = self.next.as_ref().map(|next| &next.token);
        let retiring = self.retiring.iter().map(|retiring| &retiring.token);
        std::iter::once(&self.current.token)
            .chain(next)
            .chain(retiring)
    }

    pub(crate) const fn new(current: Dated) -> Self {
        Self {
            current,
            asking_with: None,
            next: None,
            retiring: Vec::new(),
            is_bare: false,
        }
    }

    /// Removes the current and the next token from the tokens to revoke.
    pub(crate) fn tidy(mut self) -> Self {
        let (current, next) = (&self.current.token, self.next.as_ref());
        self.retiring.retain(|retiring| {
            !retiring.token.is_same(current)
                && next.is_none_or(|next| !retiring.token.is_same(&next.token))
        });
        self
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
