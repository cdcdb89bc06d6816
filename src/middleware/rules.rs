//! Which requests are given a token, whose header wins, and what happens after a refusal. For any HTTP client.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderMap, StatusCode, Uri};

use super::challenge::has_param;
use crate::clock::Moment;
use crate::error::Error;
use crate::origin::Origin;
use crate::provider::{RequestToken, TokenProvider};

/// The rules of `BearerMiddleware`, for an adapter of another HTTP client: which requests are given the token, and
/// what happens after a refusal. The types are those of the crate [`http`].
///
/// An adapter asks [`wants_token`](Self::wants_token) before it sends a request, waits for a
/// [`token`](Self::token), and after an answer that [`is_refusal`](Self::is_refusal) sends the request once more with
/// a [`newer_token`](Self::newer_token). It should read the refusal's body first, up to a limit, since that frees the
/// connection. It should also ask [`is_refusal`](Self::is_refusal) about the answer to a request without a token, since
/// the provider then logs a 401 from an origin that no origin covers.
///
/// # Examples
///
/// An adapter for a client whose requests and responses are those of the crate [`http`]:
///
/// ```
/// use everbearer::{Error, RequestRules};
/// use http::header::AUTHORIZATION;
/// use http::{Request, Response};
///
/// async fn send(rules: &RequestRules, mut request: Request<String>) -> Result<Response<String>, Error> {
///     let (uri, headers) = (request.uri().clone(), request.headers());
///     if !rules.wants_token(&uri, headers) {
///         return Ok(client_send(request).await);
///     }
///     let token = rules.token(None).await?;
///     let mut again = request.clone();
///     request.headers_mut().insert(AUTHORIZATION, token.header().clone());
///     let response = client_send(request).await;
///     if !rules.is_refusal(&uri, response.status(), response.headers()) {
///         return Ok(response);
///     }
///     match rules.newer_token(&token, None).await {
///         Some(newer) => {
///             again.headers_mut().insert(AUTHORIZATION, newer.header().clone());
///             Ok(client_send(again).await)
///         }
///         None => Ok(response),
///     }
/// }
/// # async fn client_send(request: Request<String>) -> Response<String> {
/// #     let is_first = request.headers()[AUTHORIZATION] == "Bearer token-1";
/// #     Response::builder().status(if is_first { 401 } else { 200 }).body(String::new()).unwrap()
/// # }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use everbearer::testkit::{Reply, ScriptedIssuer};
/// # use everbearer::{LongTermToken, TokenProvider};
/// # let issuer = ScriptedIssuer::new();
/// let provider = TokenProvider::builder(issuer, LongTermToken::new("secret")?)
///     .origins(["https://api.example.com"])
///     .build()?;
/// let request = Request::get("https://api.example.com/v1/jobs").body(String::new())?;
/// assert_eq!(send(&provider.request_rules(), request).await?.status(), 200);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct RequestRules {
    pub(super) provider: TokenProvider,
    origins: Arc<[Origin]>,
    refusals: Arc<[StatusCode]>,
    overwrite: bool,
}

/// What a request is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Want {
    /// A token, for this one of the origins.
    Token(usize),
    /// No token, because no origin covers the request.
    Uncovered,
    /// Nothing, because it has an `Authorization` header or is part of an exchange.
    Nothing,
}

/// The parts of a URL that make an origin.
#[derive(Clone, Copy)]
pub(super) struct Target<'a> {
    pub(super) scheme: &'a str,
    pub(super) host: &'a str,
    pub(super) port: Option<u16>,
}

impl<'a> Target<'a> {
    fn of(uri: &'a Uri) -> Self {
        Self {
            scheme: uri.scheme_str().unwrap_or_default(),
            host: uri.host().unwrap_or_default(),
            port: uri.port_u16(),
        }
    }
}

impl fmt::Display for Target<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.host)?;
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

impl TokenProvider {
    /// Returns the rules for an adapter of an HTTP client that this crate has no adapter for.
    ///
    /// ```
    /// # fn example(provider: &everbearer::TokenProvider) {
    /// let rules = provider.request_rules();
    /// # }
    /// ```
    pub fn request_rules(&self) -> RequestRules {
        RequestRules {
            provider: self.clone(),
            origins: self.shared_origins(),
            refusals: self.shared_refusals(),
            overwrite: false,
        }
    }
}

impl RequestRules {
    /// Sets whether a request that has an `Authorization` header already is given the token all the same.
    /// Default: false.
    ///
    /// ```
    /// # fn example(provider: &everbearer::TokenProvider) {
    /// let rules = provider.request_rules().overwrite(true);
    /// # }
    /// ```
    #[must_use]
    pub const fn overwrite(mut self, overwrite: bool) -> Self {
        self.overwrite = overwrite;
        self
    }

    /// Sets the origins whose requests are given the token, in place of the provider's.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] if one is neither https nor http to a loopback address or to a host that
    /// [`TokenProviderBuilder::allow_plain_http_to`](crate::TokenProviderBuilder::allow_plain_http_to) names.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn example(provider: &everbearer::TokenProvider) -> Result<(), everbearer::Error> {
    /// let rules = provider.request_rules().origins(["https://jobs.example.com"])?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn origins<S: AsRef<str>>(
        mut self,
        origins: impl IntoIterator<Item = S>,
    ) -> Result<Self, Error> {
        self.origins = origins
            .into_iter()
            .map(|origin| self.provider.allowed_origin(origin.as_ref()))
            .collect::<Result<_, Error>>()?;
        Ok(self)
    }

    /// Returns whether a request to this URI with these headers is given the token: if one of the origins covers
    /// the URI, and the request has no `Authorization` header of its own and is not part of an exchange. The provider
    /// logs each origin that is not covered once.
    pub fn wants_token(&self, uri: &Uri, headers: &HeaderMap) -> bool {
        matches!(self.want(Target::of(uri), headers), Want::Token(_))
    }

    /// Returns a token for a request: at once if there is a good one, or else after the exchange that brings it.
    /// `limit` bounds the wait: what is left of the request's own timeout.
    ///
    /// # Errors
    ///
    /// As [`TokenProvider::token`]; and [`ErrorKind::WaitTimeout`] after `limit`.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the wait and nothing else: the exchange goes on.
    pub async fn token(&self, limit: Option<Duration>) -> Result<RequestToken, Error> {
        match self.provider.token_at_once() {
            Some(token) => Ok(token),
            None => self.provider.token_before(self.deadline(limit)).await,
        }
    }

    /// Returns whether an answer to a request with a token says that the server does not accept the token. `uri` is
    /// the one that answered. If the client followed a redirect to another origin and removed the token, do not ask.
    ///
    /// A status of [`refusal_statuses`](crate::TokenProviderBuilder::refusal_statuses) is a refusal, as is
    /// `error="invalid_token"` with a 401 or 403; `error="insufficient_scope"` is none (RFC 6750, section 3.1).
    ///
    /// For a URI that no origin covers it returns false; the provider logs the first 401 of each such origin.
    pub fn is_refusal(&self, uri: &Uri, status: StatusCode, headers: &HeaderMap) -> bool {
        let target = Target::of(uri);
        let is_covered = self.covering(target).is_some();
        if !is_covered {
            self.note_if_refused(target, status);
        }
        is_covered && self.refuses_token(status, headers)
    }

    /// Reports that the server refused this token, and waits for a newer one, with which the request is to be sent
    /// once more. `limit` bounds the wait: what is left of the request's own timeout.
    ///
    /// Returns `None` if there is no newer token. Return the refusal to the caller then: it says more than the
    /// provider's error.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the wait and nothing else: the exchange goes on.
    pub async fn newer_token(
        &self,
        refused: &RequestToken,
        limit: Option<Duration>,
    ) -> Option<RequestToken> {
        let newer = self
            .provider
            .newer_token(refused.carried, true, self.deadline(limit))
            .await;
        if newer.is_some() {
            self.provider.note_resend();
        }
        newer
    }

    /// Reports that the server refused this token, for a request that is not sent again, and waits until a newer
    /// token is there, for 5 s or `limit` at most. Return the refusal after that, so that the caller's next attempt
    /// uses the newer token.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the wait and nothing else: the exchange goes on.
    pub async fn report_refusal(&self, refused: &RequestToken, limit: Option<Duration>) {
        self.provider
            .newer_token(refused.carried, false, self.deadline(limit))
            .await;
    }

    fn deadline(&self, limit: Option<Duration>) -> Option<Moment> {
        limit.map(|limit| self.provider.now() + limit)
    }

    #[inline]
    pub(super) fn want(&self, target: Target<'_>, headers: &HeaderMap) -> Want {
        let has_own = headers.contains_key(AUTHORIZATION);
        let Some(origin) = self.covering(target) else {
            if has_own || self.provider.is_exchanging_here() {
                return Want::Nothing;
            }
            self.provider.note_uncovered(&target.to_string());
            return Want::Uncovered;
        };
        if has_own && !self.overwrite || self.provider.is_exchanging_here() {
            return Want::Nothing;
        }
        Want::Token(origin)
    }

    #[inline]
    fn covering(&self, target: Target<'_>) -> Option<usize> {
        let covers = |origin: &Origin| covers(origin, target);
        self.origins.iter().position(covers)
    }

    /// Returns whether this one of the origins covers the target.
    #[cfg(feature = "reqwest")]
    #[inline]
    pub(super) fn is_covered_by(&self, origin: usize, target: Target<'_>) -> bool {
        let origin = self.origins.get(origin);
        origin.is_some_and(|origin| covers(origin, target))
    }

    /// Warns if the answer to a request that no origin covers is a 401.
    pub(super) fn note_if_refused(&self, target: Target<'_>, status: StatusCode) {
        if status == StatusCode::UNAUTHORIZED {
            self.provider.note_uncovered_refusal(&target.to_string());
        }
    }

    /// A new token does not help where the old one grants too little (RFC 6750, section 3.1).
    #[inline]
    pub(super) fn refuses_token(&self, status: StatusCode, headers: &HeaderMap) -> bool {
        if !status.is_client_error() {
            return false;
        }
        let challenges = headers.get_all(WWW_AUTHENTICATE);
        let names = |code| {
            let mut challenges = challenges.iter();
            challenges.any(|header| has_param(header.as_bytes(), "error", code))
        };
        let is_listed = self.refusals.contains(&status);
        let may_name = status == StatusCode::UNAUTHORIZED || status == StatusCode::FORBIDDEN;
        (is_listed || may_name && names("invalid_token")) && !names("insufficient_scope")
    }
}

#[inline]
fn covers(origin: &Origin, target: Target<'_>) -> bool {
    origin.covers_parts(target.scheme, target.host, target.port)
}

impl fmt::Debug for RequestRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestRules")
            .field("provider", &self.provider)
            .field("origins", &self.origins)
            .field("refusal_statuses", &self.refusals)
            .field("overwrite", &self.overwrite)
            .finish()
    }
}
