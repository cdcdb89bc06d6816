//! reqwest-auth over the token source beside it. It can only be called in a chain of middleware:
//! a second one behind it answers at once, with the header of the request in the response. So this
//! has the price of a request, its copy and its response in it.

use std::sync::Arc;

use async_trait::async_trait;
use http::header::AUTHORIZATION;
use http::{Extensions, HeaderValue};
use reqwest_0_12::{Client, Method, Request, Response, Url};
use reqwest_auth::AuthorizationHeaderMiddleware;
use reqwest_middleware_0_4::{ClientBuilder, ClientWithMiddleware, Middleware, Next};

use super::token_source::TokenSource;
use crate::rival::{Refusal, Rival};
use crate::source::Source;

#[derive(Clone)]
pub(crate) struct ReqwestAuth {
    client: ClientWithMiddleware,
    request: Arc<Request>,
}

impl Rival for ReqwestAuth {
    const NAME: &'static str = "reqwest-auth";
    type Refused = Refusal;

    async fn start(source: &Source) -> Self {
        let TokenSource(tokens) = TokenSource::start(source).await;
        let client = ClientBuilder::new(Client::new())
            .with(AuthorizationHeaderMiddleware::from(tokens))
            .with(Answer)
            .build();
        let url = Url::parse("http://api.example/").unwrap();
        let request = Arc::new(Request::new(Method::GET, url));
        Self { client, request }
    }

    async fn header(&self) -> Result<HeaderValue, Refusal> {
        let request = self.request.try_clone().ok_or("a request with a body")?;
        let mut response = self.client.execute(request).await?;
        let header = response.headers_mut().remove(AUTHORIZATION);
        Ok(header.ok_or("no header")?)
    }
}

struct Answer;

#[async_trait]
impl Middleware for Answer {
    async fn handle(
        &self,
        mut request: Request,
        _extensions: &mut Extensions,
        _next: Next<'_>,
    ) -> reqwest_middleware_0_4::Result<Response> {
        let mut response = http::Response::new("");
        *response.headers_mut() = std::mem::take(request.headers_mut());
        Ok(response.into())
    }
}
