//! What goes over the wire, under the names that the contract gives it.
//!
//! Requests have no `Serialize`: they hold secrets, and only [`AuthApi`](crate::AuthApi) puts
//! those on the wire.

use std::marker::PhantomData;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::error::{Error, ErrorKind};
use crate::secret::Secret;
use crate::token::{Issued, LongTermToken, ShortTermToken, TokenBuilder, duration_from_json};

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
#[derive(Clone, Debug, Deserialize)]
#[serde(bound = "")]
#[non_exhaustive]
pub struct TokenResponse<T> {
    /// `Bearer`, in any case.
    pub token_type: String,
    /// The token.
    pub access_token: Secret,
    /// `expires_in`: how long it lives.
    #[serde(default, deserialize_with = "seconds")]
    pub expires_in: Option<Duration>,
    /// `expires_at`: when it ends by the server's clock.
    #[serde(default, deserialize_with = "date")]
    pub expires_at: Option<SystemTime>,
    /// What it is good for.
    #[serde(default, deserialize_with = "scopes")]
    pub scopes: Vec<String>,
    /// Its ID; the `X-Token-Id` header stands in where the body has none.
    #[serde(default, deserialize_with = "id")]
    pub token_id: Option<String>,
    /// The server's clock when it answered: the `Date` header.
    #[serde(skip)]
    pub server_time: Option<SystemTime>,
    #[serde(skip)]
    tier: PhantomData<fn() -> T>,
}

/// The body of every answer that is not a success.
///
/// Parsed leniently: only `code` must have the contract's type.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Map<String, Value>")]
#[non_exhaustive]
pub struct AuthError {
    /// Such as `invalid_grant`; unknown codes are kept.
    pub code: String,
    /// A description for humans; empty if the member is not a string.
    pub message: String,
    /// Further information; `None` if the member is not an object.
    pub details: Option<Map<String, Value>>,
}

impl TryFrom<Map<String, Value>> for AuthError {
    type Error = &'static str;

    fn try_from(mut body: Map<String, Value>) -> Result<Self, Self::Error> {
        let mut take = |name| body.remove(name).unwrap_or_default();
        let Value::String(code) = take("code") else {
            return Err("the error has no code");
        };
        let message = match take("message") {
            Value::String(message) => message,
            _ => String::new(),
        };
        let details = match take("details") {
            Value::Object(details) => Some(details),
            _ => None,
        };
        Ok(Self {
            code,
            message,
            details,
        })
    }
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
            return Err(Error::new(
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
    Error::new(
        ErrorKind::Protocol,
        "the auth server sent a token that is of no use",
    )
    .with_source(error)
}

fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    Ok(duration_from_json(&Value::deserialize(deserializer)?))
}

fn date<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SystemTime>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    Ok(value
        .as_str()
        .and_then(|text| text.parse::<jiff::Timestamp>().ok())
        .and_then(|time| SystemTime::try_from(time).ok()))
}

fn scopes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
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
    })
}

fn id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::String(id) => Some(id),
        Value::Number(id) => Some(id.to_string()),
        _ => None,
    })
}
