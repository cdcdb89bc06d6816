//! Long-term and short-term tokens, and how long they live. The claims of a JWT are decoded and not verified.

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
#[cfg(feature = "oauth2")]
pub(crate) use date::date_from_json;
#[cfg(any(feature = "auth-api", feature = "oauth2"))]
pub(crate) use date::duration_from_json;
#[cfg(feature = "auth-api")]
pub(crate) use date::timestamp_from_json;
pub(crate) use lifetime::{Judgement, Lifetime, Statement};

use crate::error::Error;
use crate::secret::BearerToken;

/// Holds a long-term token, which is exchanged for short-term tokens. It is opaque or a JWT, as the auth
/// server decides. OAuth calls such a credential a refresh token.
///
/// It is sent to the auth server only. `Debug` does not show the token, and there is no `Display`,
/// `PartialEq` or serde. The memory is zeroized when the last clone is dropped.
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

/// Holds a short-term token, which is sent with requests. OAuth calls it an access token.
///
/// If it is a JWT, its claims are decoded and not verified. They are used only to find out when the token
/// expires; the resource server verifies the token. A clone increments a reference count. `Debug` does not
/// show the token, and there is no `Display`, `PartialEq` or serde. The memory is zeroized when the last
/// clone, including header values, is dropped.
///
/// # Examples
///
/// A [`TokenIssuer`](crate::TokenIssuer) of your own builds it from the response of its server:
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
    /// Creates a long-term token from its text. If it is a JWT, its claims are decoded. A byte order mark at
    /// the start and line breaks at the end are removed.
    ///
    /// # Errors
    ///
    /// Returns [`ErrorKind::InvalidToken`](crate::ErrorKind::InvalidToken) if the token is empty or contains
    /// anything but visible ASCII characters.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), everbearer::Error> {
    /// let token = everbearer::LongTermToken::new("lt_0d51e9bd2f6449cf\n")?;
    /// assert_eq!(token.expose(), "lt_0d51e9bd2f6449cf");
    /// # Ok(())
    /// # }
    /// ```
    pub fn new(token: impl AsRef<str>) -> Result<Self, Error> {
        Self::builder(token.as_ref()).build()
    }

    /// Returns a builder for a long-term token and what the server states about it. A byte order mark at the
    /// start and line breaks at the end are removed.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use everbearer::LongTermToken;
    ///
    /// # fn main() -> Result<(), everbearer::Error> {
    /// let token = LongTermToken::builder("lt_0d51e9bd2f6449cf")
    ///     .expires_in(Duration::from_secs(30 * 24 * 60 * 60))
    ///     .build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn builder(token: &str) -> TokenBuilder<Self> {
        TokenBuilder::new(token)
    }

    /// Returns the text of the token. Do not log or persist the returned value.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), everbearer::Error> {
    /// let token = everbearer::LongTermToken::new("lt_0d51e9bd2f6449cf")?;
    /// assert_eq!(token.expose(), "lt_0d51e9bd2f6449cf");
    /// # Ok(())
    /// # }
    /// ```
    pub fn expose(&self) -> &str {
        self.0.bearer.expose()
    }

    /// Returns the ID with which the token can be revoked, if the server stated one: `token_id`, or the `jti`
    /// of a JWT.
    ///
    /// The server chose the ID. Logs, events and `Debug` leave it out if it is longer than 256 bytes,
    /// contains control characters, or contains the token, unless the token is opaque and shorter than 16
    /// bytes.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), everbearer::Error> {
    /// let token = everbearer::LongTermToken::builder("lt_0d51e9bd2f6449cf").token_id("tok_lt_1").build()?;
    /// assert_eq!(token.token_id(), Some("tok_lt_1"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn token_id(&self) -> Option<&str> {
        self.0.token_id()
    }

    /// Returns the ID for logs and events, if it is fit to be shown.
    pub(crate) fn shown_id(&self) -> Option<&str> {
        self.0.shown_id()
    }

    /// Returns the scopes that the server stated; empty if it stated none.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), everbearer::Error> {
    /// let token = everbearer::LongTermToken::builder("lt_0d51e9bd2f6449cf").scopes(["jobs:*"]).build()?;
    /// assert_eq!(token.scopes(), ["jobs:*"]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn scopes(&self) -> &[String] {
        &self.0.scopes
    }

    /// Returns when the token expires by the server's clock, if a date is known: `expires_at`, or the `exp`
    /// of a JWT.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), everbearer::Error> {
    /// // A token without dates.
    /// assert_eq!(everbearer::LongTermToken::new("lt_0d51e9bd2f6449cf")?.expires_at(), None);
    /// # Ok(())
    /// # }
    /// ```
    pub fn expires_at(&self) -> Option<SystemTime> {
        self.0.expires_at()
    }

    /// Returns when the token was issued by the server's clock: the `iat` of a JWT.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), everbearer::Error> {
    /// // Not a JWT.
    /// assert_eq!(everbearer::LongTermToken::new("lt_0d51e9bd2f6449cf")?.issued_at(), None);
    /// # Ok(())
    /// # }
    /// ```
    pub fn issued_at(&self) -> Option<SystemTime> {
        self.0.claims().iat.and_then(UnixMillis::to_system_time)
    }

    /// Returns how long the token lives, by what it states and by the local clock.
    pub(crate) fn lifetime(&self, local: SystemTime) -> Judgement {
        self.0.lifetime(local)
    }

    /// Returns whether revoking one token revokes the other.
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
    /// Returns a builder for a short-term token and what the server states about it. If the token is a JWT,
    /// its claims are decoded.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use everbearer::ShortTermToken;
    ///
    /// # fn main() -> Result<(), everbearer::Error> {
    /// let token = ShortTermToken::builder("a.b.c").expires_in(Duration::from_secs(900)).build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn builder(token: &str) -> TokenBuilder<Self> {
        TokenBuilder::new(token)
    }

    /// Returns the text of the token. Do not log or persist the returned value.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), everbearer::Error> {
    /// let token = everbearer::ShortTermToken::builder("a.b.c").build()?;
    /// assert_eq!(token.expose(), "a.b.c");
    /// # Ok(())
    /// # }
    /// ```
    pub fn expose(&self) -> &str {
        self.0.bearer.expose()
    }

    /// Returns `Bearer <token>` as the value of an `Authorization` header, marked sensitive.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), everbearer::Error> {
    /// let token = everbearer::ShortTermToken::builder("a.b.c").build()?;
    /// assert_eq!(token.authorization(), "Bearer a.b.c");
    /// # Ok(())
    /// # }
    /// ```
    pub fn authorization(&self) -> &HeaderValue {
        self.0.bearer.header()
    }

    /// Returns the same header in a buffer of its own, which is zeroized in the same way.
    pub(crate) fn copied_header(&self) -> HeaderValue {
        self.0.bearer.copied_header()
    }

    /// Returns the ID with which the token can be revoked, if the server stated one: `token_id`, or the `jti`
    /// of a JWT.
    ///
    /// The server chose the ID. Logs, events and `Debug` leave it out if it is longer than 256 bytes,
    /// contains control characters, or contains the token, unless the token is opaque and shorter than 16
    /// bytes.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), everbearer::Error> {
    /// let token = everbearer::ShortTermToken::builder("a.b.c").token_id("tok_st_1").build()?;
    /// assert_eq!(token.token_id(), Some("tok_st_1"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn token_id(&self) -> Option<&str> {
        self.0.token_id()
    }

    /// Returns the ID for logs and events, if it is fit to be shown.
    pub(crate) fn shown_id(&self) -> Option<&str> {
        self.0.shown_id()
    }

    /// Returns the scopes that the server stated; empty if it stated none.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), everbearer::Error> {
    /// let token = everbearer::ShortTermToken::builder("a.b.c").scopes(["jobs:read"]).build()?;
    /// assert_eq!(token.scopes(), ["jobs:read"]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn scopes(&self) -> &[String] {
        &self.0.scopes
    }

    /// Returns when the token expires by the server's clock, if a date is known: `expires_at`, or the `exp`
    /// of a JWT.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::{Duration, SystemTime};
    ///
    /// # fn main() -> Result<(), everbearer::Error> {
    /// let expiry = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    /// let token = everbearer::ShortTermToken::builder("a.b.c").expires_at(expiry).build()?;
    /// assert_eq!(token.expires_at(), Some(expiry));
    /// # Ok(())
    /// # }
    /// ```
    pub fn expires_at(&self) -> Option<SystemTime> {
        self.0.expires_at()
    }

    /// Returns when the token was issued by the server's clock: the `iat` of a JWT.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), everbearer::Error> {
    /// // Not a JWT.
    /// assert_eq!(everbearer::ShortTermToken::builder("opaque").build()?.issued_at(), None);
    /// # Ok(())
    /// # }
    /// ```
    pub fn issued_at(&self) -> Option<SystemTime> {
        self.0.claims().iat.and_then(UnixMillis::to_system_time)
    }

    /// Returns from when the token is valid by the server's clock: the `nbf` of a JWT.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::{Duration, SystemTime};
    ///
    /// # fn main() -> Result<(), everbearer::Error> {
    /// // The claims are {"nbf": 1800000000}.
    /// let token = everbearer::ShortTermToken::builder("e30.eyJuYmYiOjE4MDAwMDAwMDB9.c").build()?;
    /// let valid_from = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    /// assert_eq!(token.not_before(), Some(valid_from));
    /// # Ok(())
    /// # }
    /// ```
    pub fn not_before(&self) -> Option<SystemTime> {
        self.0.claims().nbf.and_then(UnixMillis::to_system_time)
    }

    /// Returns how long the token lives, by what it states and by the local clock.
    pub(crate) fn lifetime(&self, local: SystemTime) -> Judgement {
        self.0.lifetime(local)
    }

    /// Returns how much longer servers refuse the token because of its `nbf`: at most a minute.
    pub(crate) fn not_valid_for(&self) -> Duration {
        self.0.not_valid_for()
    }

    /// Returns whether revoking one token revokes the other.
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

/// Refers to a long-term or a short-term token, for operations that accept both: to authorize a revocation,
/// or to revoke the token.
///
/// # Examples
///
/// ```
/// use everbearer::{LongTermToken, TokenRef};
///
/// # fn main() -> Result<(), everbearer::Error> {
/// let token = LongTermToken::new("lt_0d51e9bd2f6449cf")?;
/// match TokenRef::from(&token) {
///     TokenRef::LongTerm(token) => println!("long-term token {:?}", token.token_id()),
///     TokenRef::ShortTerm(token) => println!("short-term token {:?}", token.token_id()),
///     _ => {}
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum TokenRef<'a> {
    /// A long-term token.
    LongTerm(&'a LongTermToken),
    /// A short-term token.
    ShortTerm(&'a ShortTermToken),
}

impl<'a> TokenRef<'a> {
    /// Returns the ID with which the token can be revoked, if it is known.
    ///
    /// # Examples
    ///
    /// ```
    /// use everbearer::{ShortTermToken, TokenRef};
    ///
    /// # fn main() -> Result<(), everbearer::Error> {
    /// let token = ShortTermToken::builder("a.b.c").token_id("tok_st_1").build()?;
    /// assert_eq!(TokenRef::from(&token).token_id(), Some("tok_st_1"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn token_id(self) -> Option<&'a str> {
        match self {
            Self::LongTerm(token) => token.token_id(),
            Self::ShortTerm(token) => token.token_id(),
        }
    }

    /// Returns the text of the token. Do not log or persist the returned value.
    ///
    /// # Examples
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
