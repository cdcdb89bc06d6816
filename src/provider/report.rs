//! What became of each token.

use std::time::{Duration, SystemTime};

use crate::error::Error;

/// What became of each token, as [`TokenProvider::shutdown`](crate::TokenProvider::shutdown)
/// reports it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// Every token that had not ended by itself, short-term ones first.
    pub tokens: Vec<TokenReport>,
    /// How long the shutdown took, from the first call.
    pub took: Duration,
}

/// What became of one token.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TokenReport {
    /// Its ID, if the server gave one.
    pub token_id: Option<String>,
    /// Which tier it belongs to.
    pub tier: Tier,
    /// Until when it lives at most if it was not revoked, by this machine's wall clock, if that
    /// is known.
    pub ends_at: Option<SystemTime>,
    /// What became of it.
    pub fate: Fate,
}

/// The tier of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Tier {
    /// It goes on requests.
    ShortTerm,
    /// It is exchanged for the others.
    LongTerm,
}

/// What became of a token.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Fate {
    /// It is gone: the server has revoked it, or no longer knows it, or it has just expired.
    Revoked,
    /// It may live on, for this reason.
    NotRevoked(Error),
    /// It was to live on: the policy says so.
    Kept,
}

impl ShutdownReport {
    /// Whether every token that was to be revoked is revoked.
    pub fn is_clean(&self) -> bool {
        self.not_revoked().next().is_none()
    }

    /// The tokens that were to be revoked and may live on.
    pub fn not_revoked(&self) -> impl Iterator<Item = &TokenReport> {
        self.tokens
            .iter()
            .filter(|token| matches!(token.fate, Fate::NotRevoked(_)))
    }
}
