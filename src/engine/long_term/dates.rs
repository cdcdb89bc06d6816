//! The dates of long-term tokens, by this machine's wall clock.

use std::time::SystemTime;

use crate::observe;
use crate::store::{Dated, Record};
use crate::token::{Lifetime, LongTermToken};

/// Returns a token that was requested at this time, with its dates.
pub(crate) fn dated(provider: &str, token: LongTermToken, asked_at: SystemTime) -> Dated {
    let judgement = token.lifetime(asked_at);
    let life = match judgement.lifetime {
        Lifetime::For(life) => Some(life),
        Lifetime::Doubtful | Lifetime::Unknown => None,
    };
    for statement in &judgement.left_out {
        observe::log_left_out(provider, statement.as_str(), life);
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

/// Returns a token that the user has obtained, with the dates that it states, or else as if it had been requested just
/// now.
pub(crate) fn handed_in(provider: &str, token: LongTermToken, wall: SystemTime) -> Dated {
    let stated = Record::from(token.clone()).current;
    if stated.ends_at.is_some() {
        stated
    } else {
        dated(provider, token, wall)
    }
}
