//! What both tiers have in common: a bearer token and what is known about it.

use std::fmt;
use std::marker::PhantomData;
use std::time::{Duration, SystemTime};

use zeroize::Zeroizing;

use super::claims::Claims;
use super::date::UnixMillis;
use super::lifetime::{Judgement, Stated};
use crate::error::Error;
use crate::secret::BearerToken;

/// How long at most a token that is not valid yet is held back.
const LONGEST_NOT_VALID: Duration = Duration::from_secs(60);

pub(crate) struct Issued {
    pub(super) bearer: BearerToken,
    pub(super) claims: Claims,
    pub(super) scopes: Vec<String>,
    token_id: Option<String>,
    expires_in: Option<Duration>,
    expires_at: Option<UnixMillis>,
    server_time: Option<UnixMillis>,
}

impl Issued {
    pub(super) fn token_id(&self) -> Option<&str> {
        self.token_id.as_deref().or(self.claims.jti.as_deref())
    }

    /// The earlier of the two ends that are stated as a date.
    pub(super) fn expires_at(&self) -> Option<SystemTime> {
        [self.claims.exp, self.expires_at]
            .into_iter()
            .flatten()
            .min()
            .and_then(UnixMillis::to_system_time)
    }

    pub(super) fn lifetime(&self, local: SystemTime) -> Judgement {
        let stated = Stated {
            expires_in: self.expires_in,
            expires_at: self.expires_at,
            date: self.server_time,
            exp: self.claims.exp,
            iat: self.claims.iat,
            local: UnixMillis::from(local),
        };
        stated.judge()
    }

    /// Returns how long `nbf` lies after `iat` or after the `Date` of the answer, whichever is less, up to
    /// [`LONGEST_NOT_VALID`].
    pub(super) fn not_valid_for(&self) -> Duration {
        let ahead = |of: Option<UnixMillis>| Some(self.claims.nbf?.since(of?));
        let waits = [ahead(self.claims.iat), ahead(self.server_time)];
        let shortest = waits.into_iter().flatten().min();
        shortest.unwrap_or_default().min(LONGEST_NOT_VALID)
    }

    pub(super) fn describe(&self, mut out: fmt::DebugStruct<'_, '_>) -> fmt::Result {
        out.field("token_id", &self.token_id())
            .field("scopes", &self.scopes)
            .field("expires_in", &self.expires_in)
            .field("expires_at", &self.expires_at())
            .finish_non_exhaustive()
    }
}

/// Makes a [`LongTermToken`](super::LongTermToken) or a [`ShortTermToken`](super::ShortTermToken)
/// from what a server answered.
///
/// Everything but the token itself is optional. If several statements say when the token expires, the
/// earliest end counts. One statement by which alone the token would have expired on arrival is left out,
/// with a warning in the log. `exp` − `iat` of a JWT is an upper bound, since the JWT may have been issued
/// earlier.
pub struct TokenBuilder<T> {
    token: Zeroizing<String>,
    token_id: Option<String>,
    scopes: Vec<String>,
    expires_in: Option<Duration>,
    expires_at: Option<UnixMillis>,
    server_time: Option<UnixMillis>,
    makes: PhantomData<fn() -> T>,
}

impl<T> TokenBuilder<T> {
    pub(crate) fn new(token: &str) -> Self {
        Self {
            token: Zeroizing::new(token.to_owned()),
            token_id: None,
            scopes: Vec::new(),
            expires_in: None,
            expires_at: None,
            server_time: None,
            makes: PhantomData,
        }
    }

    /// How long it lives, counted from when the request for it was sent: `expires_in`.
    #[must_use]
    pub fn expires_in(mut self, life: Duration) -> Self {
        self.expires_in = Some(life);
        self
    }

    /// When it ends by the server's clock: `expires_at`. Of use together with
    /// [`server_time`](Self::server_time); alone it is held against this machine's clock, and
    /// only if nothing else states a life.
    #[must_use]
    pub fn expires_at(mut self, end: SystemTime) -> Self {
        self.expires_at = Some(UnixMillis::from(end));
        self
    }

    /// What the server's clock showed when it answered: its `Date` header.
    #[must_use]
    pub fn server_time(mut self, time: SystemTime) -> Self {
        self.server_time = Some(UnixMillis::from(time));
        self
    }

    /// The ID by which it can be revoked. Without one, a JWT's `jti` stands in.
    #[must_use]
    pub fn token_id(mut self, id: impl Into<String>) -> Self {
        self.token_id = Some(id.into());
        self
    }

    /// What it is good for.
    #[must_use]
    pub fn scopes<S: Into<String>>(mut self, scopes: impl IntoIterator<Item = S>) -> Self {
        self.scopes = scopes.into_iter().map(Into::into).collect();
        self
    }
}

#[allow(
    private_bounds,
    reason = "the two token types are all that can be built"
)]
impl<T: From<Issued>> TokenBuilder<T> {
    /// The token.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidToken`](crate::ErrorKind::InvalidToken) if the token is empty or holds
    /// anything but visible ASCII characters.
    pub fn build(self) -> Result<T, Error> {
        Ok(T::from(Issued {
            bearer: BearerToken::new(&self.token)?,
            claims: Claims::decode(&self.token),
            scopes: self.scopes,
            token_id: self.token_id,
            expires_in: self.expires_in,
            expires_at: self.expires_at,
            server_time: self.server_time,
        }))
    }
}

impl<T> fmt::Debug for TokenBuilder<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenBuilder")
            .field("token_id", &self.token_id)
            .field("scopes", &self.scopes)
            .finish_non_exhaustive()
    }
}
