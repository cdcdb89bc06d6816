//! The client of the auth server: the three operations of its contract, over a reqwest client.

use std::fmt;

use http::HeaderValue;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Url;

use super::bodies;
use super::models::{LongTokenRequest, LongTokenResponse, ShortTokenRequest, ShortTokenResponse};
use crate::error::{Error, ErrorKind};
use crate::origin::Origin;
use crate::text::ECHO;
use crate::token::{LONGEST_ID, LongTermToken, ShortTermToken, TokenRef};
use crate::wire::{Answer, Call, Connection};

const CLIENT_ID: &str = "x-client-id";
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Calls the auth server: issues, exchanges and revokes tokens.
///
/// It follows no redirect, reads at most 1 MiB of a response, and fails a call after [a
/// timeout](crate::AuthApiBuilder::timeout). Every response that is not a success becomes an [`Error`] with the
/// server's error code. The error leaves out secrets that the server repeats.
///
/// An exchange or a revocation is repeated once if its connection breaks before a response begins, since the
/// server may have closed an idle connection. A request for a long-term token is sent once, since it may
/// contain a one-time code or an assertion.
///
/// `AuthApi` implements [`TokenIssuer`](crate::TokenIssuer), so a [`TokenProvider`](crate::TokenProvider) can
/// be built with it. A clone shares the connections.
///
/// # Examples
///
/// ```no_run
/// use everbearer::models::{GrantType, LongTokenRequest, ShortTokenRequest};
/// use everbearer::{AuthApi, Secret};
///
/// # async fn example() -> Result<(), everbearer::Error> {
/// let api = AuthApi::new("https://api.example.com/v1")?;
///
/// let mut request = LongTokenRequest::new(GrantType::ClientCredentials, "client_abc123");
/// request.client_secret = Some(Secret::from("correct-horse"));
/// let long = api.issue_long_term_token(&request, None).await?.into_token()?;
///
/// let request = ShortTokenRequest::scopes(["jobs:submit"]);
/// let short = api.issue_short_term_token(&long, Some(&request)).await?.into_token()?;
///
/// if let Some(id) = short.token_id() {
///     api.revoke_token(id, &short).await?;
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct AuthApi {
    pub(super) base: Url,
    pub(super) origin: Origin,
    pub(super) client_id: Option<HeaderValue>,
    pub(super) connection: Connection,
}

impl AuthApi {
    /// Returns the base URL without trailing slashes.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), everbearer::Error> {
    /// let api = everbearer::AuthApi::new("https://api.example.com/v1/")?;
    /// assert_eq!(api.base_url(), "https://api.example.com/v1");
    /// # Ok(())
    /// # }
    /// ```
    pub fn base_url(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// Returns the origin of the base URL.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), everbearer::Error> {
    /// let api = everbearer::AuthApi::new("https://api.example.com/v1")?;
    /// assert_eq!(api.origin().to_string(), "https://api.example.com:443");
    /// # Ok(())
    /// # }
    /// ```
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Issues a long-term token: `POST /auth/tokens/long`.
    ///
    /// `authorization` is the short-term token with the scope `tokens:write` that authorizes the request, if
    /// the request contains no secret, one-time code or assertion.
    ///
    /// # Errors
    ///
    /// Returns any [`ErrorKind`] from [`Unreachable`](ErrorKind::Unreachable) to
    /// [`Protocol`](ErrorKind::Protocol). Unless the error is a refusal by the server, the server may have
    /// issued a token whose response was lost.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, a token that the server has issued may be lost.
    ///
    /// # Examples
    ///
    /// ```
    /// # use everbearer::testkit::AuthServer;
    /// # use everbearer::{AuthApi, Secret};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = AuthServer::start().await?;
    /// # let api = AuthApi::new(server.base_url())?;
    /// use everbearer::models::{GrantType, LongTokenRequest};
    ///
    /// let mut request = LongTokenRequest::new(GrantType::ClientCredentials, server.client_id());
    /// request.client_secret = Some(Secret::from(server.client_secret()));
    /// let long = api.issue_long_term_token(&request, None).await?.into_token()?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn issue_long_term_token(
        &self,
        request: &LongTokenRequest,
        authorization: Option<&ShortTermToken>,
    ) -> Result<LongTokenResponse, Error> {
        let secrets = [
            &request.client_secret,
            &request.otp_code,
            &request.assertion,
        ];
        let client_id = HeaderValue::from_str(&request.client_id).ok();
        let mut call = self
            .post(
                "issue_long_term_token",
                &["auth", "tokens", "long"],
                client_id,
            )
            .json(&bodies::LongTokenRequest::from(request))?
            .hiding(secrets.into_iter().flatten());
        if let Some(token) = authorization {
            call = call.authorized(TokenRef::from(token).token());
        }
        let answer = call.send(&self.connection).await?.issued()?;
        let mut response: LongTokenResponse = answer.token()?;
        response.token_id = token_id(response.token_id, &answer);
        Ok(response)
    }

    /// Exchanges a long-term token for a short-term token: `POST /auth/tokens/short`.
    ///
    /// # Errors
    ///
    /// Returns any [`ErrorKind`] from [`Unreachable`](ErrorKind::Unreachable) to
    /// [`Protocol`](ErrorKind::Protocol).
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, a short-term token that the server has issued may be lost. It is valid until
    /// it expires.
    ///
    /// # Examples
    ///
    /// ```
    /// # use everbearer::testkit::AuthServer;
    /// # use everbearer::{AuthApi, Secret};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = AuthServer::start().await?;
    /// # let api = AuthApi::new(server.base_url())?;
    /// use everbearer::models::ShortTokenRequest;
    /// # use everbearer::models::{GrantType, LongTokenRequest};
    /// # let mut request = LongTokenRequest::new(GrantType::ClientCredentials, server.client_id());
    /// # request.client_secret = Some(Secret::from(server.client_secret()));
    /// # let long = api.issue_long_term_token(&request, None).await?.into_token()?;
    ///
    /// let request = ShortTokenRequest::scopes(["jobs:read"]);
    /// let short = api.issue_short_term_token(&long, Some(&request)).await?.into_token()?;
    /// assert_eq!(short.scopes(), ["jobs:read"]);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn issue_short_term_token(
        &self,
        long_token: &LongTermToken,
        request: Option<&ShortTokenRequest>,
    ) -> Result<ShortTokenResponse, Error> {
        let long_token = TokenRef::from(long_token).token();
        let in_body = request.and_then(|request| request.long_token.as_ref());
        let mut call = self
            .post("issue_short_term_token", &["auth", "tokens", "short"], None)
            .hiding(in_body)
            .repeatable();
        if let Some(request) = request {
            call = call.json(&bodies::ShortTokenRequest::from(request))?;
        }
        if in_body.is_none() {
            call = call.authorized(long_token);
        }
        let answer = call.send(&self.connection).await?.issued()?;
        let mut response: ShortTokenResponse = answer.token()?;
        response.token_id = token_id(response.token_id, &answer);
        Ok(response)
    }

    /// Revokes a token by its ID: `POST /auth/tokens/{tokenId}/revoke`.
    ///
    /// `authorization` is the token itself, or another token with the scope `tokens:revoke`.
    ///
    /// A 2xx response with an empty body, or with JSON that has no `code`, is a success. A 404 with the code
    /// `not_found` is a success too, since the server no longer knows the token.
    ///
    /// # Errors
    ///
    /// Returns
    ///
    /// - [`ErrorKind::InvalidToken`] if the ID is empty, `.` or `..`, which a URL path cannot contain,
    ///   contains control characters, or is longer than 4 KiB;
    /// - [`ErrorKind::InvalidRequest`] for a 404 with an empty body, which does not say whether the token is
    ///   revoked;
    /// - [`ErrorKind::Protocol`] for a response that the auth server did not send, such as the page of a
    ///   captive portal;
    /// - otherwise any [`ErrorKind`] from [`Unreachable`](ErrorKind::Unreachable) to
    ///   [`InvalidRequest`](ErrorKind::InvalidRequest).
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the token may or may not be revoked. Call this method again: revoking is
    /// idempotent.
    ///
    /// # Examples
    ///
    /// ```
    /// # use everbearer::testkit::AuthServer;
    /// # use everbearer::{AuthApi, Secret};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = AuthServer::start().await?;
    /// # let api = AuthApi::new(server.base_url())?;
    /// # use everbearer::models::{GrantType, LongTokenRequest};
    /// # let mut request = LongTokenRequest::new(GrantType::ClientCredentials, server.client_id());
    /// # request.client_secret = Some(Secret::from(server.client_secret()));
    /// # let long = api.issue_long_term_token(&request, None).await?.into_token()?;
    /// let short = api.issue_short_term_token(&long, None).await?.into_token()?;
    /// if let Some(id) = short.token_id() {
    ///     api.revoke_token(id, &short).await?;
    ///     assert!(!server.is_live(id));
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn revoke_token(
        &self,
        token_id: &str,
        authorization: impl Into<TokenRef<'_>>,
    ) -> Result<(), Error> {
        // A URL path cannot contain an empty segment, `.` or `..`.
        let is_segment = !matches!(token_id, "" | "." | "..") && token_id.len() <= LONGEST_ID;
        if !is_segment || token_id.contains(char::is_control) {
            return Err(Error::own(
                ErrorKind::InvalidToken,
                "the token's ID cannot stand in a URL path, so the token cannot be revoked by it",
            ));
        }
        let answer = self
            .post(
                "revoke_token",
                &["auth", "tokens", token_id, "revoke"],
                None,
            )
            .authorized(authorization.into().token())
            .repeatable()
            .send(&self.connection)
            .await?;
        answer.revoked()
    }

    /// Creates a call that sends the client ID of the builder, or else this one.
    fn post<'a>(
        &self,
        operation: &'static str,
        segments: &[&str],
        client_id: Option<HeaderValue>,
    ) -> Call<'a> {
        let call = Call::post(operation, self.url(segments));
        match self.client_id.clone().or(client_id) {
            Some(id) => call.header(CLIENT_ID, id),
            None => call,
        }
    }

    /// Appends these segments to the base URL. All but RFC 3986's unreserved characters are
    /// percent-encoded, since some servers refuse the others.
    fn url(&self, segments: &[&str]) -> Url {
        let mut path = self.base.path().trim_end_matches('/').to_owned();
        for segment in segments {
            path.push('/');
            path.extend(utf8_percent_encode(segment, RESERVED));
        }
        let mut url = self.base.clone();
        url.set_path(&path);
        url
    }
}

impl fmt::Debug for AuthApi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthApi")
            .field("base_url", &self.base_url())
            .field("client_id", &self.client_id)
            .field("timeout", &self.connection.timeout)
            .finish_non_exhaustive()
    }
}

/// Returns the ID in the body, or else in the header. Ignores an ID that contains a secret of the request, since a
/// revocation would send it in a URL.
fn token_id(in_body: Option<String>, answer: &Answer<'_>) -> Option<String> {
    let has_secret = |id: &str| {
        let mut secrets = answer.secrets.iter();
        secrets.any(|secret| secret.len() >= ECHO && id.contains(secret))
    };
    let in_header = answer.header("x-token-id").map(str::to_owned);
    let mut ids = [in_body, in_header].into_iter().flatten();
    ids.find(|id| !id.is_empty() && !has_secret(id))
}
