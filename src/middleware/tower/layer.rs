//! The layer, which configures the service.

use std::sync::Arc;

use tower_layer::Layer;

use super::replay_body::ReplayBody;
use super::resend::{CloneBody, NoResend, Replay};
use super::service::Bearer;
use crate::error::Error;
use crate::middleware::RequestRules;
use crate::observe;
use crate::provider::TokenProvider;

/// Adds the token of a [`TokenProvider`] to the requests of a tower service over [`http::Request`], such as
/// hyper-util's client or tonic's `Channel`; needs the feature `tower`.
///
/// - It adds the token to requests to the provider's [origins](TokenProvider::origins) only. It passes other requests
///   on unchanged, and logs one warning for each of their origins. A request needs an absolute URI. Create a tonic
///   client with `with_origin`.
/// - A request keeps an `Authorization` header that it already has.
/// - If no token is valid, the request waits for the exchange in the response future, after `poll_ready`. A limit
///   inside the layer, such as tower's `ConcurrencyLimit`, therefore bounds the number of waiting requests, and a
///   timeout belongs outside the layer.
/// - A refusal is a status that [`refusal_statuses`](crate::TokenProviderBuilder::refusal_statuses) lists (401 by
///   default), a 401 or 403 with `error="invalid_token"`, or a gRPC response without messages whose status is
///   `UNAUTHENTICATED` (16). A response with `insufficient_scope` is not a refusal. After a refusal, the layer sends
///   the request once more with a newer token. By default the layer clones the request, which requires `B: Clone`;
///   use [`replay`](Self::replay) or [`without_resend`](Self::without_resend) for other bodies.
///
/// A request that the provider's own issuer sends during an exchange passes unchanged. Do not place tower's `Buffer`
/// outside a layer through which the issuer sends its requests: `Buffer` moves them to another task, and the exchange
/// waits for itself until it times out.
///
/// Place the layer inside layers that retry or follow redirects, so that each attempt gets its own token, and inside
/// tower's `Timeout`.
///
/// # Errors
///
/// The response future returns the error of the inner service, or the provider's error if it can obtain no token.
/// [`Error::find_in`](crate::Error::find_in) finds the provider's error.
///
/// # Cancel safety
///
/// Dropping the response future cancels the request; the exchange continues.
///
/// # Examples
///
/// ```
/// # use everbearer::testkit::ScriptedIssuer;
/// # use everbearer::{LongTermToken, TokenProvider};
/// use http::{Request, Response};
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// # let issuer = ScriptedIssuer::new();
/// let provider = TokenProvider::builder(issuer, LongTermToken::new("secret")?)
///     .origins(["https://api.example.com"])
///     .build()?;
/// let service = ServiceBuilder::new()
///     .layer(provider.layer())
///     .service_fn(|request: Request<String>| async move {
///         assert_eq!(request.headers()["authorization"], "Bearer st-1");
///         Ok::<_, std::io::Error>(Response::new(String::new()))
///     });
/// let request = Request::get("https://api.example.com/v1/jobs").body(String::new())?;
/// assert_eq!(service.oneshot(request).await?.status(), 200);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct BearerLayer<R = CloneBody> {
    rules: RequestRules,
    resend: R,
}

impl TokenProvider {
    /// Returns a tower layer that adds this provider's token to requests; needs the feature `tower`. If the provider
    /// has no [origins](Self::origins), it logs a warning, even if [`BearerLayer::origins`] sets origins afterwards.
    ///
    /// ```
    /// # fn example(provider: &everbearer::TokenProvider) {
    /// let layer = provider.layer();
    /// # }
    /// ```
    pub fn layer(&self) -> BearerLayer {
        if self.origins().is_empty() {
            observe::log_no_origin(self.name());
        }
        BearerLayer {
            rules: self.request_rules(),
            resend: CloneBody,
        }
    }
}

impl<R> BearerLayer<R> {
    /// Sets whether the token replaces an `Authorization` header that the request already has, as a reverse proxy
    /// needs it. Default: false.
    ///
    /// ```
    /// # fn example(provider: &everbearer::TokenProvider) {
    /// let layer = provider.layer().overwrite(true);
    /// # }
    /// ```
    #[must_use]
    pub fn overwrite(mut self, overwrite: bool) -> Self {
        self.rules = self.rules.overwrite(overwrite);
        self
    }

    /// Sets the origins to whose requests this layer adds the token, in place of the provider's.
    ///
    /// # Errors
    ///
    /// As [`RequestRules::origins`].
    ///
    /// # Examples
    ///
    /// ```
    /// # fn example(provider: &everbearer::TokenProvider) -> Result<(), everbearer::Error> {
    /// let layer = provider.layer().origins(["https://jobs.example.com"])?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn origins<S: AsRef<str>>(
        mut self,
        origins: impl IntoIterator<Item = S>,
    ) -> Result<Self, Error> {
        self.rules = self.rules.origins(origins)?;
        Ok(self)
    }

    /// Disables the resend. The layer returns the refusal when the provider has a newer token for the caller's next
    /// attempt, after 5 s at the latest. The body may have any type.
    ///
    /// ```
    /// # fn example(provider: &everbearer::TokenProvider) {
    /// let layer = provider.layer().without_resend();
    /// # }
    /// ```
    pub fn without_resend(self) -> BearerLayer<NoResend> {
        self.resend_by(NoResend)
    }

    /// Resends requests with a streamed body, if the inner service has read the whole body when the refusal arrives,
    /// and the body has at most 1 MiB. `new_body` creates the body that the inner service gets, such as
    /// `tonic::body::Body::new` or `axum::body::Body::new`. A gRPC call is resent unless the client is still
    /// streaming.
    ///
    /// ```
    /// # use http_body_util::combinators::UnsyncBoxBody;
    /// # use http_body_util::BodyExt;
    /// # use bytes::Bytes;
    /// type Body = UnsyncBoxBody<Bytes, std::io::Error>;
    ///
    /// # fn example(provider: &everbearer::TokenProvider) {
    /// let layer = provider.layer().replay(|body: everbearer::tower::ReplayBody<Body>| Body::new(body));
    /// # }
    /// ```
    pub fn replay<F, B>(self, new_body: F) -> BearerLayer<Replay<F>>
    where
        F: Fn(ReplayBody<B>) -> B,
    {
        self.resend_by(Replay(new_body))
    }

    /// Resends requests as this implementation of [`Resend`](super::Resend) defines.
    ///
    /// A layer that resends requests without a body only, whatever the type of the body:
    ///
    /// ```
    /// use everbearer::tower::{BearerLayer, Resend};
    /// use http::Request;
    /// use http_body::Body;
    ///
    /// #[derive(Clone)]
    /// struct WithoutBody;
    ///
    /// impl<B: Body + Default> Resend<B> for WithoutBody {
    ///     type Copy = Request<()>;
    ///
    ///     fn keep(&self, request: Request<B>) -> (Request<B>, Option<Request<()>>) {
    ///         let (parts, body) = request.into_parts();
    ///         let copy = body.is_end_stream().then(|| Request::from_parts(parts.clone(), ()));
    ///         (Request::from_parts(parts, body), copy)
    ///     }
    ///
    ///     fn again(&self, copy: Request<()>) -> Option<Request<B>> {
    ///         Some(copy.map(|()| B::default()))
    ///     }
    /// }
    ///
    /// # fn example(provider: &everbearer::TokenProvider) {
    /// let layer: BearerLayer<WithoutBody> = provider.layer().resend_by(WithoutBody);
    /// # }
    /// ```
    pub fn resend_by<R2>(self, resend: R2) -> BearerLayer<R2> {
        BearerLayer {
            rules: self.rules,
            resend,
        }
    }
}

impl<S, R: Clone> Layer<S> for BearerLayer<R> {
    type Service = Bearer<S, R>;

    fn layer(&self, inner: S) -> Self::Service {
        Bearer {
            inner,
            rules: Arc::new(self.rules.clone()),
            resend: self.resend.clone(),
        }
    }
}
