//! The server's memory and its decisions. No HTTP, no clock: the caller says what time it is.

mod admitting;
mod bearer;
mod clients;
mod counts;
mod exchanging;
mod limiter;
mod mechanism;
mod obtaining;
mod record;
mod revoking;
mod rules;
mod tokens;

use std::time::Duration;

pub(super) use admitting::JobsAccess;
pub(super) use bearer::TokenRef;
pub(super) use clients::Clients;
pub use counts::{Counts, EndpointCounts, JobsCounts};
pub use record::{TokenKind, TokenRecord};
pub(super) use rules::{Exchanges, Minted, Rules};
pub(super) use tokens::{Issued, Tokens};

use super::clock::UnixTime;
use super::random::Unguessable;
use limiter::Limiter;
use tokens::Order;

pub(super) struct Ledger {
    rules: Rules,
    clients: Clients,
    tokens: Tokens,
    random: Unguessable,
    limiter: Option<Limiter>,
    counts: Counts,
}

/// When the tokens of a request are to have been issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Freshness {
    Fresh,
    /// So long ago that they have expired.
    Expired,
}

impl Ledger {
    pub(super) fn new(rules: Rules, clients: Clients, tokens: Tokens, random: Unguessable) -> Self {
        let limiter = rules.rate_limit.map(|(max, per)| Limiter::new(max, per));
        Self {
            rules,
            clients,
            tokens,
            random,
            limiter,
            counts: Counts::default(),
        }
    }

    pub(super) fn new_one_time_code(&mut self, client_id: &str) -> String {
        self.clients.new_one_time_code(client_id, &mut self.random)
    }

    pub(super) fn set_short_term_lifetime(&mut self, lifetime: Duration) {
        self.rules.short_term_lifetime = lifetime;
    }

    pub(super) fn record(&self, token_id: &str) -> Option<TokenRecord> {
        self.tokens.record(token_id)
    }

    pub(super) fn records(&self) -> Vec<TokenRecord> {
        self.tokens.records()
    }

    pub(super) fn is_live(&self, token_id: &str, now: UnixTime) -> bool {
        self.tokens.usable(token_id, now).is_ok()
    }

    /// Whether the ID is known.
    pub(super) fn revoke_as_admin(&mut self, token_id: &str) -> bool {
        self.tokens.revoke(token_id);
        self.tokens.find(token_id).is_some()
    }

    pub(super) fn revoke_all_short_term(&mut self) {
        self.tokens
            .revoke_where(|_, token| token.kind == TokenKind::ShortTerm);
    }

    pub(super) fn counts(&self) -> Counts {
        self.counts.clone()
    }

    pub(super) fn counts_mut(&mut self) -> &mut Counts {
        &mut self.counts
    }

    fn life(
        &self,
        lifetime: Duration,
        now: UnixTime,
        freshness: Freshness,
    ) -> (UnixTime, UnixTime) {
        let issued = match freshness {
            Freshness::Fresh => now,
            Freshness::Expired => now.minus(lifetime).minus(Duration::from_secs(1)),
        };
        let issued = self.stamp(issued);
        (issued, self.stamp(issued.plus(lifetime)))
    }

    fn stamp(&self, time: UnixTime) -> UnixTime {
        if self.rules.fractional_timestamps {
            time
        } else {
            time.whole_seconds()
        }
    }

    fn issue(&mut self, order: Order, now: UnixTime) -> Issued {
        let (kind, scopes, expires) = (order.kind, order.scopes.clone(), order.expires);
        let (token_id, text) = self.tokens.mint(order, &mut self.random);
        Issued {
            text,
            token_id,
            kind,
            scopes,
            expires,
            expires_in: expires.since(self.stamp(now)),
        }
    }
}
