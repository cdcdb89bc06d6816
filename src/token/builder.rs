//! Builds tokens: a bearer token and what the server states about it, of either kind.

use std::fmt;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use zeroize::Zeroizing;

use super::claims::Claims;
use super::date::UnixMillis;
use super::lifetime::{Judgement, Stated};
use crate::error::Error;
use crate::secret::BearerToken;
use crate::text::{is_printable, without_line_breaks};

/// The longest token ID that is kept, in bytes.
pub(crate) const LONGEST_ID: usize = 4 * 1024;
/// The longest text of the server that is shown with a token, in bytes.
const LONGEST_SHOWN: usize = 256;

/// The shortest opaque token that is a secret, in bytes.
const SHORTEST_SECRET: usize = 16;

/// Returns whether a text that the server sent with this token can be shown: if it is short, on one line, and
/// does not contain the token.
///
/// A token that is neither a JWT nor of 16 bytes can be guessed (RFC 6749, section 10.10), so it is no secret: test
/// servers use the ID as the token.
pub(crate) fn is_fit_to_show(text: &str, token: &str) -> bool {
    let is_secret = token.len() >= SHORTEST_SECRET || token.matches('.').count() == 2;
    let has_token = is_secret && text.contains(token);
    text.len() <= LONGEST_SHOWN && text.chars().all(is_printable) && !has_token
}

/// The scopes of a token as its `Debug` shows them.
pub(crate) struct Scopes<'a>(pub(crate) &'a [String], pub(crate) &'a str);

impl fmt::Debug for Scopes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(scopes, token) = self;
        let shown = scopes.iter().map(|scope| {
            let is_fit = is_fit_to_show(scope, token);
            if is_fit { scope } else { "(withheld)" }
        });
        f.debug_list().entries(shown).finish()
    }
}

/// How long a token that is not valid yet is held back at most.
const LONGEST_NOT_VALID: Duration = Duration::from_secs(60);

pub(crate) struct Issued {
    pub(super) bearer: BearerToken,
    /// The claims, if the token is a JWT.
    claims: Option<Box<Claims>>,
    pub(super) scopes: Box<[String]>,
    token_id: Option<Box<str>>,
    /// Whether the ID contains a secret and is not shown.
    is_id_hidden: AtomicBool,
    expires_in: Option<Duration>,
    expires_at: Option<UnixMillis>,
    server_time: Option<UnixMillis>,
}

impl Issued {
    pub(super) fn claims(&self) -> &Claims {
        self.claims.as_deref().unwrap_or(&Claims::NONE)
    }

    pub(super) fn token_id(&self) -> Option<&str> {
        let ids = [self.token_id.as_deref(), self.claims().jti.as_deref()];
        let mut ids = ids.into_iter().flatten();
        ids.find(|id| id.len() <= LONGEST_ID)
    }

    /// Returns the ID for logs, if it can be shown.
    pub(super) fn shown_id(&self) -> Option<&str> {
        if self.is_id_hidden.load(Ordering::Relaxed) {
            return None;
        }
        let token = self.bearer.expose();
        self.token_id().filter(|id| is_fit_to_show(id, token))
    }

    pub(super) fn hide_id(&self) {
        self.is_id_hidden.store(true, Ordering::Relaxed);
    }

    /// Returns the earlier of the two expiry dates.
    pub(super) fn expires_at(&self) -> Option<SystemTime> {
        [self.claims().exp, self.expires_at]
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
            exp: self.claims().exp,
            iat: self.claims().iat,
            local: UnixMillis::from(local),
        };
        stated.judge()
    }

    /// Returns how long `nbf` lies after `iat` or after the `Date` of the answer, whichever is less, up to
    /// [`LONGEST_NOT_VALID`].
    pub(super) fn not_valid_for(&self) -> Duration {
        let ahead = |of: Option<UnixMillis>| Some(self.claims().nbf?.since(of?));
        let waits = [ahead(self.claims().iat), ahead(self.server_time)];
        let shortest = waits.into_iter().flatten().min();
        shortest.unwrap_or_default().min(LONGEST_NOT_VALID)
    }

    pub(super) fn describe(&self, mut out: fmt::DebugStruct<'_, '_>) -> fmt::Result {
        let token = self.bearer.expose();
        out.field("token_id", &self.shown_id())
            .field("scopes", &Scopes(&self.scopes, token))
            .field("expires_in", &self.expires_in)
            .field("expires_at", &self.expires_at())
            .finish_non_exhaustive()
    }
}

/// Builds a [`LongTermToken`](super::LongTermToken) or a [`ShortTermToken`](super::ShortTermToken) from the
/// response of a server.
///
/// Everything but the text of the token is optional. If several statements say when the token expires, the
/// earliest expiry counts. A single statement that alone says that the token has already expired on arrival
/// is ignored, with a warning in the log. `exp` − `iat` of a JWT is an upper bound of the lifetime, since the
/// JWT may have been issued earlier. [`guide::lifetimes`](crate::guide::lifetimes) lists all rules.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use everbearer::ShortTermToken;
///
/// # fn main() -> Result<(), everbearer::Error> {
/// let token = ShortTermToken::builder("a.b.c")
///     .expires_in(Duration::from_secs(900))
///     .token_id("tok_st_9f3d2c")
///     .scopes(["jobs:read"])
///     .build()?;
/// # Ok(())
/// # }
/// ```
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
            token: Zeroizing::new(without_line_breaks(token).to_owned()),
            token_id: None,
            scopes: Vec::new(),
            expires_in: None,
            expires_at: None,
            server_time: None,
            makes: PhantomData,
        }
    }

    /// Sets the lifetime from `expires_in` of the response, counted from when the request for the token was
    /// sent.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use everbearer::ShortTermToken;
    /// let builder = ShortTermToken::builder("a.b.c").expires_in(Duration::from_secs(900));
    /// ```
    #[must_use]
    pub fn expires_in(mut self, life: Duration) -> Self {
        self.expires_in = Some(life);
        self
    }

    /// Sets when the token expires by the server's clock, from `expires_at` of the response.
    ///
    /// Set [`server_time`](Self::server_time) as well. Without it, the provider compares the date with this
    /// machine's clock, and only if no other statement says when the token expires.
    ///
    /// ```
    /// # use std::time::{Duration, SystemTime};
    /// # use everbearer::ShortTermToken;
    /// let expiry = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_900);
    /// let builder = ShortTermToken::builder("a.b.c").expires_at(expiry);
    /// ```
    #[must_use]
    pub fn expires_at(mut self, end: SystemTime) -> Self {
        self.expires_at = Some(UnixMillis::from(end));
        self
    }

    /// Sets the time of the server's clock when it responded, from the header `Date`.
    ///
    /// ```
    /// # use std::time::{Duration, SystemTime};
    /// # use everbearer::ShortTermToken;
    /// let date = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    /// let builder = ShortTermToken::builder("a.b.c").server_time(date);
    /// ```
    #[must_use]
    pub fn server_time(mut self, time: SystemTime) -> Self {
        self.server_time = Some(UnixMillis::from(time));
        self
    }

    /// Sets the ID with which the token can be revoked. Default: the `jti` of a JWT. An ID of more than 4 KiB
    /// is ignored.
    ///
    /// ```
    /// # use everbearer::ShortTermToken;
    /// let builder = ShortTermToken::builder("a.b.c").token_id("tok_st_9f3d2c");
    /// ```
    #[must_use]
    pub fn token_id(mut self, id: impl Into<String>) -> Self {
        self.token_id = Some(id.into());
        self
    }

    /// Sets the scopes of the token. Default: none.
    ///
    /// ```
    /// # use everbearer::ShortTermToken;
    /// let builder = ShortTermToken::builder("a.b.c").scopes(["jobs:read", "jobs:submit"]);
    /// ```
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
    /// Builds the token.
    ///
    /// # Errors
    ///
    /// Returns [`ErrorKind::InvalidToken`](crate::ErrorKind::InvalidToken) if the token is empty or contains
    /// anything but visible ASCII characters.
    ///
    /// # Examples
    ///
    /// ```
    /// use everbearer::ShortTermToken;
    ///
    /// assert!(ShortTermToken::builder("a.b.c").build().is_ok());
    /// assert!(ShortTermToken::builder("two words").build().is_err());
    /// ```
    pub fn build(self) -> Result<T, Error> {
        Ok(T::from(Issued {
            bearer: BearerToken::new(&self.token)?,
            claims: Claims::decode(&self.token).map(Box::new),
            scopes: self.scopes.into(),
            token_id: self.token_id.map(String::into_boxed_str),
            is_id_hidden: AtomicBool::new(false),
            expires_in: self.expires_in,
            expires_at: self.expires_at,
            server_time: self.server_time,
        }))
    }
}

impl<T> fmt::Debug for TokenBuilder<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = self.token_id.as_deref();
        f.debug_struct("TokenBuilder")
            .field("token_id", &id.filter(|id| is_fit_to_show(id, &self.token)))
            .field("scopes", &Scopes(&self.scopes, &self.token))
            .finish_non_exhaustive()
    }
}
