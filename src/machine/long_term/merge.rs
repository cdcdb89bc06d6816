//! Merges the record of this process with the one that another process has stored.

use std::time::SystemTime;

use crate::store::{Dated, Record, Retiring, Rotation};
use crate::token::LongTermToken;

/// The record of this process.
pub(super) struct Ours<'a> {
    pub(super) record: Record,
    pub(super) is_unstored: bool,
    pub(super) is_set_by_caller: bool,
    /// The tokens that no other process knows.
    pub(super) unwritten: &'a [LongTermToken],
    /// The token that a grant brought and that no exchange has accepted yet.
    pub(super) unproven: Option<&'a LongTermToken>,
    /// The record that this process has last read or written.
    pub(super) last_stored: Option<&'a Record>,
}

pub(super) struct Merged {
    pub(super) record: Record,
    /// Whether it holds anything that the store does not hold.
    pub(super) adds: bool,
    /// Whether its current token is that of this process.
    pub(super) is_ours: bool,
}

/// Merges the two records. The stored one wins, except:
/// - a token that was handed in here and is not written yet goes before it;
/// - one that was superseded here does not come back, except as the next token that another process has proven;
/// - a token that only this process knows of is not forgotten: it is revoked `at` this time.
pub(super) fn merge(ours: Ours<'_>, theirs: Record, at: SystemTime) -> Merged {
    let is_superseded = |record: &Record| {
        let mut retiring = record.retiring.iter();
        retiring.any(|retiring| retiring.token.reads_like(theirs.current()))
    };
    // Refused here as the next token, and proven by another process.
    let next = ours.last_stored.and_then(Record::next);
    let is_proven = next.is_some_and(|next| next.token.reads_like(theirs.current()));
    if ours.is_set_by_caller || !is_proven && is_superseded(&ours.record) {
        let mut record = ours.record;
        // Until it reads the record, another process uses what was superseded here.
        let is_used = |token: &LongTermToken| theirs.tokens_in_use().any(|it| it.reads_like(token));
        for retiring in &mut record.retiring {
            if is_used(&retiring.token) {
                retiring.revoke_at = retiring.revoke_at.max(at);
            }
        }
        let next = theirs.next().cloned().map(|next| retire(next, at));
        for retiring in theirs.retiring.into_iter().chain(next) {
            if !record.tokens().any(|held| held.reads_like(&retiring.token)) {
                record.retiring.push(retiring);
            }
        }
        return Merged {
            record,
            adds: true,
            is_ours: true,
        };
    }
    // Another process has obtained a token, too, and does not know that this one is to be revoked.
    let current = ours.record.current();
    let is_unproven = ours.unproven.is_some_and(|it| it.reads_like(current));
    let is_dropped = is_unproven && !theirs.tokens().any(|it| it.reads_like(current));
    // A program that writes only a token does not know the rest of the record.
    if !ours.is_unstored && !theirs.is_bare {
        let mut record = theirs;
        let dropped = is_dropped.then_some(ours.record.current);
        record
            .retiring
            .extend(dropped.map(|token| retire(token, at)));
        return Merged {
            record,
            adds: is_dropped,
            is_ours: false,
        };
    }
    let (ours, unwritten) = (ours.record, ours.unwritten);
    let (mut record, mut adds) = (theirs, false);
    let is_same_token = record.current().reads_like(ours.current());
    let mut superseded = Vec::new();
    if is_same_token {
        if record.is_bare {
            record.current = ours.current;
        }
        match (&record.rotation, ours.rotation) {
            (_, Rotation::Settled) => {}
            (Rotation::Settled, rotation) => {
                record.rotation = rotation;
                adds = true;
            }
            (_, mut rotation) => superseded.extend(rotation.take().0),
        }
    } else {
        let mut rotation = ours.rotation;
        superseded.extend(rotation.take().0);
        let is_obtained = is_dropped || ours.current.token.reads_like_any(unwritten);
        superseded.extend(is_obtained.then_some(ours.current));
    }
    let superseded = superseded.into_iter().map(|token| retire(token, at));
    for retiring in ours.retiring.into_iter().chain(superseded) {
        if !record.tokens().any(|held| held.reads_like(&retiring.token)) {
            record.retiring.push(retiring);
            adds = true;
        }
    }
    Merged {
        record,
        adds,
        is_ours: is_same_token,
    }
}

fn retire(token: Dated, revoke_at: SystemTime) -> Retiring {
    Retiring {
        token: token.token,
        revoke_at,
    }
}
