//! The dates of long-term tokens, by this machine's wall clock.

use std::time::{Duration, SystemTime};

use crate::engine::shared::Shared;
use crate::machine::Input;
use crate::observe;
use crate::store::{Dated, Record, Retiring};
use crate::token::{Lifetime, LongTermToken};

/// A token that was asked for at this moment, with its dates.
pub(in crate::engine) fn dated(
    shared: &Shared,
    token: LongTermToken,
    asked_at: SystemTime,
) -> Dated {
    let judgement = token.lifetime(asked_at);
    let life = match judgement.lifetime {
        Lifetime::For(life) => Some(life),
        Lifetime::Doubtful | Lifetime::Unknown => None,
    };
    for statement in &judgement.left_out {
        observe::log_left_out(&shared.settings.name, statement.as_str(), life);
    }
    let ends_at = match judgement.lifetime {
        Lifetime::For(life) => asked_at.checked_add(life),
        Lifetime::Doubtful => token.expires_at(),
        Lifetime::Unknown => None,
    };
    Dated {
        token,
        obtained_at: Some(asked_at),
        ends_at,
    }
}

/// A token that is to be revoked after this grace.
pub(in crate::engine) fn retiring(
    shared: &Shared,
    token: LongTermToken,
    grace: Duration,
) -> Retiring {
    let now = shared.wall();
    Retiring {
        token,
        revoke_at: now.checked_add(grace).unwrap_or(now),
    }
}

impl Shared {
    /// What the machine is to know of a token that is in use from now on.
    pub(in crate::engine) fn began(&self, dated: &Dated) -> Input {
        let (age, left) = self.age_and_rest(dated);
        Input::LongTermBegan { age, left }
    }

    /// How old the token is, and how much of its life is left, if it is ever to be rotated: no more
    /// than all of it, however wrong the clock is.
    pub(in crate::engine) fn age_and_rest(&self, dated: &Dated) -> (Duration, Option<Duration>) {
        let wall = self.wall();
        let between =
            |from: SystemTime, to: SystemTime| to.duration_since(from).unwrap_or_default();
        let rest = dated.ends_at.map(|ends_at| {
            let left = between(wall, ends_at);
            match dated.obtained_at {
                Some(obtained_at) => left.min(between(obtained_at, ends_at)),
                None => left,
            }
        });
        let age = dated
            .obtained_at
            .map(|obtained_at| between(obtained_at, wall));
        let rest = rest.filter(|_| self.settings.rotate_with.is_some());
        (age.unwrap_or_default(), rest)
    }

    /// A token that somebody else has obtained, with the dates that it states; or else as if it
    /// had been asked for just now.
    pub(in crate::engine) fn handed_in(&self, token: LongTermToken) -> Dated {
        let stated = Record::from(token.clone()).current;
        if stated.ends_at.is_some() {
            stated
        } else {
            dated(self, token, self.wall())
        }
    }
}
