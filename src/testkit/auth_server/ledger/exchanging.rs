//! Exchanging a long-term token for a short-term one.

use super::tokens::Order;
use super::{Freshness, Issued, Ledger, TokenKind, TokenRef};
use crate::testkit::auth_server::clock::UnixTime;
use crate::testkit::auth_server::refusal::Refusal;
use crate::testkit::auth_server::scope;
use crate::testkit::auth_server::wire::ShortTokenRequest;

impl Ledger {
    pub(in crate::testkit::auth_server) fn exchange(
        &mut self,
        request: ShortTokenRequest,
        bearer: TokenRef,
        now: UnixTime,
        freshness: Freshness,
    ) -> Result<Issued, Refusal> {
        if let Some(limiter) = &mut self.limiter {
            limiter.admit(now)?;
        }
        let long_term = match (bearer, request.long_token) {
            (TokenRef::Absent, Some(text)) => text,
            (bearer, None) => bearer.required()?,
            (_, Some(_)) => {
                return Err(Refusal::invalid_request(
                    "`long_token` and an Authorization header were both sent.",
                ));
            }
        };
        let id = self.tokens.recognise(&long_term)?;
        let outcome = self.mint_short_term(&id, request.scopes, now, freshness);
        self.tokens.note_use(&id, outcome.is_ok());
        outcome
    }

    fn mint_short_term(
        &mut self,
        long_term_id: &str,
        scopes: Option<Vec<String>>,
        now: UnixTime,
        freshness: Freshness,
    ) -> Result<Issued, Refusal> {
        let long_term = self
            .tokens
            .usable_as(TokenKind::LongTerm, long_term_id, now)?;
        let (issued, expires) = self.life(self.rules.short_term_lifetime, now, freshness);
        let order = Order {
            kind: TokenKind::ShortTerm,
            is_jwt: true,
            client_id: long_term.client_id.clone(),
            scopes: scope::narrow(&long_term.scopes, scopes)?,
            issued,
            expires: expires.min(long_term.expires),
            parent: Some(long_term_id.to_owned()),
        };
        self.counts.exchanges_succeeded += 1;
        Ok(self.issue(order, now))
    }
}
