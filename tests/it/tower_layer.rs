//! The tower layer, around services without a network.

use std::convert::Infallible;
use std::future::{Ready, poll_fn, ready};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use everbearer::testkit::{Reply, ScriptedIssuer};
use everbearer::tower::{BoxError, ReplayBody};
use everbearer::{Error, ErrorKind, TokenProvider};
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::{Body, Frame};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Empty, Full, StreamBody};
use tower::{Layer as _, Service, ServiceExt as _};

use crate::support::{builder, secs};

const URL: &str = "https://api.example.com/v1/jobs";

/// What a request had that arrived: its token, its other headers, and its body.
#[derive(Clone, Debug)]
struct Arrived {
    authorization: Option<HeaderValue>,
    headers: HeaderMap,
    body: Bytes,
}

/// An inner service. It answers in order, and then 200. It panics if it is called before it is ready.
struct Server {
    answers: Arc<Mutex<Vec<Response<Empty<Bytes>>>>>,
    arrived: Arc<Mutex<Vec<Arrived>>>,
    clones: Arc<AtomicUsize>,
    is_ready: bool,
    /// Whether it reads the body of a request.
    reads: bool,
}

impl Clone for Server {
    fn clone(&self) -> Self {
        self.clones.fetch_add(1, Ordering::SeqCst);
        Self {
            answers: Arc::clone(&self.answers),
            arrived: Arc::clone(&self.arrived),
            clones: Arc::clone(&self.clones),
            is_ready: false,
            reads: self.reads,
        }
    }
}

impl Server {
    fn answering(statuses: impl IntoIterator<Item = u16>) -> Self {
        let answer = |status| {
            let answer = Response::builder().status(status);
            answer.body(Empty::new()).unwrap()
        };
        let mut answers: Vec<_> = statuses.into_iter().map(answer).collect();
        answers.reverse();
        Self {
            answers: Arc::new(Mutex::new(answers)),
            arrived: Arc::default(),
            clones: Arc::default(),
            is_ready: false,
            reads: true,
        }
    }

    fn tokens(&self) -> Vec<String> {
        let arrived = self.arrived.lock().unwrap();
        let tokens = arrived.iter().map(|it| match &it.authorization {
            Some(header) => header.to_str().unwrap().to_owned(),
            None => String::new(),
        });
        tokens.collect()
    }
}

impl<B> Service<Request<B>> for Server
where
    B: Body<Data = Bytes> + Unpin + Send + 'static,
    B::Error: std::fmt::Debug,
{
    type Response = Response<Empty<Bytes>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.is_ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        assert!(
            std::mem::take(&mut self.is_ready),
            "called before it is ready"
        );
        let (arrived, answers) = (Arc::clone(&self.arrived), Arc::clone(&self.answers));
        let reads = self.reads;
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let body = if reads {
                body.collect().await.unwrap().to_bytes()
            } else {
                Bytes::new()
            };
            arrived.lock().unwrap().push(Arrived {
                authorization: parts.headers.get(AUTHORIZATION).cloned(),
                headers: parts.headers,
                body,
            });
            let answer = answers.lock().unwrap().pop();
            Ok(answer.unwrap_or_default())
        })
    }
}

fn provider(issuer: &ScriptedIssuer) -> TokenProvider {
    builder(issuer)
        .origins(["https://api.example.com"])
        .build()
        .unwrap()
}

fn get(url: &str) -> Request<Empty<Bytes>> {
    Request::get(url).body(Empty::new()).unwrap()
}

fn post(body: &'static str) -> Request<String> {
    let request = Request::post(URL).header("content-type", "text/plain");
    request.body(body.to_owned()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_token_goes_to_the_origins_of_the_provider_only() {
    let provider = provider(&ScriptedIssuer::new());
    let server = Server::answering([]);
    let service = provider.layer().layer(server.clone());
    let own = Request::get(URL).header(AUTHORIZATION, "Basic b3du");
    let own = own.body(Empty::new()).unwrap();
    let elsewhere = [
        "https://api.example.org/",
        "http://api.example.com/v1/jobs",
        "/v1/jobs",
    ];
    for request in [get(URL), own].into_iter().chain(elsewhere.map(get)) {
        let response = service.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), 200);
    }
    assert_eq!(server.tokens(), ["Bearer st-1", "Basic b3du", "", "", ""]);
    let first = server.arrived.lock().unwrap()[0].clone();
    assert!(first.authorization.unwrap().is_sensitive());

    let overwriting = provider.layer().overwrite(true).layer(server.clone());
    let own = Request::get(URL).header(AUTHORIZATION, "Basic b3du");
    overwriting
        .oneshot(own.body(Empty::<Bytes>::new()).unwrap())
        .await
        .unwrap();
    assert_eq!(server.tokens()[5], "Bearer st-1");
    let fewer = provider
        .layer()
        .origins(["https://jobs.example.com"])
        .unwrap();
    fewer.layer(server.clone()).oneshot(get(URL)).await.unwrap();
    assert_eq!(server.tokens()[6], "");
}

#[tokio::test(start_paused = true)]
async fn a_refused_request_is_sent_once_more_with_a_newer_token_and_the_same_content() {
    for (statuses, status) in [(vec![401], 200), (vec![401, 401], 401), (vec![403], 403)] {
        let server = Server::answering(statuses.clone());
        let provider = provider(&ScriptedIssuer::new());
        let service = provider.layer().layer(server.clone());
        let response = service.oneshot(post("a job")).await.unwrap();
        assert_eq!(response.status(), status);
        let arrived = server.arrived.lock().unwrap();
        assert_eq!(arrived.len(), if statuses[0] == 403 { 1 } else { 2 });
        for request in arrived.iter() {
            assert_eq!(request.body, "a job");
            assert_eq!(request.headers["content-type"], "text/plain");
        }
        if let [first, second] = arrived.as_slice() {
            assert_ne!(first.authorization, second.authorization);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_waits_for_a_token_is_sent_by_the_service_that_was_ready() {
    let issuer = ScriptedIssuer::new();
    issuer.script([Reply::token(secs(900)).after(secs(3))]);
    let provider = provider(&issuer);
    let server = Server::answering([401]);
    let service = provider.layer().layer(server.clone());
    let response = service.oneshot(post("a job")).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(server.tokens(), ["Bearer st-1", "Bearer st-2"]);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_request_does_not_cancel_the_exchange() {
    let issuer = ScriptedIssuer::new();
    issuer.script([Reply::token(secs(900)).after(secs(3))]);
    let provider = provider(&issuer);
    let service = provider.layer().layer(Server::answering([]));
    let sent = service.clone().oneshot(get(URL));
    tokio::time::timeout(secs(1), sent).await.unwrap_err();
    service.oneshot(get(URL)).await.unwrap();
    assert_eq!(issuer.exchanges(), 1);
}

#[tokio::test(start_paused = true)]
async fn without_a_token_the_error_of_the_provider_is_returned() {
    let issuer = ScriptedIssuer::new();
    issuer.default_reply(Reply::error(Error::new(ErrorKind::Denied, "revoked")));
    let server = Server::answering([]);
    let service = provider(&issuer).layer().layer(server.clone());
    let error: BoxError = service.oneshot(get(URL)).await.unwrap_err();
    let found = Error::find_in(&*error).unwrap();
    assert_eq!(found.kind(), ErrorKind::Denied);
    assert!(server.arrived.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn without_resend_the_refusal_is_returned_and_the_next_request_has_a_newer_token() {
    let issuer = ScriptedIssuer::new();
    let server = Server::answering([401]);
    let service = provider(&issuer)
        .layer()
        .without_resend()
        .layer(server.clone());
    let response = service.clone().oneshot(post("a job")).await.unwrap();
    assert_eq!(response.status(), 401);
    service.oneshot(post("a job")).await.unwrap();
    assert_eq!(server.tokens(), ["Bearer st-1", "Bearer st-2"]);
}

type Stream = UnsyncBoxBody<Bytes, Infallible>;

/// A body of these chunks, and of a trailer.
fn stream(chunks: Vec<&'static str>, trailer: bool) -> Stream {
    let chunks = chunks.into_iter();
    let frames = chunks.map(|chunk| Ok(Frame::data(Bytes::from_static(chunk.as_bytes()))));
    let trailers = trailer.then(|| {
        let name = http::header::HeaderName::from_static("checksum");
        Ok(Frame::trailers(HeaderMap::from_iter([(
            name,
            HeaderValue::from_static("1"),
        )])))
    });
    Stream::new(StreamBody::new(futures_util::stream::iter(
        frames.chain(trailers).collect::<Vec<_>>(),
    )))
}

fn streamed(body: Stream) -> Request<Stream> {
    Request::post(URL).body(body).unwrap()
}

fn new_body(body: ReplayBody<Stream>) -> Stream {
    Stream::new(body)
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_was_read_is_replayed() {
    for body in [
        stream(vec!["a ", "job"], true),
        stream(vec![], false),
        stream(vec!["a ", "job"], false),
    ] {
        let server = Server::answering([401]);
        let provider = provider(&ScriptedIssuer::new());
        let service = provider.layer().replay(new_body).layer(server.clone());
        let response = service.oneshot(streamed(body)).await.unwrap();
        assert_eq!(response.status(), 200);
        let arrived = server.arrived.lock().unwrap();
        let [first, second] = arrived.as_slice() else {
            panic!("{arrived:?}");
        };
        assert_eq!(first.body, second.body);
        assert_ne!(first.authorization, second.authorization);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_was_not_read_or_is_long_is_not_sent_again() {
    let mut unread = Server::answering([401]);
    unread.reads = false;
    let mebibyte: &'static str = "x".repeat(1024 * 1024).leak();
    for (server, body) in [
        (unread, vec!["a job"]),
        (Server::answering([401]), vec![mebibyte, "x"]),
    ] {
        let provider = provider(&ScriptedIssuer::new());
        let service = provider.layer().replay(new_body).layer(server.clone());
        let response = service
            .oneshot(streamed(stream(body, false)))
            .await
            .unwrap();
        assert_eq!(response.status(), 401);
        assert_eq!(server.arrived.lock().unwrap().len(), 1);
    }
    let server = Server::answering([401]);
    let provider = provider(&ScriptedIssuer::new());
    let service = provider.layer().replay(new_body).layer(server.clone());
    let response = service
        .oneshot(streamed(stream(vec![mebibyte], false)))
        .await;
    assert_eq!(response.unwrap().status(), 200);
}

#[tokio::test(start_paused = true)]
async fn unauthenticated_of_grpc_is_a_refusal() {
    for (code, requests) in [("16", 2), ("7", 1), ("0", 1)] {
        let server = Server::answering([200]);
        let headers = HeaderValue::from_static(code);
        server.answers.lock().unwrap()[0]
            .headers_mut()
            .insert("grpc-status", headers);
        let provider = provider(&ScriptedIssuer::new());
        let service = provider.layer().layer(server.clone());
        service.oneshot(post("a message")).await.unwrap();
        assert_eq!(server.arrived.lock().unwrap().len(), requests, "{code}");
    }
}

#[derive(Clone, Debug)]
struct NotReady;

impl Service<Request<String>> for NotReady {
    type Response = Response<String>;
    type Error = std::io::Error;
    type Future = Ready<Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), std::io::Error>> {
        Poll::Ready(Err(std::io::Error::other("the connection is gone")))
    }

    fn call(&mut self, _: Request<String>) -> Self::Future {
        ready(Ok(Response::default()))
    }
}

#[tokio::test(start_paused = true)]
async fn readiness_is_that_of_the_inner_service() {
    let mut service = provider(&ScriptedIssuer::new()).layer().layer(NotReady);
    let error = service.ready().await.unwrap_err();
    assert_eq!(error.to_string(), "the connection is gone");
}

/// Sends a request, and returns the future after it has completed.
async fn sent<S, B>(mut service: S, request: Request<B>) -> Pin<Box<S::Future>>
where
    S: Service<Request<B>, Response = Response<Empty<Bytes>>, Error = BoxError>,
{
    poll_fn(|context| service.poll_ready(context))
        .await
        .unwrap();
    let mut response = Box::pin(service.call(request));
    assert_eq!(response.as_mut().await.unwrap().status(), 200);
    response
}

#[tokio::test(start_paused = true)]
async fn the_copy_of_a_request_is_dropped_when_the_response_arrives() {
    let (server, provider) = (Server::answering([]), provider(&ScriptedIssuer::new()));
    provider.token().await.unwrap();
    let chunk = Bytes::from(vec![7; 16]);
    let cloned = Request::post(URL).body(Full::new(chunk.clone())).unwrap();
    let _response = sent(provider.layer().layer(server.clone()), cloned).await;
    server.arrived.lock().unwrap().clear();
    assert!(chunk.is_unique());

    let recorded = streamed(Stream::new(Full::new(chunk.clone())));
    let layer = provider.layer().replay(new_body);
    let _response = sent(layer.layer(server.clone()), recorded).await;
    server.arrived.lock().unwrap().clear();
    assert!(chunk.is_unique());
}
