//! Exchanging a long-term token for a short-term one.

use std::time::Duration;

use super::tokens::Order;
use super::{Exchanges, Freshness, Issued, Ledger, TokenKind, TokenRef};
use crate::testkit::auth_server::clock::UnixTime;
use crate::testkit::auth_server::refusal::Refusal;
use crate::testkit::auth_server::scope;
use crate::testkit::auth_server::wire::ShortTokenRequest;

/// The least life of a token that is returned again: the `expires_in` of a shorter one would be 0.
const LEAST_LEFT: Duration = Duration::from_secs(1);

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
        if freshness == Freshness::Fresh
            && let Some(issued) = self.issued_before(long_term_id, &order.scopes, now)
        {
            self.counts.exchanges_repeated += 1;
            return Ok(issued);
        }
        self.counts.exchanges_succeeded += 1;
        Ok(self.issue(order, now))
    }

    /// The token that an earlier exchange has returned, if this server returns it again.
    fn issued_before(
        &self,
        long_term_id: &str,
        scopes: &[String],
        now: UnixTime,
    ) -> Option<Issued> {
        if self.rules.exchanges != Exchanges::ReturnTheSameToken {
            return None;
        }
        let until = now.plus(LEAST_LEFT);
        let (token_id, text, expires) =
            self.tokens.exchanged_before(long_term_id, scopes, until)?;
        Some(Issued {
            text,
            token_id,
            kind: TokenKind::ShortTerm,
            scopes: scopes.to_vec(),
            expires,
            expires_in: expires.since(self.stamp(now)),
        })
    }
}
