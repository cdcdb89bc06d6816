//! `azure_core`: only its bearer policy is public, so each call sends a request through that. The
//! policy after it answers at once with the header that it was given.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use azure_core::credentials::{AccessToken, TokenCredential, TokenRequestOptions};
use azure_core::http::headers::{AUTHORIZATION, Headers};
use azure_core::http::policies::auth::BearerTokenAuthorizationPolicy;
use azure_core::http::policies::{Policy, PolicyResult};
use azure_core::http::{AsyncRawResponse, Context, Method, Request, StatusCode, Url};
use http::HeaderValue;

use crate::rival::{Refusal, Rival};
use crate::source::Source;

/// How long before the end it renews, always.
const LEAD: Duration = Duration::from_mins(5);

#[derive(Clone)]
pub(crate) struct Azure(Arc<Inner>);

struct Inner {
    policy: BearerTokenAuthorizationPolicy,
    next: [Arc<dyn Policy>; 1],
    context: Context<'static>,
    request: Request,
}

impl Rival for Azure {
    const NAME: &'static str = "azure_core";
    type Refused = Refusal;

    async fn start(source: &Source) -> Self {
        let credential = Arc::new(Credential(source.clone()));
        let scopes = ["https://api.example/.default"];
        let url = Url::parse("https://api.example/").unwrap();
        Self(Arc::new(Inner {
            policy: BearerTokenAuthorizationPolicy::new(credential, scopes),
            next: [Arc::new(Answer)],
            context: Context::new(),
            request: Request::new(url, Method::Get),
        }))
    }

    async fn header(&self) -> Result<HeaderValue, Refusal> {
        let inner = &*self.0;
        let mut request = inner.request.clone();
        let sent = inner
            .policy
            .send(&inner.context, &mut request, &inner.next)
            .await?;
        drop(sent);
        Ok(HeaderValue::try_from(
            request.headers().get_str(&AUTHORIZATION)?,
        )?)
    }
}

#[derive(Debug)]
struct Answer;

#[async_trait]
impl Policy for Answer {
    async fn send(
        &self,
        _context: &Context,
        _request: &mut Request,
        _next: &[Arc<dyn Policy>],
    ) -> PolicyResult {
        let headers = Headers::new();
        Ok(AsyncRawResponse::from_bytes(StatusCode::Ok, headers, ""))
    }
}

#[derive(Debug)]
struct Credential(Source);

#[async_trait]
impl TokenCredential for Credential {
    async fn get_token(
        &self,
        _scopes: &[&str],
        _options: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        let minted = self.0.mint().await;
        let mut ends_at = minted.ends_at;
        if minted.life < 2 * LEAD {
            // It would fetch this token anew for every call, or nearly: so that it keeps it for
            // four fifths of its life, it is told of a later end.
            ends_at = ends_at + LEAD - minted.life / 5;
        }
        Ok(AccessToken::new(minted.token, ends_at.into()))
    }
}
