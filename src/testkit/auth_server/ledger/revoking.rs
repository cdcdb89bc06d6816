//! Revoking a token by its ID.

use super::record::TokenKind;
use super::rules::Minted;
use super::tokens::Token;
use super::{Ledger, TokenRef};
use crate::testkit::auth_server::clock::UnixTime;
use crate::testkit::auth_server::refusal::{Reason, Refusal};
use crate::testkit::auth_server::scope;

const NEEDED_SCOPE: &str = "tokens:revoke";

impl Ledger {
    pub(in crate::testkit::auth_server) fn revoke(
        &mut self,
        target: &str,
        bearer: TokenRef,
        now: UnixTime,
    ) -> Result<(), Refusal> {
        let id = self.tokens.recognise(&bearer.required()?)?;
        let outcome = self.check_may_revoke(&id, target, now);
        self.tokens.note_use(&id, outcome.is_ok());
        outcome?;
        if self.tokens.revoke(target) {
            self.counts.revocations += 1;
        }
        if self.rules.minted == Minted::EndsWithIt {
            let minted = |_: &str, token: &Token| token.parent.as_deref() == Some(target);
            (self.tokens).revoke_where(|id, it| minted(id, it) && it.kind == TokenKind::ShortTerm);
        }
        Ok(())
    }

    fn check_may_revoke(&self, bearer: &str, target: &str, now: UnixTime) -> Result<(), Refusal> {
        let usable = self.tokens.usable(bearer, now);
        if bearer == target {
            return match usable {
                Err(refusal) if refusal.reason != Reason::RevokedToken => Err(refusal),
                Ok(token)
                    if self.rules.demands_revoke_scope
                        && !scope::is_granted(&token.scopes, NEEDED_SCOPE) =>
                {
                    Err(Refusal::insufficient_scope(NEEDED_SCOPE))
                }
                _ => Ok(()),
            };
        }
        let bearer = usable?;
        if !scope::is_granted(&bearer.scopes, NEEDED_SCOPE) {
            return Err(Refusal::insufficient_scope(NEEDED_SCOPE));
        }
        self.tokens
            .find(target)
            .filter(|token| token.client_id == bearer.client_id)
            .map(|_| ())
            .ok_or_else(|| Refusal::new(Reason::NotFound, "No token has this ID."))
    }
}
