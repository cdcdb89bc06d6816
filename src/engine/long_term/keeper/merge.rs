//! What becomes of what is here when somebody else has written something else.

use super::dates::retiring;
use super::held::Keeper;
use crate::engine::shared::Shared;
use crate::store::{Dated, Record, Rotation, Stored};

impl Keeper {
    /// What somebody else has stored goes before what is here, but
    /// - a token that was handed in here and is not written yet goes before it;
    /// - one that was superseded here does not come back;
    /// - a token that only we know of is not forgotten.
    pub(in crate::engine) fn take_up(&mut self, shared: &Shared, theirs: Stored) {
        let Stored { record, version } = theirs;
        for token in record.tokens() {
            shared.check_id(token, &[]);
        }
        let is_known = self.version.as_ref() == Some(&version);
        self.version = Some(version);
        let Some(ours) = self.record.take() else {
            self.record = Some(record.tidy());
            return;
        };
        let is_superseded = ours
            .retiring
            .iter()
            .any(|retiring| retiring.token.reads_like(record.current()));
        if is_superseded || self.is_handed_in || (is_known && self.unsaved) {
            self.record = Some(ours);
            self.unsaved = true;
        } else if self.unsaved || record.is_bare {
            // Whoever writes nothing but a token knows nothing of the rest.
            let is_ours = self.unsaved;
            let (merged, adds) = merged(shared, record, ours, is_ours);
            self.record = Some(merged.tidy());
            self.unsaved = adds;
        } else {
            self.record = Some(record.tidy());
        }
    }
}

/// Their record with what only we know of, and whether that is anything. If our current token
/// `is_ours`, we have obtained it and not written it yet.
fn merged(shared: &Shared, mut theirs: Record, ours: Record, is_ours: bool) -> (Record, bool) {
    let is_same_token = theirs.current().reads_like(ours.current());
    let mut adds = false;
    let mut to_revoke = Vec::new();
    if is_same_token {
        if theirs.is_bare {
            theirs.current = ours.current;
        }
        if matches!(theirs.rotation, Rotation::Settled) {
            adds |= !matches!(ours.rotation, Rotation::Settled);
            theirs.rotation = ours.rotation;
        }
    } else {
        to_revoke.extend(is_ours.then(|| ours.current.clone()));
        to_revoke.extend(ours.next().cloned());
    }
    let grace = shared.settings.policies.rotation.grace;
    let to_revoke = to_revoke
        .into_iter()
        .map(|Dated { token, .. }| retiring(shared, token, grace));
    for retiring in ours.retiring.into_iter().chain(to_revoke) {
        if !theirs.tokens().any(|held| held.reads_like(&retiring.token)) {
            theirs.retiring.push(retiring);
            adds = true;
        }
    }
    (theirs, adds)
}
