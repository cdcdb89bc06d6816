//! How this deployment behaves where the contract leaves it open.

use std::time::Duration;

use crate::testkit::auth_server::options::OldLongTermToken;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) client_scopes: Vec<String>,
    pub(crate) short_term_lifetime: Duration,
    pub(crate) long_term_lifetime: Duration,
    pub(crate) max_long_term_lifetime: Duration,
    pub(crate) long_term_jwt: bool,
    pub(crate) fractional_timestamps: bool,
    pub(crate) rotation: OldLongTermToken,
    pub(crate) minted: Minted,
    pub(crate) exchanges: Exchanges,
    pub(crate) demands_revoke_scope: bool,
    pub(crate) rate_limit: Option<(u32, Duration)>,
}

/// What becomes of the short-term tokens that were minted from a revoked long-term token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Minted {
    LivesOn,
    EndsWithIt,
}

/// What an exchange returns while a short-term token lives that an earlier exchange has returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exchanges {
    ReturnAnotherToken,
    ReturnTheSameToken,
}

impl Default for Rules {
    fn default() -> Self {
        let scopes = ["jobs:*", "templates:read", "tokens:write", "tokens:revoke"];
        Self {
            client_scopes: scopes.map(String::from).to_vec(),
            short_term_lifetime: Duration::from_secs(15 * 60),
            long_term_lifetime: 30 * DAY,
            max_long_term_lifetime: 90 * DAY,
            long_term_jwt: false,
            fractional_timestamps: false,
            rotation: OldLongTermToken::default(),
            minted: Minted::LivesOn,
            exchanges: Exchanges::ReturnAnotherToken,
            demands_revoke_scope: false,
            rate_limit: None,
        }
    }
}
