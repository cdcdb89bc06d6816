//! What the provider holds that no error may repeat.

use super::shared::Shared;
use crate::error::Error;
use crate::issuer::Grant;
use crate::token::{Bearer, LongTermToken, ShortTermToken};

impl Shared {
    /// Returns an error of the issuer or the store without what repeats a secret that the provider holds: a
    /// token of either tier, or the secret of a grant.
    pub(super) fn without_secrets(&self, error: Error) -> Error {
        let (long_term, short_term): (_, Vec<_>) = {
            let engine = self.engine();
            let used_or_live = engine.tokens_in_use().chain(engine.live.tokens());
            (engine.long_term_tokens(), used_or_live.collect())
        };
        self.without(error, &long_term, &short_term)
    }

    /// Like [`without_secrets`](Self::without_secrets), after a revocation of this token at shutdown. Of the
    /// tokens that are not in use, it looks for this one only: a shutdown may revoke thousands.
    pub(super) fn without_secrets_and(&self, error: Error, revoked: Bearer<'_>) -> Error {
        let (mut long_term, mut short_term) = {
            let engine = self.engine();
            let used: Vec<ShortTermToken> = engine.tokens_in_use().collect();
            (engine.long_term_tokens(), used)
        };
        match revoked {
            Bearer::LongTerm(token) => long_term.push(token.clone()),
            Bearer::ShortTerm(token) => short_term.push(token.clone()),
        }
        self.without(error, &long_term, &short_term)
    }

    fn without(
        &self,
        error: Error,
        long_term: &[LongTermToken],
        short_term: &[ShortTermToken],
    ) -> Error {
        let settings = &self.settings;
        let grants = settings.recover_with.iter().chain(&settings.rotate_with);
        let secrets: Vec<&str> = grants
            .filter_map(Grant::held_secret)
            .chain(long_term.iter().map(LongTermToken::expose))
            .chain(short_term.iter().map(ShortTermToken::expose))
            .collect();
        // Outside the engine's lock: the texts of causes are user code.
        error.without(&secrets)
    }
}
