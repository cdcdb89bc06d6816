//! `huskarl`: its cache around a grant, and its authorizer around that. Its transport is the
//! user's own: here one that answers from the source, with the JSON of a token endpoint.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri};
use huskarl::authorizer::HttpAuthorizer;
use huskarl::cache::{GrantTokenSource, InMemoryRefreshTokenStore, InMemoryTokenCache};
use huskarl::core::Error;
use huskarl::core::client_auth::NoAuth;
use huskarl::core::http::{HttpClient, HttpResponse, Idempotency};
use huskarl::core::platform::MaybeSendBoxFuture;
use huskarl::grant::client_credentials::{
    ClientCredentialsGrant, ClientCredentialsGrantParameters,
};

use crate::rival::{Refusal, Rival};
use crate::source::{Source, answer};

#[derive(Clone)]
pub(crate) struct Huskarl(Arc<Inner>);

struct Inner {
    authorizer: HttpAuthorizer,
    uri: Uri,
}

impl Rival for Huskarl {
    const NAME: &'static str = "huskarl";
    type Refused = Refusal;

    async fn start(source: &Source) -> Self {
        let grant = ClientCredentialsGrant::builder()
            .client_id("peers")
            .client_auth(NoAuth)
            .token_endpoint("https://auth.example/token".parse().unwrap())
            .http_client(Transport(source.clone()))
            .build();
        let tokens = GrantTokenSource::builder()
            .grant(grant)
            .grant_parameters(ClientCredentialsGrantParameters::new())
            .refresh_store(InMemoryRefreshTokenStore::default())
            .build();
        let cache = InMemoryTokenCache::builder().source(tokens).build();
        let authorizer = HttpAuthorizer::builder().cache(cache).build();
        let uri = Uri::from_static("https://api.example/");
        Self(Arc::new(Inner { authorizer, uri }))
    }

    async fn header(&self) -> Result<HeaderValue, Refusal> {
        let Inner { authorizer, uri } = &*self.0;
        let mut headers = authorizer.get_headers(&Method::GET, uri).await?;
        Ok(headers.remove(AUTHORIZATION).ok_or("no header")?)
    }
}

struct Transport(Source);

impl HttpClient for Transport {
    fn execute(
        &self,
        _request: Request<Bytes>,
        _idempotency: Idempotency,
    ) -> MaybeSendBoxFuture<'_, Result<HttpResponse, Error>> {
        Box::pin(async {
            let body = answer(&self.0.mint().await).to_string();
            let json = HeaderValue::from_static("application/json");
            Ok(HttpResponse {
                status: StatusCode::OK,
                headers: HeaderMap::from_iter([(CONTENT_TYPE, json)]),
                body: body.into(),
            })
        })
    }
}
