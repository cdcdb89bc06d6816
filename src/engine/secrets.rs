//! Keeps the secrets of the provider out of errors and of shown token IDs.

use super::shared::Shared;
use crate::calls::Unchecked;
use crate::error::Error;
use crate::secret::SecretSource;
use crate::token::{LongTermToken, ShortTermToken, TokenRef};

/// How many bytes of short-term tokens are searched for, the newest tokens first.
const MOST_SEARCHED: usize = 16 * 1024 * 1024;
/// The same in a shutdown, in which thousands of revocations may fail at the same time.
const MOST_SEARCHED_IN_SHUTDOWN: usize = 128 * 1024;
/// The shortest secret that an ID is searched for, in bytes: a shorter one may be a part of any ID.
const SHORTEST_IN_ID: usize = 8;

impl Shared {
    /// Returns the outcome of a call of the issuer or the store. Withholds the parts of its error that repeat a
    /// secret: a token of either kind, the secret of a grant, or one of those that the call has `sent`.
    pub(crate) fn checked<T>(
        &self,
        outcome: Result<T, Unchecked>,
        sent: &[&str],
    ) -> Result<T, Error> {
        outcome.map_err(|error| self.without_secrets(error, sent))
    }

    fn without_secrets(&self, error: Unchecked, sent: &[&str]) -> Error {
        let (long_term, short_term) = {
            let engine = self.engine();
            let most = if engine.machine.is_running() {
                MOST_SEARCHED
            } else {
                MOST_SEARCHED_IN_SHUTDOWN
            };
            let mut short_term: Vec<ShortTermToken> = engine.sets.tokens_in_use().collect();
            short_term.extend(engine.live.newest(most));
            (engine.long_term_tokens(), short_term)
        };
        let secrets: Vec<&str> = (self.held_secrets())
            .chain(sent.iter().copied())
            .chain(long_term.iter().map(LongTermToken::expose))
            .chain(short_term.iter().map(ShortTermToken::expose))
            .collect();
        // Outside the engine's lock, since the texts of causes are user code.
        error.checked(&secrets)
    }

    /// Hides the ID of a token that has just arrived if it contains another secret of the provider, or one of
    /// those that the call has `sent`.
    pub(crate) fn check_id<'a>(&self, token: impl Into<TokenRef<'a>>, sent: &[&str]) {
        let token = token.into();
        let Some(id) = token.shown_id() else { return };
        let long_term = self.engine().long_term_tokens();
        let secrets = (self.held_secrets())
            .chain(sent.iter().copied())
            .chain(long_term.iter().map(LongTermToken::expose));
        let own = token.token().expose();
        let mut others = secrets.filter(|secret| secret.len() >= SHORTEST_IN_ID && *secret != own);
        if others.any(|secret| id.contains(secret)) {
            token.hide_id();
        }
    }

    /// Returns the secrets that the issuer and the grants hold as values.
    fn held_secrets(&self) -> impl Iterator<Item = &str> {
        let settings = &self.settings;
        let grants = settings.recover_with.iter().chain(&settings.rotate_with);
        let issuers = settings.profile.secrets.iter();
        let issuers = issuers.filter_map(SecretSource::held);
        grants.filter_map(|it| it.held_secret()).chain(issuers)
    }
}
