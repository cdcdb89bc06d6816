//! A pause that the server requested for the grant.

use crate::clock::Moment;
use crate::error::Error;
use crate::token::LongTermToken;

/// A pause that the server requested for the grant. It applies to all scope sets.
#[derive(Debug)]
pub(crate) struct GrantPause {
    pub(crate) until: Moment,
    /// The error with which the server requested the pause.
    pub(crate) error: Error,
    /// The long-term token that the server refused with this error, if any.
    pub(crate) refused: Option<LongTermToken>,
}

impl GrantPause {
    pub(crate) fn is_over(&self, now: Moment) -> bool {
        self.until <= now
    }
}
