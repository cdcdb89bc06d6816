//! What goes over the wire, under the names that the contract gives it.
//!
//! Requests have no `Serialize`: they hold secrets, and only [`AuthApi`](crate::AuthApi) puts
//! those on the wire.

use std::fmt;
use std::marker::PhantomData;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::error::{Error, ErrorKind};
use crate::secret::Secret;
use crate::token::{
    Issued, LongTermToken, Scopes, ShortTermToken, TokenBuilder, duration_from_json, is_fit_to_show,
};

/// The `assertion_type` of a JWT that the client signed (RFC 7523, section 2.2).
pub const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// How a client proves who it is when it asks for a long-term token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GrantType {
    /// A client secret or a one-time password.
    ClientCredentials,
    /// A JWT signed with the client's private key.
    Assertion,
}

impl GrantType {
    /// The value of `grant_type` on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClientCredentials => "client_credentials",
            Self::Assertion => "assertion",
        }
    }
}

/// The request for a long-term token. Exactly one mechanism goes into it: a client secret, a
/// one-time password, an assertion, or none of them where a short-term token authorizes the call.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LongTokenRequest {
    /// How the client proves who it is.
    pub grant_type: GrantType,
    /// Who the client is; no secret.
    pub client_id: String,
    /// With [`GrantType::ClientCredentials`].
    pub client_secret: Option<Secret>,
    /// With [`GrantType::ClientCredentials`]; the server accepts it once.
    pub otp_code: Option<Secret>,
    /// With [`GrantType::Assertion`]: [`JWT_BEARER`].
    pub assertion_type: Option<String>,
    /// With [`GrantType::Assertion`]: a signed JWT.
    pub assertion: Option<Secret>,
    /// What the token is to be good for; all that the client may have if absent.
    pub scopes: Option<Vec<String>>,
    /// The wished lifetime in seconds, 3,600 to 7,776,000 (1 hour to 90 days).
    pub ttl_seconds: Option<u64>,
}

impl LongTokenRequest {
    /// A request with no mechanism in it yet.
    pub fn new(grant_type: GrantType, client_id: impl Into<String>) -> Self {
        Self {
            grant_type,
            client_id: client_id.into(),
            client_secret: None,
            otp_code: None,
            assertion_type: None,
            assertion: None,
            scopes: None,
            ttl_seconds: None,
        }
    }
}

/// The request for a short-term token.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ShortTokenRequest {
    /// The long-term token, only where the `Authorization` header cannot carry it: if it is set,
    /// the call has no such header.
    pub long_token: Option<Secret>,
    /// Narrows what the long-term token grants; all of it if absent.
    pub scopes: Option<Vec<String>>,
}

impl ShortTokenRequest {
    /// A request for a token that is good for these scopes only.
    pub fn scopes<S: Into<String>>(scopes: impl IntoIterator<Item = S>) -> Self {
        Self {
            long_token: None,
            scopes: Some(scopes.into_iter().map(Into::into).collect()),
        }
    }
}

/// The answer that brings a long-term token.
pub type LongTokenResponse = TokenResponse<LongTermToken>;

/// The answer that brings a short-term token.
pub type ShortTokenResponse = TokenResponse<ShortTermToken>;

/// The answer that brings a token of either tier.
///
/// Parsed leniently: `expires_in` may be a number in a string, `scopes` a space-separated string, and
/// `token_id` a number. Any other field of another type counts as absent, except `token_type` and
/// `access_token`.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use everbearer::models::ShortTokenResponse;
///
/// # fn main() -> Result<(), serde_json::Error> {
/// let body = r#"{"token_type": "Bearer", "access_token": "a.b.c", "expires_in": "900"}"#;
/// let response: ShortTokenResponse = serde_json::from_str(body)?;
/// assert_eq!(response.expires_in, Some(Duration::from_secs(900)));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct TokenResponse<T> {
    /// `Bearer`, in any case.
    pub token_type: String,
    /// The token.
    pub access_token: Secret,
    /// `expires_in`: how long it lives.
    pub expires_in: Option<Duration>,
    /// `expires_at`: when it ends by the server's clock.
    pub expires_at: Option<SystemTime>,
    /// What it is good for.
    pub scopes: Vec<String>,
    /// Its ID; the `X-Token-Id` header stands in where the body has none.
    pub token_id: Option<String>,
    /// The server's clock when it answered: the `Date` header.
    pub server_time: Option<SystemTime>,
    tier: PhantomData<fn() -> T>,
}

/// The body of every answer that is not a success.
///
/// Parsed leniently: only `code` must have the contract's type.
///
/// # Examples
///
/// ```
/// use everbearer::models::AuthError;
///
/// # fn main() -> Result<(), serde_json::Error> {
/// let error: AuthError = serde_json::from_str(r#"{"code": "invalid_grant", "message": null}"#)?;
/// assert_eq!((error.code.as_str(), error.message.as_str()), ("invalid_grant", ""));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct AuthError {
    /// Such as `invalid_grant`; unknown codes are kept.
    pub code: String,
    /// A description for humans; empty if the member is not a string.
    pub message: String,
    /// Further information; `None` if the member is not an object.
    pub details: Option<Map<String, Value>>,
}

impl<T> TokenResponse<T> {
    /// Reads the members of the body, which are `null` if they are missing. Fails with the name of the first
    /// required member that is missing or of another type.
    pub(super) fn read(mut member: impl FnMut(&str) -> Value) -> Result<Self, &'static str> {
        let Value::String(token_type) = member("token_type") else {
            return Err("token_type");
        };
        let Value::String(access_token) = member("access_token") else {
            return Err("access_token");
        };
        Ok(Self {
            token_type,
            access_token: access_token.into(),
            expires_in: duration_from_json(&member("expires_in")),
            expires_at: date(&member("expires_at")),
            scopes: scopes(member("scopes")),
            token_id: id(member("token_id")),
            server_time: None,
            tier: PhantomData,
        })
    }
}

impl AuthError {
    /// Reads the members of the body, which are `null` if they are missing. Returns `None` if there is no
    /// `code`.
    pub(super) fn read(mut member: impl FnMut(&str) -> Value) -> Option<Self> {
        let Value::String(code) = member("code") else {
            return None;
        };
        let message = match member("message") {
            Value::String(message) => message,
            _ => String::new(),
        };
        let details = match member("details") {
            Value::Object(details) => Some(details),
            _ => None,
        };
        Some(Self {
            code,
            message,
            details,
        })
    }
}

impl<T> fmt::Debug for TokenResponse<T> {
    /// Leaves out the fields and scopes that contain the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let token = self.access_token.expose();
        let shown = |text: &str| is_fit_to_show(text, token).then(|| text.to_owned());
        f.debug_struct("TokenResponse")
            .field("token_type", &shown(&self.token_type).unwrap_or_default())
            .field("access_token", &self.access_token)
            .field("expires_in", &self.expires_in)
            .field("expires_at", &self.expires_at)
            .field("scopes", &Scopes(&self.scopes, token))
            .field("token_id", &self.token_id.as_deref().and_then(shown))
            .field("server_time", &self.server_time)
            .finish()
    }
}

impl<'de, T> Deserialize<'de> for TokenResponse<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut body = Map::deserialize(deserializer)?;
        Self::read(|name| body.remove(name).unwrap_or_default()).map_err(not_a_string)
    }
}

impl<'de> Deserialize<'de> for AuthError {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut body = Map::deserialize(deserializer)?;
        let error = Self::read(|name| body.remove(name).unwrap_or_default());
        error.ok_or_else(|| not_a_string("code"))
    }
}

fn not_a_string<E: serde::de::Error>(name: &str) -> E {
    E::custom(format_args!("`{name}` is missing or not a string"))
}

#[allow(
    private_bounds,
    reason = "the two token types are all that a response can bring"
)]
impl<T: From<Issued>> TokenResponse<T> {
    /// The token with all that is known about it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Protocol`] if the token's type is not `Bearer`, or if the token is empty or
    /// cannot stand in a header.
    pub fn into_token(self) -> Result<T, Error> {
        if !self.token_type.eq_ignore_ascii_case("Bearer") {
            return Err(Error::own(
                ErrorKind::Protocol,
                "the auth server sent a token of another type than Bearer",
            ));
        }
        let mut token = TokenBuilder::new(self.access_token.expose()).scopes(self.scopes);
        if let Some(life) = self.expires_in {
            token = token.expires_in(life);
        }
        if let Some(end) = self.expires_at {
            token = token.expires_at(end);
        }
        if let Some(time) = self.server_time {
            token = token.server_time(time);
        }
        if let Some(id) = self.token_id.filter(|id| !id.is_empty()) {
            token = token.token_id(id);
        }
        token.build().map_err(unusable)
    }
}

fn unusable(error: Error) -> Error {
    Error::own(
        ErrorKind::Protocol,
        "the auth server returned an invalid token",
    )
    .with_source(error)
}

fn date(value: &Value) -> Option<SystemTime> {
    let time: jiff::Timestamp = value.as_str()?.parse().ok()?;
    SystemTime::try_from(time).ok()
}

fn scopes(value: Value) -> Vec<String> {
    match value {
        Value::Array(scopes) => scopes
            .into_iter()
            .filter_map(|scope| match scope {
                Value::String(scope) => Some(scope),
                _ => None,
            })
            .collect(),
        // OAuth's form (RFC 6749, section 3.3).
        Value::String(scopes) => scopes.split_ascii_whitespace().map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

fn id(value: Value) -> Option<String> {
    match value {
        Value::String(id) => Some(id),
        Value::Number(id) => Some(id.to_string()),
        _ => None,
    }
}
