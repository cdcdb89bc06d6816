//! An adapter for HTTP clients that are tower services, written with `RequestRules`, and an issuer for the auth
//! server of `testkit`. Both use hyper's client. Without its default features, everbearer has neither.

use std::mem;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use everbearer::{
    Error, ErrorKind, ExchangeResponse, Grant, IssuerProfile, LongTermToken, Proof, RequestRules,
    RequestToken, Revoked, Secret, ShortTermToken, TokenIssuer, TokenRef, Wants, async_trait,
};
use futures_util::future::{BoxFuture, FutureExt as _};
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt as _, Either, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;
use serde_json::json;
use tower_service::Service;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The longest refusal that is read before the request is sent again, in bytes.
const LONGEST_REFUSAL: u64 = 64 * 1024;

/// A service that puts the provider's token on requests, and sends a refused request once more.
#[derive(Clone)]
struct Bearer<S> {
    rules: RequestRules,
    inner: S,
}

impl<S, B, R> Service<Request<B>> for Bearer<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: Clone + Send + 'static,
    R: Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    type Response = Response<Either<R, Full<Bytes>>>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        // The service that is ready makes the call; its clone may not be.
        let clone = self.inner.clone();
        let mut inner = mem::replace(&mut self.inner, clone);
        let rules = self.rules.clone();
        let call = async move {
            let uri = request.uri().clone();
            let wants = rules.wants(&uri, request.headers());
            if wants != Wants::Token {
                let response = inner.call(request).await.map_err(Into::into)?;
                if wants == Wants::Uncovered {
                    rules.note_uncovered(&uri, response.status());
                }
                return Ok(response.map(Either::Left));
            }
            let token = rules.token(None).await?;
            let mut again = request.clone();
            authorize(&mut request, &token);
            let response = inner.call(request).await.map_err(Into::into)?;
            if !rules.is_refusal(&uri, response.status(), response.headers()) {
                return Ok(response.map(Either::Left));
            }
            // The connection of a response that was read serves the next request.
            let refusal = read(response).await?;
            let Some(newer) = rules.newer_token(&token, None).await else {
                return Ok(refusal);
            };
            authorize(&mut again, &newer);
            std::future::poll_fn(|context| inner.poll_ready(context))
                .await
                .map_err(Into::into)?;
            let response = inner.call(again).await.map_err(Into::into)?;
            Ok(response.map(Either::Left))
        };
        call.boxed()
    }
}

fn authorize<B>(request: &mut Request<B>, token: &RequestToken) {
    let headers = request.headers_mut();
    headers.insert(AUTHORIZATION, token.header().clone());
}

/// Reads the body, unless it may be long.
async fn read<R>(response: Response<R>) -> Result<Response<Either<R, Full<Bytes>>>, BoxError>
where
    R: Body<Data = Bytes>,
    R::Error: Into<BoxError>,
{
    let (parts, body) = response.into_parts();
    let longest = body.size_hint().upper();
    let body = if longest.is_some_and(|longest| longest <= LONGEST_REFUSAL) {
        let read = body.collect().await.map_err(Into::into)?;
        Either::Right(Full::new(read.to_bytes()))
    } else {
        Either::Left(body)
    };
    Ok(Response::from_parts(parts, body))
}

type Hyper = Client<HttpConnector, Full<Bytes>>;

fn hyper() -> Hyper {
    Client::builder(TokioExecutor::new()).build_http()
}

/// Exchanges long-term tokens at the auth server of `testkit`.
struct AuthServerIssuer {
    /// Sends the requests: the client of the application, which puts the provider's token on requests.
    client: Arc<OnceLock<Bearer<Hyper>>>,
    base_url: String,
}

#[derive(Deserialize)]
struct Issued {
    access_token: Secret,
    token_id: String,
    expires_in: u64,
}

impl AuthServerIssuer {
    async fn post(
        &self,
        path: &str,
        authority: Option<&str>,
        body: String,
    ) -> Result<Response<Bytes>, Error> {
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(format!("{}{path}", self.base_url))
            .header(CONTENT_TYPE, "application/json");
        if let Some(token) = authority {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.body(Full::from(body)).map_err(Error::terminal)?;
        let Some(mut client) = self.client.get().cloned() else {
            return Err(Error::new(ErrorKind::Config, "the client is not set"));
        };
        let response = client.call(request).await.map_err(unreachable)?;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.map_err(unreachable)?.to_bytes();
        let status = parts.status;
        if status.is_success() {
            return Ok(Response::from_parts(parts, body));
        }
        let kind = match status.as_u16() {
            401 | 403 => ErrorKind::Denied,
            500.. => ErrorKind::Server,
            _ => ErrorKind::InvalidRequest,
        };
        let text = format!("the auth server answered {status}");
        Err(Error::new(kind, text).with_status(status.as_u16()))
    }
}

fn unreachable(source: BoxError) -> Error {
    Error::new(ErrorKind::Unreachable, "the auth server does not answer").with_source(source)
}

fn issued(response: &Response<Bytes>) -> Result<Issued, Error> {
    serde_json::from_slice(response.body()).map_err(|_| {
        Error::new(
            ErrorKind::Protocol,
            "the auth server answered without a token",
        )
    })
}

#[async_trait]
impl TokenIssuer for AuthServerIssuer {
    async fn exchange(
        &self,
        long_term: Option<&LongTermToken>,
        scopes: &[String],
    ) -> Result<ExchangeResponse, Error> {
        let authority = long_term.map(LongTermToken::expose);
        let body = if scopes.is_empty() {
            String::new()
        } else {
            json!({ "scopes": scopes }).to_string()
        };
        let response = self.post("/auth/tokens/short", authority, body).await?;
        let issued = issued(&response)?;
        let token = ShortTermToken::builder(issued.access_token.expose())
            .token_id(issued.token_id)
            .expires_in(Duration::from_secs(issued.expires_in));
        Ok(ExchangeResponse::from(token.build()?))
    }

    async fn revoke(
        &self,
        token: TokenRef<'_>,
        authority: Option<TokenRef<'_>>,
    ) -> Result<Revoked, Error> {
        let Some(token_id) = token.token_id() else {
            return Ok(Revoked::Unknown);
        };
        let path = format!("/auth/tokens/{token_id}/revoke");
        let authority = authority.unwrap_or(token).expose();
        self.post(&path, Some(authority), String::new()).await?;
        Ok(Revoked::Gone)
    }

    async fn obtain(
        &self,
        grant: &Grant,
        _authority: Option<&ShortTermToken>,
    ) -> Result<LongTermToken, Error> {
        let Proof::ClientSecret(secret) = grant.proof(&self.base_url).await? else {
            return Err(Error::new(
                ErrorKind::Config,
                "only client secrets are supported",
            ));
        };
        let body = json!({
            "grant_type": "client_credentials",
            "client_id": grant.client_id(),
            "client_secret": secret.expose(),
        });
        let response = self
            .post("/auth/tokens/long", None, body.to_string())
            .await?;
        let issued = issued(&response)?;
        LongTermToken::builder(issued.access_token.expose())
            .token_id(issued.token_id)
            .expires_in(Duration::from_secs(issued.expires_in))
            .build()
    }

    fn profile(&self) -> IssuerProfile {
        IssuerProfile::new("testkit")
    }
}

mod tests {
    use std::fs::{self, File};
    use std::sync::Mutex;

    use everbearer::TokenProvider;
    use everbearer::testkit::{AuthServer, Endpoint, Fault};
    use wiremock::matchers::any;
    use wiremock::{Mock, MockServer, ResponseTemplate};

    use super::*;

    struct Setup {
        server: AuthServer,
        provider: TokenProvider,
        client: Bearer<Hyper>,
    }

    impl Setup {
        /// A provider whose issuer and whose application share one client.
        async fn start() -> Self {
            let server = AuthServer::start().await.unwrap();
            let shared = Arc::new(OnceLock::new());
            let issuer = AuthServerIssuer {
                client: Arc::clone(&shared),
                base_url: server.base_url().to_owned(),
            };
            let grant = Grant::client_secret(server.client_id(), server.client_secret());
            let provider = TokenProvider::builder(issuer, grant)
                .origins([server.base_url()])
                .build()
                .unwrap();
            let client = Bearer {
                rules: provider.request_rules(),
                inner: hyper(),
            };
            assert!(shared.set(client.clone()).is_ok());
            Self {
                server,
                provider,
                client,
            }
        }

        async fn send(&self, request: Request<String>) -> (StatusCode, String) {
            let mut client = self.client.clone();
            std::future::poll_fn(|context| client.poll_ready(context))
                .await
                .unwrap();
            let response = client.call(request.map(Full::from)).await.unwrap();
            let status = response.status();
            let body = response.into_body().collect().await.unwrap().to_bytes();
            (status, String::from_utf8(body.to_vec()).unwrap())
        }

        async fn get_jobs(&self) -> StatusCode {
            let request = Request::get(self.server.url("/jobs")).body(String::new());
            self.send(request.unwrap()).await.0
        }
    }

    #[tokio::test]
    async fn requests_to_a_covered_origin_have_the_token() {
        let setup = Setup::start().await;
        assert_eq!(setup.get_jobs().await, 200);
        let request = Request::post(setup.server.url("/jobs")).body("a job".to_owned());
        assert!(setup.send(request.unwrap()).await.0.is_success());

        // The issuer sent its requests through the same client, which did not make them wait for a token.
        let counts = setup.server.counts();
        assert_eq!(counts.long_term_issued, 1);
        assert_eq!(counts.exchanges_succeeded, 1);

        let report = setup.provider.shutdown().await;
        assert!(report.all_revoked(), "{report}");
        let mut tokens = setup.server.tokens();
        tokens.retain(|token| setup.server.is_live(&token.token_id));
        assert_eq!(tokens.len(), 1, "the long-term token lives on: {tokens:?}");
    }

    /// A server that answers 200, and the values of `Authorization` that it has received.
    async fn other_server() -> MockServer {
        let server = MockServer::start().await;
        let answer = ResponseTemplate::new(200);
        Mock::given(any()).respond_with(answer).mount(&server).await;
        server
    }

    async fn received(server: &MockServer) -> Vec<Option<String>> {
        let requests = server.received_requests().await.unwrap();
        let values = requests.iter().map(|request| {
            let value = request.headers.get(AUTHORIZATION)?;
            Some(value.to_str().unwrap().to_owned())
        });
        values.collect()
    }

    fn request_to(server: &MockServer, own: Option<&str>) -> Request<String> {
        let mut request = Request::get(server.uri());
        if let Some(own) = own {
            request = request.header(AUTHORIZATION, own);
        }
        request.body(String::new()).unwrap()
    }

    #[tokio::test]
    async fn requests_to_another_origin_have_no_token() {
        let setup = Setup::start().await;
        let other = other_server().await;
        assert_eq!(setup.get_jobs().await, 200);
        assert_eq!(setup.send(request_to(&other, None)).await.0, 200);
        assert_eq!(received(&other).await, [None]);
    }

    #[tokio::test]
    async fn a_401_from_another_origin_is_logged() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let file = Mutex::new(File::create(&path).unwrap());
        let subscriber = tracing_subscriber::fmt().with_writer(file).finish();
        let _logging = tracing::subscriber::set_default(subscriber);

        let setup = Setup::start().await;
        let other = MockServer::start().await;
        let answer = ResponseTemplate::new(401);
        Mock::given(any()).respond_with(answer).mount(&other).await;
        for _ in 0..2 {
            assert_eq!(setup.send(request_to(&other, None)).await.0, 401);
        }
        let log = fs::read_to_string(&path).unwrap();
        let lines = log.lines().filter(|line| line.contains(&other.uri()));
        let lines: Vec<_> = lines.collect();
        assert_eq!(lines.len(), 2, "{log}");
        assert!(lines[0].contains("without a token"), "{log}");
        assert!(lines[1].contains("401"), "{log}");
    }

    #[tokio::test]
    async fn a_request_keeps_its_own_header_unless_it_is_to_be_overwritten() {
        let mut setup = Setup::start().await;
        let other = other_server().await;
        let rules = setup.provider.request_rules().origins([other.uri()]);
        setup.client.rules = rules.unwrap();
        let own = "Basic dXNlcjpwYXNzd29yZA==";
        setup.send(request_to(&other, Some(own))).await;
        setup.send(request_to(&other, None)).await;
        setup.client.rules = setup.client.rules.clone().overwrite(true);
        setup.send(request_to(&other, Some(own))).await;

        let token = setup.provider.authorization().await.unwrap();
        let token = token.to_str().unwrap();
        let expected = [own, token, token].map(|value| Some(value.to_owned()));
        assert_eq!(received(&other).await, expected);
    }

    #[tokio::test]
    async fn a_refused_request_is_sent_once_more_with_a_newer_token() {
        let setup = Setup::start().await;
        assert_eq!(setup.get_jobs().await, 200);
        let refused = setup.provider.token().await.unwrap();
        assert!(setup.server.revoke(refused.token_id().unwrap()));
        let request = Request::post(setup.server.url("/jobs")).body("a job".to_owned());
        assert!(setup.send(request.unwrap()).await.0.is_success());

        let newer = setup.provider.token().await.unwrap();
        assert_ne!(newer.token_id(), refused.token_id());
        let counts = setup.server.counts();
        assert_eq!(counts.jobs_outcomes.revoked, 1);
        assert_eq!(counts.jobs_outcomes.served, 2);
        assert_eq!(counts.exchanges_succeeded, 2);
    }

    #[tokio::test]
    async fn a_second_refusal_is_returned_in_full() {
        let setup = Setup::start().await;
        let refusal = Fault::body(401, "the token does not suit me");
        setup.server.fault_always(Endpoint::Jobs, refusal);
        // The second request is not sent again: the provider replaced the token just now.
        for requests in [2, 3] {
            let request = Request::get(setup.server.url("/jobs")).body(String::new());
            let (status, body) = setup.send(request.unwrap()).await;
            assert_eq!(status, 401);
            assert_eq!(body, "the token does not suit me");
            assert_eq!(setup.server.counts().jobs.requests, requests);
        }
        assert_eq!(setup.server.counts().exchanges_succeeded, 2);
    }

    #[tokio::test]
    async fn without_a_token_the_request_is_not_sent() {
        let setup = Setup::start().await;
        setup
            .server
            .fault_always(Endpoint::ShortTerm, Fault::status(503));
        let mut client = setup.client.clone();
        let request = Request::get(setup.server.url("/jobs")).body(Full::default());
        let error = client.call(request.unwrap()).await.err().unwrap();
        let error = Error::find_in(error.as_ref()).unwrap();
        assert_eq!(error.kind(), ErrorKind::Server);
        assert!(error.is_retryable());
        assert_eq!(setup.server.counts().jobs.requests, 0);
    }
}
