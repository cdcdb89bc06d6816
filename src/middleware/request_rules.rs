//! The rules by which the token is added to requests, for any HTTP client: which requests get the token,
//! which `Authorization` header takes precedence, and what happens after a refusal.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{HeaderMap, StatusCode, Uri};

use super::refusal::refuses_token;
use crate::clock::Moment;
use crate::error::Error;
use crate::origin::{Origin, port_of};
use crate::provider::{RequestToken, TokenProvider};

/// Decides which requests get the token, and what happens after a refusal, for an adapter of another HTTP
/// client. `BearerMiddleware` applies the same rules. The types are those of the crate [`http`].
///
/// An adapter calls [`wants`](Self::wants) before it sends a request, and waits for a
/// [`token`](Self::token). After a response for which [`is_refusal`](Self::is_refusal) returns true, it sends
/// the request once more with a [`newer_token`](Self::newer_token). It should read the body of the refusal
/// first, up to a limit, since that frees the connection.
///
/// # Examples
///
/// An adapter for a client whose requests and responses are those of the crate [`http`]:
///
/// ```
/// use everbearer::{Error, RequestRules, Wants};
/// use http::header::AUTHORIZATION;
/// use http::{Request, Response};
///
/// async fn send(rules: &RequestRules, mut request: Request<String>) -> Result<Response<String>, Error> {
///     let (uri, headers) = (request.uri().clone(), request.headers());
///     match rules.wants(&uri, headers) {
///         Wants::Token => {}
///         Wants::Uncovered => {
///             let response = client_send(request).await;
///             rules.note_uncovered(&uri, response.status());
///             return Ok(response);
///         }
///         _ => return Ok(client_send(request).await),
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
    pub(super) refusals: Arc<[StatusCode]>,
    overwrite: bool,
}

/// States whether a request gets the token; see [`RequestRules::wants`].
///
/// # Examples
///
/// ```
/// use everbearer::{RequestRules, Wants};
/// use http::{HeaderMap, Uri};
///
/// fn describe(rules: &RequestRules, uri: &Uri, headers: &HeaderMap) -> &'static str {
///     match rules.wants(uri, headers) {
///         Wants::Token => "wait for a token and add it",
///         Wants::Uncovered => "send the request unchanged, and report its status",
///         _ => "send the request unchanged",
///     }
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Wants {
    /// The request gets the token.
    Token,
    /// The request gets no token, since no origin covers its URI.
    Uncovered,
    /// The request gets no token, since it has an `Authorization` header or is part of an exchange.
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
    /// Returns `None` if the URI has no scheme or host, or an invalid port.
    fn of(uri: &'a Uri) -> Option<Self> {
        Some(Self {
            scheme: uri.scheme_str()?,
            host: uri.host()?,
            port: port_of(uri.authority()?).ok()?,
        })
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
    /// Returns the rules for an adapter of an HTTP client for which this crate has no adapter.
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
    /// Sets whether the token replaces an `Authorization` header that the request already has. Default:
    /// false.
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

    /// Sets the origins to whose requests the token is added, in place of the provider's.
    ///
    /// # Errors
    ///
    /// Returns [`ErrorKind::Config`](crate::ErrorKind::Config) if an origin is neither https nor http to a loopback
    /// address or to a host that
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

    /// Returns what a request to this URI with these headers gets.
    ///
    /// It gets the token if an origin covers the URI, unless the request has its own `Authorization` header or is
    /// part of an exchange of this provider. The provider logs each origin that is not covered once.
    ///
    /// # Examples
    ///
    /// ```
    /// # use everbearer::testkit::ScriptedIssuer;
    /// # use everbearer::{LongTermToken, TokenProvider};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), everbearer::Error> {
    /// # let builder = TokenProvider::builder(ScriptedIssuer::new(), LongTermToken::new("secret")?);
    /// use everbearer::Wants;
    /// use http::{HeaderMap, Uri};
    ///
    /// let rules = builder.origins(["https://api.example.com"]).build()?.request_rules();
    /// let (ours, other) = ("https://api.example.com/jobs", "https://example.org/");
    /// assert_eq!(rules.wants(&Uri::from_static(ours), &HeaderMap::new()), Wants::Token);
    /// assert_eq!(rules.wants(&Uri::from_static(other), &HeaderMap::new()), Wants::Uncovered);
    /// # Ok(())
    /// # }
    /// ```
    pub fn wants(&self, uri: &Uri, headers: &HeaderMap) -> Wants {
        if let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) {
            let covers = |origin: &Origin| origin.covers_text(scheme, authority.as_str());
            if self.origins.iter().any(covers) {
                return self.covered(headers);
            }
        }
        match Target::of(uri).map(|target| self.origin_of(target, headers)) {
            Some(Ok(_)) => Wants::Token,
            Some(Err(wants)) => wants,
            None if headers.contains_key(AUTHORIZATION) || self.provider.is_exchanging_here() => {
                Wants::Nothing
            }
            None => {
                self.provider.note_uncovered("(a URI without an origin)");
                Wants::Uncovered
            }
        }
    }

    /// Returns a token for a request, at once if there is a valid one, and otherwise after the exchange for
    /// it. `limit` is what is left of the request's own timeout, and limits the wait.
    ///
    /// # Errors
    ///
    /// As [`TokenProvider::token`]; and [`ErrorKind::WaitTimeout`](crate::ErrorKind::WaitTimeout) after `limit`.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cancels this wait only: the exchange continues.
    ///
    /// # Examples
    ///
    /// ```
    /// # use everbearer::testkit::ScriptedIssuer;
    /// # use everbearer::{LongTermToken, TokenProvider};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), everbearer::Error> {
    /// # let issuer = ScriptedIssuer::new();
    /// # let provider = TokenProvider::builder(issuer, LongTermToken::new("secret")?).build()?;
    /// let rules = provider.request_rules();
    /// let token = rules.token(None).await?;
    /// assert_eq!(token.header(), "Bearer st-1");
    /// # Ok(())
    /// # }
    /// ```
    pub async fn token(&self, limit: Option<Duration>) -> Result<RequestToken, Error> {
        match self.provider.token_at_once() {
            Some(token) => Ok(token),
            None => self.provider.token_before(self.deadline(limit)).await,
        }
    }

    /// Returns whether a response to a request with a token is a refusal of the token.
    ///
    /// `uri` is the URI of the response. If the client followed a redirect to another origin and removed the
    /// token, do not call this method.
    ///
    /// A status that [`refusal_statuses`](crate::TokenProviderBuilder::refusal_statuses) lists is a refusal,
    /// and so is a 401 or 403 with `error="invalid_token"`, and a 200 whose header `grpc-status` is 16
    /// (`UNAUTHENTICATED`). A response with `error="insufficient_scope"` is not a refusal (RFC 6750, section 3.1).
    ///
    /// For a URI that no origin covers, it returns false.
    ///
    /// Send the request again only if the response came from the URL that was requested: a client that followed a
    /// redirect may have sent the request to its end already.
    ///
    /// # Examples
    ///
    /// ```
    /// # use everbearer::testkit::ScriptedIssuer;
    /// # use everbearer::{LongTermToken, TokenProvider};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), everbearer::Error> {
    /// # let builder = TokenProvider::builder(ScriptedIssuer::new(), LongTermToken::new("secret")?);
    /// use http::{HeaderMap, StatusCode, Uri};
    ///
    /// let rules = builder.origins(["https://api.example.com"]).build()?.request_rules();
    /// let uri = Uri::from_static("https://api.example.com/jobs");
    /// assert!(rules.is_refusal(&uri, StatusCode::UNAUTHORIZED, &HeaderMap::new()));
    /// assert!(!rules.is_refusal(&uri, StatusCode::NOT_FOUND, &HeaderMap::new()));
    /// # Ok(())
    /// # }
    /// ```
    pub fn is_refusal(&self, uri: &Uri, status: StatusCode, headers: &HeaderMap) -> bool {
        let origin = Target::of(uri).and_then(|target| self.covering(target));
        origin.is_some() && refuses_token(&self.refusals, status, headers)
    }

    /// Notes the status of an answer from this URI to a request that got no token, because no origin covers it
    /// ([`Wants::Uncovered`]). The provider logs the first 401 from each such origin.
    ///
    /// ```
    /// # fn example(rules: everbearer::RequestRules, uri: http::Uri, status: http::StatusCode) {
    /// rules.note_uncovered(&uri, status);
    /// # }
    /// ```
    pub fn note_uncovered(&self, uri: &Uri, status: StatusCode) {
        if let Some(target) = Target::of(uri) {
            self.note_if_refused(target, status);
        }
    }

    /// Reports that the server refused this token, and returns a newer token for sending the request once
    /// more. `limit` is what is left of the request's own timeout, and limits the wait.
    ///
    /// If the refused token arrived less than [`RefreshPolicy::settling_time`](crate::RefreshPolicy::settling_time)
    /// ago, it waits for the rest of that time and returns the same token. It returns `None` if no newer token is
    /// available. In that case, return the refusal to the caller, since it has more information than the provider's
    /// error.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cancels this wait only: the exchange continues.
    ///
    /// # Examples
    ///
    /// ```
    /// # use everbearer::testkit::ScriptedIssuer;
    /// # use everbearer::{LongTermToken, TokenProvider};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), everbearer::Error> {
    /// # let issuer = ScriptedIssuer::new();
    /// # let provider = TokenProvider::builder(issuer, LongTermToken::new("secret")?).build()?;
    /// let rules = provider.request_rules();
    /// let refused = rules.token(None).await?;
    /// let newer = rules.newer_token(&refused, None).await.unwrap();
    /// assert_eq!(newer.header(), "Bearer st-2");
    /// # Ok(())
    /// # }
    /// ```
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

    /// Reports that the server refused this token, for a request that is not sent again. It waits for a newer
    /// token, for at most 5 s or `limit`. Return the refusal to the caller after that, so that the caller's
    /// next attempt uses the newer token.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cancels this wait only: the exchange continues.
    ///
    /// # Examples
    ///
    /// ```
    /// # use everbearer::testkit::ScriptedIssuer;
    /// # use everbearer::{LongTermToken, TokenProvider};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), everbearer::Error> {
    /// # let issuer = ScriptedIssuer::new();
    /// # let provider = TokenProvider::builder(issuer, LongTermToken::new("secret")?).build()?;
    /// let rules = provider.request_rules();
    /// let refused = rules.token(None).await?;
    /// rules.report_refusal(&refused, None).await;
    /// assert_eq!(rules.token(None).await?.header(), "Bearer st-2");
    /// # Ok(())
    /// # }
    /// ```
    pub async fn report_refusal(&self, refused: &RequestToken, limit: Option<Duration>) {
        self.provider
            .newer_token(refused.carried, false, self.deadline(limit))
            .await;
    }

    fn deadline(&self, limit: Option<Duration>) -> Option<Moment> {
        limit.map(|limit| self.provider.now() + limit)
    }

    /// Returns which of the origins covers a request that gets the token, or else what the request gets.
    #[inline]
    pub(super) fn origin_of(
        &self,
        target: Target<'_>,
        headers: &HeaderMap,
    ) -> Result<usize, Wants> {
        let has_own = headers.contains_key(AUTHORIZATION);
        let Some(origin) = self.covering(target) else {
            if has_own || self.provider.is_exchanging_here() {
                return Err(Wants::Nothing);
            }
            self.provider.note_uncovered(&target.to_string());
            return Err(Wants::Uncovered);
        };
        match self.covered(headers) {
            Wants::Token => Ok(origin),
            other => Err(other),
        }
    }

    /// Returns what a request to a covered origin gets.
    #[inline]
    fn covered(&self, headers: &HeaderMap) -> Wants {
        let is_kept = headers.contains_key(AUTHORIZATION) && !self.overwrite;
        if is_kept || self.provider.is_exchanging_here() {
            return Wants::Nothing;
        }
        Wants::Token
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
