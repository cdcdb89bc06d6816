//! The report of a shutdown while it is made, and the tokens that are revoked.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use super::report::{RevocationOutcome, ShutdownReport, TokenKind, TokenReport};
use crate::clock::Moment;
use crate::engine::revocation;
use crate::engine::shared::Shared;
use crate::engine::state::Engine;
use crate::error::{Error, ErrorKind};
use crate::issuer::{Needs, Revoked};
use crate::machine::{Failure, Next, Revocations};
use crate::observe::Event;
use crate::token::{LongTermToken, ShortTermToken, TokenRef};

/// How many unfinished revocations are reported one by one.
const MOST_TOLD: usize = 100;

/// The report of a shutdown while it is made: an entry for each token, and the tokens to revoke.
#[derive(Default)]
pub(crate) struct ReportBuilder {
    entries: Vec<TokenReport>,
    /// The tokens to revoke, by the number of their entry.
    tokens: BTreeMap<usize, Token>,
    revocations: Revocations,
    /// The number of the last short-term token of `LiveTokens`.
    last_short_term: u64,
    long_term: Vec<LongTermToken>,
}

/// A token to revoke.
#[derive(Clone)]
pub(crate) enum Token {
    ShortTerm(ShortTermToken),
    LongTerm(LongTermToken),
}

impl Token {
    pub(crate) const fn as_ref(&self) -> TokenRef<'_> {
        match self {
            Self::ShortTerm(token) => TokenRef::ShortTerm(token),
            Self::LongTerm(token) => TokenRef::LongTerm(token),
        }
    }
}

impl ReportBuilder {
    /// Creates the report with the short-term tokens. If the policy revokes the long-term token first, the short-term
    /// tokens wait for its revocation, but no longer than a quarter of the time before the deadline, since the server may
    /// not answer.
    pub(crate) fn of(shared: &Shared, deadline: Moment) -> Self {
        let mut book = Self::default();
        let settings = &shared.settings;
        if settings.profile.client_revokes && settings.shutdown.revoke_long_term {
            // The long-term token authorizes no other revocation, so it is revoked first: the auth server could
            // exchange it for further tokens.
            book.add_in_use(shared);
            let now = shared.now();
            book.revocations.put_first(now + deadline.since(now) / 4);
        }
        book.add_short_term(shared);
        book
    }

    /// Returns how many tokens wait to be revoked.
    pub(crate) fn waiting(&self) -> usize {
        self.revocations.waiting()
    }

    /// Returns what to revoke next.
    pub(crate) fn next(&mut self, now: Moment) -> Next {
        self.revocations.next(now)
    }

    pub(crate) fn token(&self, entry: usize) -> Option<Token> {
        self.tokens.get(&entry).cloned()
    }

    /// Notes that the revocations in flight were dropped.
    pub(crate) fn drop_in_flight(&mut self) {
        self.revocations.drop_in_flight();
    }

    /// Gives up all revocations that have not ended.
    pub(crate) fn drop_all(&mut self) {
        self.revocations.drop_all();
    }

    /// Adds the short-term tokens that are there and not in the report yet. The one is kept that can repeat a request
    /// for a long-term token: a later process may need it.
    pub(crate) fn add_short_term(&mut self, shared: &Shared) {
        let (now, wall) = (shared.now(), shared.wall());
        let (newer, last, authority) = {
            let engine = shared.engine();
            let (newer, last) = engine.live.after(self.last_short_term);
            (newer, last, engine.stored_authority())
        };
        self.last_short_term = last;
        let (profile, policy) = (&shared.settings.profile, &shared.settings.shutdown);
        let authority = authority.filter(|_| !policy.revoke_long_term);
        let ends_both = policy.revoke_long_term && profile.needs != Needs::Nothing;
        let may_revoke = ends_both || !profile.revocation_ends_long_term;
        for minted in newer.into_iter().filter(|it| !it.has_ended(now)) {
            let is_kept = authority
                .as_ref()
                .is_some_and(|it| it.is_same(&minted.token));
            let rest = minted.ends_at.map(|ends_at| ends_at.since(now));
            self.add(
                Token::ShortTerm(minted.token),
                rest.and_then(|rest| wall.checked_add(rest)),
                policy.revoke_short_term && may_revoke && !profile.shares_tokens && !is_kept,
            );
        }
    }

    /// Adds the long-term tokens beside the one in use that are not in the report yet. They are revoked, unless a
    /// shared store keeps them, or a person may have provided them.
    pub(crate) fn add_superseded(&mut self, shared: &Shared) {
        let (in_use, beside, provided) = {
            let engine = shared.engine();
            let beside = engine.long_term_tokens();
            let rules = engine.machine.long_term();
            let is_provided =
                |it: &&LongTermToken| rules.is_some_and(|rules| rules.is_fallback(it));
            let provided: Vec<_> = beside.iter().filter(is_provided).cloned().collect();
            (engine.long_term().cloned(), beside, provided)
        };
        let is_in_use = |token: &LongTermToken| in_use.as_ref().is_some_and(|it| it.is_same(token));
        let revoke = shared.settings.shutdown.revoke_long_term || !shared.settings.shares_store;
        for token in beside.into_iter().filter(|token| !is_in_use(token)) {
            let is_kept =
                !shared.settings.shutdown.revoke_long_term && token.reads_like_any(&provided);
            self.add_long_term(shared, token, revoke && !is_kept);
        }
    }

    /// Adds the long-term token in use, unless it is in the report already.
    pub(crate) fn add_in_use(&mut self, shared: &Shared) {
        let in_use = shared.engine().long_term().cloned();
        if let Some(token) = in_use {
            self.add_long_term(shared, token, shared.settings.shutdown.revoke_long_term);
        }
    }

    /// A token that was obtained here and is not stored is revoked in any case, since no later process knows it.
    fn add_long_term(&mut self, shared: &Shared, token: LongTermToken, revoke: bool) {
        if token.reads_like_any(&self.long_term) {
            return;
        }
        let revoke = revoke || is_unwritten(&shared.engine(), &token);
        self.long_term.push(token.clone());
        let ends_at = token.expires_at();
        self.add(Token::LongTerm(token), ends_at, revoke);
    }

    /// Adds the tokens that calls may have obtained whose outcome has not arrived.
    pub(crate) fn add_unknown(&mut self, shared: &Shared) {
        let (now, wall) = (shared.now(), shared.wall());
        if shared.settings.shutdown.revokes_nothing() {
            return;
        }
        let unknown = shared.engine().unknown.clone();
        for unknown in unknown {
            let rest = unknown.ends_at.map(|ends_at| ends_at.since(now));
            if rest.is_some_and(|rest| rest.is_zero()) {
                continue;
            }
            let error = Error::own(
                ErrorKind::Timeout,
                "a call timed out or was dropped; the auth server may have issued a token",
            );
            self.entries.push(TokenReport {
                token_id: None,
                kind: if unknown.is_long_term {
                    TokenKind::LongTerm
                } else {
                    TokenKind::ShortTerm
                },
                ends_at: rest.and_then(|rest| wall.checked_add(rest)),
                outcome: RevocationOutcome::Unknown(error),
            });
        }
    }

    /// Notes how a revocation ended, and tells observers unless it is tried again.
    pub(crate) fn note(
        &mut self,
        shared: &Shared,
        number: usize,
        outcome: Result<Revoked, Error>,
        deadline: Moment,
    ) {
        let Some(entry) = self.entries.get_mut(number) else {
            return;
        };
        entry.outcome = match &outcome {
            Ok(Revoked::Gone) => RevocationOutcome::Revoked,
            Ok(Revoked::Unknown) => RevocationOutcome::Unknown(revocation::unknown()),
            Ok(Revoked::Unsupported) => RevocationOutcome::Unsupported,
            Err(error) => RevocationOutcome::NotRevoked(error.clone()),
        };
        match &outcome {
            Ok(_) => self.revocations.ended(number),
            Err(error) => {
                let (policy, times) = (&shared.settings.policies.retry, (shared.now(), deadline));
                let (failure, draw) = (Failure::of(error), fastrand::f64());
                if (self.revocations).failed(number, failure, policy, draw, times) {
                    return;
                }
            }
        }
        self.tokens.remove(&number);
        if let Some(event) = revocation::event(entry.token_id.as_deref(), outcome) {
            shared.observers.tell(event);
        }
    }

    /// Reports the revocations that have not ended: the first ones one by one, the others as a count, since
    /// the deadline has passed.
    pub(crate) fn tell_unfinished(&self, shared: &Shared) {
        let pending = self.revocations.unfinished();
        let rest = pending.len().saturating_sub(MOST_TOLD);
        for entry in pending.into_iter().take(MOST_TOLD) {
            if let Some(entry) = self.entries.get(entry)
                && let RevocationOutcome::NotRevoked(error) = &entry.outcome
            {
                shared.observers.tell(Event::Revocation {
                    token_id: entry.token_id.clone(),
                    error: Some(error.clone()),
                });
            }
        }
        if rest > 0 {
            let tokens = rest;
            shared
                .observers
                .tell(Event::RevocationsUnfinished { tokens });
        }
    }

    pub(crate) fn report(self, shared: &Shared) -> ShutdownReport {
        let now = shared.now();
        let began = shared.engine().shutdown_began;
        ShutdownReport {
            tokens: self.entries,
            took: began.map_or(Duration::ZERO, |began| now.since(began)),
        }
    }

    /// The report of a shutdown that could not do its work.
    pub(crate) fn nothing_done(mut self, shared: &Shared, error: &Error) -> ShutdownReport {
        self.add_superseded(shared);
        self.add_in_use(shared);
        self.add_unknown(shared);
        for entry in &mut self.entries {
            if matches!(entry.outcome, RevocationOutcome::NotRevoked(_)) {
                entry.outcome = RevocationOutcome::NotRevoked(error.clone());
            }
        }
        let is_told = std::mem::replace(&mut shared.engine().is_undone_told, true);
        if !is_told {
            self.tell_unfinished(shared);
        }
        self.report(shared)
    }

    fn add(&mut self, token: Token, ends_at: Option<SystemTime>, revoke: bool) {
        self.entries.push(TokenReport {
            token_id: token.as_ref().shown_id().map(str::to_owned),
            kind: TokenKind::of(token.as_ref()),
            ends_at,
            outcome: if revoke {
                RevocationOutcome::NotRevoked(unfinished())
            } else {
                RevocationOutcome::Kept
            },
        });
        if revoke {
            let number = self.entries.len() - 1;
            self.tokens.insert(number, token);
            self.revocations.add(number);
        }
    }
}

/// Returns whether the long-term token in use is to be revoked.
pub(crate) fn revokes_in_use(shared: &Shared) -> bool {
    let engine = shared.engine();
    let in_use = engine.long_term();
    shared.settings.shutdown.revoke_long_term
        || in_use.is_some_and(|token| is_unwritten(&engine, token))
}

/// Returns whether the token was obtained here and is not stored.
fn is_unwritten(engine: &Engine, token: &LongTermToken) -> bool {
    let long_term = engine.machine.long_term();
    long_term.is_some_and(|rules| token.reads_like_any(rules.unwritten()))
}

pub(crate) fn unfinished() -> Error {
    Error::own(
        ErrorKind::Timeout,
        "the revocation did not end within the shutdown's deadline",
    )
}
