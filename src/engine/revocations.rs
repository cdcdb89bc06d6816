//! The shutdown's book: what is still to be revoked, and what is to be reported.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use super::refusal::failure;
use super::report::{RevocationOutcome, ShutdownReport, TokenKind, TokenReport};
use super::revoking;
use super::shared::Shared;
use crate::error::{Error, ErrorKind};
use crate::issuer::Revoked;
use crate::machine::retry_delay;
use crate::observe::Event;
use crate::token::{LongTermToken, ShortTermToken, TokenRef};

/// How many unfinished revocations are reported one by one.
const MOST_TOLD: usize = 100;

#[derive(Default)]
pub(crate) struct Revocations {
    entries: Vec<TokenReport>,
    /// The last one is the next to be revoked.
    to_revoke: Vec<ToRevoke>,
    /// The entries whose revocation has not ended.
    pending: BTreeSet<usize>,
    /// The number of the last short-term token in the ledger.
    last_short_term: u64,
    long_term: Vec<LongTermToken>,
}

/// A token that is to be revoked, with its place in the report.
pub(crate) struct ToRevoke {
    token: Token,
    entry: usize,
    failures: u32,
}

enum Token {
    ShortTerm(ShortTermToken),
    LongTerm(LongTermToken),
}

impl ToRevoke {
    pub(crate) const fn bearer(&self) -> TokenRef<'_> {
        match &self.token {
            Token::ShortTerm(token) => TokenRef::ShortTerm(token),
            Token::LongTerm(token) => TokenRef::LongTerm(token),
        }
    }
}

impl Revocations {
    /// With the short-term tokens that are there.
    pub(crate) fn of(shared: &Shared) -> Self {
        let mut revocations = Self::default();
        revocations.add_short_term(shared);
        revocations
    }

    /// How many are still to be revoked.
    pub(crate) fn to_revoke(&self) -> usize {
        self.to_revoke.len()
    }

    pub(crate) fn next(&mut self) -> Option<ToRevoke> {
        self.to_revoke.pop()
    }

    /// Adds the short-term tokens that are there and not in the book yet.
    pub(crate) fn add_short_term(&mut self, shared: &Shared) {
        let (now, wall) = (shared.now(), shared.wall());
        let (newer, last) = {
            let mut engine = shared.engine();
            engine.live.forget_ended(now);
            engine.live.after(self.last_short_term)
        };
        self.last_short_term = last;
        for minted in newer {
            let rest = minted.ends_at.map(|ends_at| ends_at.since(now));
            self.add(
                Token::ShortTerm(minted.token),
                rest.and_then(|rest| wall.checked_add(rest)),
                shared.settings.shutdown.revoke_short_term
                    && !shared.settings.profile.shares_tokens,
            );
        }
    }

    /// Adds the long-term tokens that are there and not in the book yet. Superseded ones are
    /// revoked, unless the store keeps them for whoever comes next; and so is one that was obtained
    /// here and could not be stored, for nobody will know of it.
    pub(crate) fn add_long_term(&mut self, shared: &Shared) {
        let revoke = shared.settings.shutdown.revoke_long_term;
        let (in_use, beside, unwritten) = {
            let engine = shared.engine();
            let in_use = engine.long_term.as_ref().map(|held| held.token.clone());
            (in_use, engine.beside.clone(), engine.unwritten.clone())
        };
        let revokes_beside = revoke || !shared.settings.shares_store;
        let is_in_use = |token: &LongTermToken| in_use.as_ref().is_some_and(|it| it.is_same(token));
        let beside: Vec<_> = beside
            .into_iter()
            .filter(|token| !is_in_use(token))
            .map(|token| (token, revokes_beside))
            .collect();
        for (token, revoke) in beside
            .into_iter()
            .chain(in_use.map(|token| (token, revoke)))
        {
            let revoke = revoke || token.reads_like_any(&unwritten);
            if !token.reads_like_any(&self.long_term) {
                self.long_term.push(token.clone());
                let ends_at = token.expires_at();
                self.add(Token::LongTerm(token), ends_at, revoke);
            }
        }
    }

    /// Adds a token of which nobody knows whether it exists.
    pub(crate) fn add_unknown(&mut self) {
        self.entries.push(TokenReport {
            token_id: None,
            kind: TokenKind::ShortTerm,
            ends_at: None,
            outcome: RevocationOutcome::NotRevoked(Error::own(
                ErrorKind::Timeout,
                "a call of the auth server was still under way; it may have minted a token",
            )),
        });
    }

    /// Notes how an attempt ended. Returns the token if it is to be tried again after a pause.
    pub(crate) fn note(
        &mut self,
        shared: &Shared,
        mut to_revoke: ToRevoke,
        outcome: Result<Revoked, Error>,
        rest: Duration,
    ) -> Option<(ToRevoke, Duration)> {
        let entry = self.entries.get_mut(to_revoke.entry)?;
        let token_id = entry.token_id.clone();
        let error = match outcome {
            Err(error) => error,
            Ok(revoked) => {
                entry.outcome = match revoked {
                    Revoked::Gone => RevocationOutcome::Revoked,
                    Revoked::Unknown => RevocationOutcome::Unknown(revoking::unknown()),
                    Revoked::Unsupported => RevocationOutcome::Unsupported,
                };
                self.pending.remove(&to_revoke.entry);
                if let Some(event) = revoking::event(token_id.as_deref(), Ok(revoked)) {
                    shared.observers.tell(event);
                }
                return None;
            }
        };
        entry.outcome = RevocationOutcome::NotRevoked(error.clone());
        to_revoke.failures += 1;
        let policy = &shared.settings.policies.retry;
        let failure = failure(&error);
        let pause = retry_delay(policy, failure, to_revoke.failures, None, fastrand::f64());
        if error.is_retryable() && pause < rest {
            return Some((to_revoke, pause));
        }
        self.pending.remove(&to_revoke.entry);
        let error = Some(error);
        shared.observers.tell(Event::Revocation { token_id, error });
        None
    }

    /// Reports the revocations that have not ended: the first ones one by one, the others as a count, since
    /// the deadline has passed.
    pub(crate) fn tell_unfinished(&mut self, shared: &Shared) {
        let pending = std::mem::take(&mut self.pending);
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
        self.add_long_term(shared);
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
        let to_revoke = ToRevoke {
            token,
            entry: self.entries.len(),
            failures: 0,
        };
        self.entries.push(TokenReport {
            token_id: to_revoke.bearer().shown_id().map(str::to_owned),
            kind: TokenKind::of(to_revoke.bearer()),
            ends_at,
            outcome: if revoke {
                RevocationOutcome::NotRevoked(unfinished())
            } else {
                RevocationOutcome::Kept
            },
        });
        if revoke {
            self.pending.insert(to_revoke.entry);
            self.to_revoke.push(to_revoke);
        }
    }
}

pub(crate) fn unfinished() -> Error {
    Error::own(ErrorKind::Timeout, "the revocation timed out")
}
