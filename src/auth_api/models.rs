//! The requests and responses of [`AuthApi`](crate::AuthApi), with the names of the server's contract.
//!
//! Requests implement no `Serialize`, since they hold secrets. Only [`AuthApi`](crate::AuthApi) serializes
//! them.

use std::fmt;
use std::marker::PhantomData;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::error::{Error, ErrorKind};
use crate::secret::Secret;
use crate::token::{
    Issued, LongTermToken, Scopes, ShortTermToken, TokenBuilder, duration_from_json,
    is_fit_to_show, timestamp_from_json,
};

/// The `assertion_type` of a JWT that the client has signed (RFC 7523, section 2.2).
pub const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Selects how a client proves its identity in a request for a long-term token.
///
/// # Examples
///
/// ```
/// use everbearer::models::{GrantType, LongTokenRequest};
///
/// let request = LongTokenRequest::new(GrantType::ClientCredentials, "client_abc123");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GrantType {
    /// A client secret or a one-time code.
    ClientCredentials,
    /// A JWT that is signed with the client's private key.
    Assertion,
}

impl GrantType {
    /// Returns the value of the request's member `grant_type`.
    ///
    /// # Examples
    ///
    /// ```
    /// use everbearer::models::GrantType;
    ///
    /// assert_eq!(GrantType::ClientCredentials.as_str(), "client_credentials");
    /// ```
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClientCredentials => "client_credentials",
            Self::Assertion => "assertion",
        }
    }
}

/// Requests a long-term token.
///
/// A request contains exactly one proof of the client's identity: a client secret, a one-time code or an
/// assertion. It contains none if a short-term token authorizes the call.
///
/// # Examples
///
/// ```
/// use everbearer::Secret;
/// use everbearer::models::{GrantType, LongTokenRequest};
///
/// let mut request = LongTokenRequest::new(GrantType::ClientCredentials, "client_abc123");
/// request.client_secret = Some(Secret::from("correct-horse"));
/// request.ttl_seconds = Some(30 * 24 * 60 * 60);
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LongTokenRequest {
    /// How the client proves its identity.
    pub grant_type: GrantType,
    /// The ID of the client. It is not a secret.
    pub client_id: String,
    /// The client secret, with [`GrantType::ClientCredentials`].
    pub client_secret: Option<Secret>,
    /// A one-time code, with [`GrantType::ClientCredentials`]. The server accepts each code once.
    pub otp_code: Option<Secret>,
    /// [`JWT_BEARER`], with [`GrantType::Assertion`].
    pub assertion_type: Option<String>,
    /// A JWT that the client has signed, with [`GrantType::Assertion`].
    pub assertion: Option<Secret>,
    /// The requested scopes; `None` requests all scopes that the client may have.
    pub scopes: Option<Vec<String>>,
    /// The requested lifetime in seconds, from 3,600 to 7,776,000 (1 hour to 90 days).
    pub ttl_seconds: Option<u64>,
}

impl LongTokenRequest {
    /// Creates a request without a proof of the client's identity. Set the field of the proof before you send
    /// the request.
    ///
    /// # Examples
    ///
    /// ```
    /// use everbearer::models::{GrantType, LongTokenRequest};
    ///
    /// let request = LongTokenRequest::new(GrantType::ClientCredentials, "client_abc123");
    /// assert!(request.client_secret.is_none());
    /// ```
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

/// Requests a short-term token.
///
/// # Examples
///
/// ```
/// use everbearer::models::ShortTokenRequest;
///
/// let all_scopes = ShortTokenRequest::default();
/// let narrower = ShortTokenRequest::scopes(["jobs:submit"]);
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ShortTokenRequest {
    /// The long-term token, for servers that do not accept it in the `Authorization` header. If it is set,
    /// the call has no such header.
    pub long_token: Option<Secret>,
    /// The requested scopes; `None` requests all scopes of the long-term token.
    pub scopes: Option<Vec<String>>,
}

impl ShortTokenRequest {
    /// Creates a request for a token that has these scopes only.
    ///
    /// # Examples
    ///
    /// ```
    /// use everbearer::models::ShortTokenRequest;
    ///
    /// let request = ShortTokenRequest::scopes(["jobs:submit", "jobs:read"]);
    /// assert_eq!(request.scopes.unwrap().len(), 2);
    /// ```
    pub fn scopes<S: Into<String>>(scopes: impl IntoIterator<Item = S>) -> Self {
        Self {
            long_token: None,
            scopes: Some(scopes.into_iter().map(Into::into).collect()),
        }
    }
}

/// The response that contains a long-term token.
pub type LongTokenResponse = TokenResponse<LongTermToken>;

/// The response that contains a short-term token.
pub type ShortTokenResponse = TokenResponse<ShortTermToken>;

/// Contains a token and what the auth server states about it.
///
/// The parser is lenient: `expires_in` may be a string that contains a number, `scopes` may be one string
/// with spaces between the scopes, and `token_id` may be a number. If any other member except `token_type`
/// and `access_token` has an unexpected type, the parser ignores it.
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
    /// The type of the token: `Bearer`, in any case.
    pub token_type: String,
    /// The token.
    pub access_token: Secret,
    /// The token's lifetime, from the member `expires_in`.
    pub expires_in: Option<Duration>,
    /// When the token expires by the server's clock, from the member `expires_at`.
    pub expires_at: Option<SystemTime>,
    /// The scopes of the token; empty if the server states none.
    pub scopes: Vec<String>,
    /// The ID of the token, from the body, or else from the header `X-Token-Id`.
    pub token_id: Option<String>,
    /// The time of the server's clock when it responded, from the header `Date`.
    pub server_time: Option<SystemTime>,
    kind: PhantomData<fn() -> T>,
}

/// Contains the body of a response that is not a success.
///
/// The parser is lenient: only `code` must have the type that the contract states.
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
    /// The error code, such as `invalid_grant`, including codes that the contract does not list.
    pub code: String,
    /// A description for humans; empty if the member is missing or is not a string.
    pub message: String,
    /// Further information; `None` if the member is missing or is not an object.
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
            expires_at: timestamp_from_json(&member("expires_at")),
            scopes: scopes(member("scopes")),
            token_id: id(member("token_id")),
            server_time: None,
            kind: PhantomData,
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
    /// Converts the response into a token, together with what the server states about it.
    ///
    /// # Errors
    ///
    /// Returns [`ErrorKind::Protocol`] if the token's type is not `Bearer`, or if the token is empty or
    /// cannot be sent in a header.
    ///
    /// # Examples
    ///
    /// ```
    /// use everbearer::models::ShortTokenResponse;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let body = r#"{"token_type": "Bearer", "access_token": "a.b.c", "token_id": "tok_st_9f3d2c"}"#;
    /// let response: ShortTokenResponse = serde_json::from_str(body)?;
    /// assert_eq!(response.into_token()?.token_id(), Some("tok_st_9f3d2c"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn into_token(self) -> Result<T, Error> {
        if !self.token_type.eq_ignore_ascii_case("Bearer") {
            return Err(Error::own(
                ErrorKind::Protocol,
                "the auth server returned a token of another type than Bearer",
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
