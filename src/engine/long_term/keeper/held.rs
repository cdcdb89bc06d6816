//! What is kept of the long-term token.

use crate::store::{Dated, Record, Version};
use crate::token::{LongTermToken, ShortTermToken};

#[derive(Debug, Default)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, and any of them go together"
)]
pub(in crate::engine) struct Keeper {
    /// What is to be kept, which the store holds unless it is `unsaved`.
    pub(super) record: Option<Record>,
    pub(super) version: Option<Version>,
    pub(super) is_loaded: bool,
    pub(super) unsaved: bool,
    /// Whether the store was found empty after it had held something.
    pub(super) is_missing: bool,
    /// Whether the current token was handed in and is not written yet.
    pub(super) is_handed_in: bool,
    /// The current token as the machine was told of it.
    pub(super) announced: Option<Dated>,
    /// The token that the provider was built with: what an empty store begins with, and what is
    /// tried when the stored one is refused.
    pub(super) given: Option<LongTermToken>,
    /// The tokens that were obtained here and are not written yet.
    pub(super) unwritten: Vec<LongTermToken>,
    /// Short-term tokens that have served to ask for a long-term one.
    pub(in crate::engine) spent: Vec<ShortTermToken>,
}

impl Keeper {
    pub(in crate::engine) fn new(given: Option<LongTermToken>) -> Self {
        Self {
            given,
            ..Self::default()
        }
    }

    pub(in crate::engine) const fn record(&self) -> Option<&Record> {
        self.record.as_ref()
    }

    /// The token of the builder's, if it is none of those: once.
    pub(in crate::engine) fn take_given(
        &mut self,
        refused: &[LongTermToken],
    ) -> Option<LongTermToken> {
        self.given
            .take()
            .filter(|given| !given.reads_like_any(refused))
    }
}
