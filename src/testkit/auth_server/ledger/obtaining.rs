//! Issuing long-term tokens: whether the proof holds, and what it is worth.

use super::clients::AssertionId;
use super::mechanism::Mechanism;
use super::tokens::Order;
use super::{Freshness, Issued, Ledger, TokenKind, TokenRef};
use crate::testkit::auth_server::clock::UnixTime;
use crate::testkit::auth_server::options::OldLongTermToken;
use crate::testkit::auth_server::refusal::Refusal;
use crate::testkit::auth_server::scope;
use crate::testkit::auth_server::wire::LongTokenRequest;

const NEEDED_SCOPE: &str = "tokens:write";

/// What held, with what is still to do once a token is issued for it.
enum Proof {
    Secret,
    OneTimeCode(String),
    Assertion(AssertionId),
    ShortTermToken { minted_from: Option<String> },
}

impl Ledger {
    /// One-time codes and assertions are used up when a token is issued, not by a refusal.
    pub(in crate::testkit::auth_server) fn issue_long_term(
        &mut self,
        mut request: LongTokenRequest,
        bearer: TokenRef,
        now: UnixTime,
        freshness: Freshness,
    ) -> Result<Issued, Refusal> {
        let mechanism = Mechanism::take(&mut request, bearer.optional()?)?;
        self.clients.check_known(&request.client_id)?;
        match mechanism {
            Mechanism::ShortTermToken(text) => {
                let id = self.tokens.recognise(&text)?;
                let outcome = self
                    .check_short_term_token(&id, &request.client_id, now)
                    .and_then(|proof| self.issue_for(proof, request, now, freshness));
                self.tokens.note_use(&id, outcome.is_ok());
                outcome
            }
            Mechanism::Secret(secret) => {
                self.clients.check_secret(&request.client_id, &secret)?;
                self.issue_for(Proof::Secret, request, now, freshness)
            }
            Mechanism::OneTimeCode(code) => {
                self.clients
                    .check_one_time_code(&request.client_id, &code)?;
                self.issue_for(Proof::OneTimeCode(code), request, now, freshness)
            }
            Mechanism::Assertion(assertion) => {
                let id = self
                    .clients
                    .check_assertion(&request.client_id, &assertion, now)?;
                self.issue_for(Proof::Assertion(id), request, now, freshness)
            }
        }
    }

    fn check_short_term_token(
        &self,
        id: &str,
        client_id: &str,
        now: UnixTime,
    ) -> Result<Proof, Refusal> {
        let token = self.tokens.usable_as(TokenKind::ShortTerm, id, now)?;
        if !scope::is_granted(&token.scopes, NEEDED_SCOPE) {
            return Err(Refusal::insufficient_scope(NEEDED_SCOPE));
        }
        if token.client_id != client_id {
            return Err(Refusal::invalid_grant(
                "The short-term token was issued to another client.",
            ));
        }
        Ok(Proof::ShortTermToken {
            minted_from: token.parent.clone(),
        })
    }

    fn issue_for(
        &mut self,
        proof: Proof,
        request: LongTokenRequest,
        now: UnixTime,
        freshness: Freshness,
    ) -> Result<Issued, Refusal> {
        let scopes = scope::narrow(&self.rules.client_scopes, request.scopes)?;
        let lifetime = request.ttl.unwrap_or(self.rules.long_term_lifetime);
        let lifetime = lifetime.min(self.rules.max_long_term_lifetime);
        let (issued, expires) = self.life(lifetime, now, freshness);
        let order = Order {
            kind: TokenKind::LongTerm,
            is_jwt: self.rules.long_term_jwt,
            client_id: request.client_id,
            scopes,
            issued,
            expires,
            parent: self.use_up(proof),
        };
        self.counts.long_term_issued += 1;
        Ok(self.issue(order, now))
    }

    /// Returns the long-term token that the new one replaces.
    fn use_up(&mut self, proof: Proof) -> Option<String> {
        match proof {
            Proof::Secret => None,
            Proof::OneTimeCode(code) => {
                self.clients.use_one_time_code(&code);
                None
            }
            Proof::Assertion(id) => {
                self.clients.use_assertion(id);
                None
            }
            Proof::ShortTermToken { minted_from } => {
                if let Some(id) = &minted_from {
                    match self.rules.rotation {
                        OldLongTermToken::LivesOn => self.end_unused_replacements(id),
                        OldLongTermToken::DiesAtOnce => self.end_with_replacements(id),
                    }
                }
                minted_from
            }
        }
    }

    fn end_unused_replacements(&mut self, replaced: &str) {
        self.tokens.revoke_where(|_, token| {
            token.kind == TokenKind::LongTerm
                && token.parent.as_deref() == Some(replaced)
                && token.served == 0
        });
    }

    fn end_with_replacements(&mut self, replaced: &str) {
        self.tokens.revoke_where(|id, token| {
            token.kind == TokenKind::LongTerm
                && (id == replaced || token.parent.as_deref() == Some(replaced))
        });
    }
}
