//! One exchange, and the lifetime of its token.

use std::time::{Duration, SystemTime};

use super::unchecked_error::Unchecked;
use super::user_code::UserCode;
use crate::clock::Moment;
use crate::issuer::ExchangeResponse;
use crate::token::{Judgement, Lifetime, LongTermToken, ShortTermToken, Statement};

/// The short-term token that a successful exchange returned.
#[derive(Debug)]
pub(crate) struct Minted {
    pub(crate) token: ShortTermToken,
    /// When the request was sent. The token is used as if its lifetime began here.
    pub(crate) sent: Moment,
    pub(crate) life: Duration,
    /// An upper bound of the lifetime, also if the server returns the same token again.
    pub(crate) at_most: Option<Duration>,
    /// Whether the lifetime is only assumed.
    pub(crate) is_assumed: bool,
    /// Whether the token has expired by the local clock and is used once.
    pub(crate) is_doubtful: bool,
}

/// Everything that an exchange returned.
pub(crate) struct Exchanged {
    pub(crate) minted: Minted,
    /// The statements about the token's lifetime that were ignored.
    pub(crate) left_out: Vec<Statement>,
    pub(crate) replacement: Option<LongTermToken>,
    /// When the request was sent, by the wall clock.
    pub(crate) asked_at: SystemTime,
}

impl UserCode {
    /// Makes one call of the exchange, with this long-term token if the issuer needs one. It has no timeout of its
    /// own.
    pub(crate) async fn exchange(
        &self,
        long_term: Option<&LongTermToken>,
        scopes: &[String],
        default_lifetime: Duration,
    ) -> Result<Exchanged, Unchecked> {
        let (sent, asked_at) = (self.time.now_or_last(), self.time.wall());
        let ExchangeResponse { token, replacement } =
            self.issuer.exchange(long_term, scopes).await?;
        let Judgement {
            lifetime,
            left_out,
            at_most,
        } = token.lifetime(self.time.wall());
        let life = match lifetime {
            Lifetime::For(life) => life,
            Lifetime::Doubtful | Lifetime::Unknown => default_lifetime,
        };
        let minted = Minted {
            token,
            sent,
            life: at_most.map_or(life, |at_most| at_most.min(life)),
            at_most,
            is_assumed: !matches!(lifetime, Lifetime::For(_)),
            is_doubtful: matches!(lifetime, Lifetime::Doubtful),
        };
        Ok(Exchanged {
            minted,
            left_out,
            replacement,
            asked_at,
        })
    }
}
