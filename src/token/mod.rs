//! The two tiers of tokens, and what can be known of their lives without trusting them.

mod builder;
mod claims;
mod date;
mod lifetime;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::HeaderValue;

pub(crate) use builder::Issued;
pub use builder::TokenBuilder;
#[cfg(feature = "auth-api")]
pub(crate) use builder::{LONGEST_ID, Scopes, is_fit_to_show};
use date::UnixMillis;
#[cfg(feature = "auth-api")]
pub(crate) use date::duration_from_json;
pub(crate) use lifetime::{Judgement, Lifetime, Statement};

use crate::error::Error;
use crate::secret::BearerToken;

/// The secret that is exchanged for short-term tokens; opaque or a JWT, as the server chooses.
///
/// It goes to the auth server only. `Debug` hides it, it has no `Display`, no `PartialEq` and no
/// serde; its memory is zeroized when the last clone is dropped.
///
/// # Examples
///
/// ```
/// use everbearer::LongTermToken;
///
/// # fn main() -> Result<(), everbearer::Error> {
/// let token = LongTermToken::new("lt_0d51e9bd2f6449cf")?;
/// assert!(!format!("{token:?}").contains("0d51e9bd"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct LongTermToken(Arc<Issued>);

/// The short-lived JWT that goes on requests.
///
/// Its claims are decoded, not verified: they are used to know when it ends, and whoever receives
/// the token checks it. A clone is a reference count. `Debug` hides the token, it has no
/// `Display`, no `PartialEq` and no serde; its memory is zeroized when the last clone, header
/// values included, is dropped.
///
/// # Examples
///
/// A [`TokenIssuer`](crate::TokenIssuer) of one's own makes them from what its server answered:
///
/// ```
/// use std::time::Duration;
/// use everbearer::ShortTermToken;
///
/// # fn main() -> Result<(), everbearer::Error> {
/// let token = ShortTermToken::builder("opaque-or-jwt")
///     .expires_in(Duration::from_secs(900))
///     .token_id("tok_st_9f3d2c")
///     .build()?;
/// assert_eq!(token.token_id(), Some("tok_st_9f3d2c"));
/// assert_eq!(token.authorization(), "Bearer opaque-or-jwt");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct ShortTermToken(Arc<Issued>);

impl LongTermToken {
    /// A long-term token of which nothing else is known. If it is a JWT, its claims are decoded. A byte order mark
    /// at the start and line breaks at the end are left out.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidToken`](crate::ErrorKind::InvalidToken) if it is empty or holds
    /// anything but visible ASCII characters.
    pub fn new(token: impl AsRef<str>) -> Result<Self, Error> {
        Self::builder(token.as_ref()).build()
    }

    /// A long-term token together with what the server said about it. A byte order mark at the start and line
    /// breaks at the end are left out.
    pub fn builder(token: &str) -> TokenBuilder<Self> {
        TokenBuilder::new(token)
    }

    /// Returns the token itself. Do not log or persist the returned value.
    pub fn expose(&self) -> &str {
        self.0.bearer.expose()
    }

    /// The ID by which it can be revoked, if the server gave one: `token_id`, or the JWT's `jti`.
    ///
    /// It is what the server sent. Logs, events and `Debug` leave out an ID that is longer than 256 bytes, holds
    /// control characters, or contains the token, unless that is an opaque one of less than 16 bytes.
    pub fn token_id(&self) -> Option<&str> {
        self.0.token_id()
    }

    /// Returns the ID for logs and events, if it is fit to be shown.
    pub(crate) fn shown_id(&self) -> Option<&str> {
        self.0.shown_id()
    }

    /// What it may be exchanged for, as far as the server said.
    pub fn scopes(&self) -> &[String] {
        &self.0.scopes
    }

    /// When it ends by the server's clock, if that is known.
    pub fn expires_at(&self) -> Option<SystemTime> {
        self.0.expires_at()
    }

    /// When it was minted by the server's clock: its `iat`, if it is a JWT.
    pub fn issued_at(&self) -> Option<SystemTime> {
        self.0.claims.iat.and_then(UnixMillis::to_system_time)
    }

    /// Returns how long the token lives, by what it states and by the local clock.
    pub(crate) fn lifetime(&self, local: SystemTime) -> Judgement {
        self.0.lifetime(local)
    }

    /// Whether revoking one revokes the other.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let have_one_id = self.token_id().is_some() && self.token_id() == other.token_id();
        have_one_id || self.reads_like(other)
    }

    pub(crate) fn reads_like_any(&self, others: &[Self]) -> bool {
        others.iter().any(|other| self.reads_like(other))
    }

    /// Returns whether both have the same text.
    pub(crate) fn reads_like(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl ShortTermToken {
    /// A short-term token together with what the server said about it. If it is a JWT, its claims
    /// are decoded.
    pub fn builder(token: &str) -> TokenBuilder<Self> {
        TokenBuilder::new(token)
    }

    /// Returns the token itself. Do not log or persist the returned value.
    pub fn expose(&self) -> &str {
        self.0.bearer.expose()
    }

    /// `Bearer <token>`, ready for an `Authorization` header and marked sensitive.
    pub fn authorization(&self) -> &HeaderValue {
        self.0.bearer.header()
    }

    /// The same header in a buffer of its own, which is zeroized in the same way.
    pub(crate) fn copied_header(&self) -> HeaderValue {
        self.0.bearer.copied_header()
    }

    /// The ID by which it can be revoked, if the server gave one: `token_id`, or the JWT's `jti`.
    ///
    /// It is what the server sent. Logs, events and `Debug` leave out an ID that is longer than 256 bytes, holds
    /// control characters, or contains the token, unless that is an opaque one of less than 16 bytes.
    pub fn token_id(&self) -> Option<&str> {
        self.0.token_id()
    }

    /// Returns the ID for logs and events, if it is fit to be shown.
    pub(crate) fn shown_id(&self) -> Option<&str> {
        self.0.shown_id()
    }

    /// What it is good for, as far as the server said.
    pub fn scopes(&self) -> &[String] {
        &self.0.scopes
    }

    /// When it ends by the server's clock, if that is known.
    pub fn expires_at(&self) -> Option<SystemTime> {
        self.0.expires_at()
    }

    /// When it was minted by the server's clock: its `iat`.
    pub fn issued_at(&self) -> Option<SystemTime> {
        self.0.claims.iat.and_then(UnixMillis::to_system_time)
    }

    /// Before when it is not valid by the server's clock: its `nbf`.
    pub fn not_before(&self) -> Option<SystemTime> {
        self.0.claims.nbf.and_then(UnixMillis::to_system_time)
    }

    /// Returns how long the token lives, by what it states and by the local clock.
    pub(crate) fn lifetime(&self, local: SystemTime) -> Judgement {
        self.0.lifetime(local)
    }

    /// Returns how much longer servers refuse the token because of its `nbf`: at most a minute.
    pub(crate) fn not_valid_for(&self) -> Duration {
        self.0.not_valid_for()
    }

    /// Returns whether revoking one revokes the other.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let have_one_id = self.token_id().is_some() && self.token_id() == other.token_id();
        have_one_id || self.reads_like(other)
    }

    /// Returns whether both have the same text.
    pub(crate) fn reads_like(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl From<Issued> for LongTermToken {
    fn from(issued: Issued) -> Self {
        Self(Arc::new(issued))
    }
}

impl From<Issued> for ShortTermToken {
    fn from(issued: Issued) -> Self {
        Self(Arc::new(issued))
    }
}

impl fmt::Debug for LongTermToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.describe(f.debug_struct("LongTermToken"))
    }
}

impl fmt::Debug for ShortTermToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.describe(f.debug_struct("ShortTermToken"))
    }
}

/// Either token, where both will do: to authorize a revocation, or to be revoked.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum TokenRef<'a> {
    /// A long-term token.
    LongTerm(&'a LongTermToken),
    /// A short-term token.
    ShortTerm(&'a ShortTermToken),
}

impl<'a> TokenRef<'a> {
    /// The ID by which the token can be revoked, if it is known.
    pub fn token_id(self) -> Option<&'a str> {
        match self {
            Self::LongTerm(token) => token.token_id(),
            Self::ShortTerm(token) => token.token_id(),
        }
    }

    /// Returns the token itself. Do not log or persist the returned value.
    ///
    /// ```
    /// use everbearer::{LongTermToken, TokenRef};
    ///
    /// # fn main() -> Result<(), everbearer::Error> {
    /// let token = LongTermToken::new("lt_0d51e9bd2f6449cf")?;
    /// assert_eq!(TokenRef::from(&token).expose(), "lt_0d51e9bd2f6449cf");
    /// # Ok(())
    /// # }
    /// ```
    pub fn expose(self) -> &'a str {
        self.token().expose()
    }

    /// Returns the ID for logs and events, if it is fit to be shown.
    pub(crate) fn shown_id(self) -> Option<&'a str> {
        match self {
            Self::LongTerm(token) => token.shown_id(),
            Self::ShortTerm(token) => token.shown_id(),
        }
    }

    /// Leaves the ID out of logs and events.
    pub(crate) fn hide_id(self) {
        match self {
            Self::LongTerm(token) => token.0.hide_id(),
            Self::ShortTerm(token) => token.0.hide_id(),
        }
    }

    pub(crate) fn token(self) -> &'a BearerToken {
        match self {
            Self::LongTerm(token) => &token.0.bearer,
            Self::ShortTerm(token) => &token.0.bearer,
        }
    }
}

impl<'a> From<&'a LongTermToken> for TokenRef<'a> {
    fn from(token: &'a LongTermToken) -> Self {
        Self::LongTerm(token)
    }
}

impl<'a> From<&'a ShortTermToken> for TokenRef<'a> {
    fn from(token: &'a ShortTermToken) -> Self {
        Self::ShortTerm(token)
    }
}
