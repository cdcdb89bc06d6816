//! axum as a reverse proxy that adds the token.

mod common;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::routing::post;
use bytes::Bytes;
use common::{BoxError, Site, in_time, listen, serve};
use everbearer::TokenProvider;
use everbearer::testkit::{Endpoint, Fault};
use futures_util::{Stream, StreamExt as _, stream};
use http::StatusCode;
use http::header::HOST;
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::sync::Notify;
use tower::{ServiceBuilder, ServiceExt as _};

// The code of a user.
/// Forwards each request to the upstream server with the token, in place of the caller's own `Authorization`.
fn proxy(provider: &TokenProvider, upstream: String) -> Router {
    let client = Client::builder(TokioExecutor::new()).build_http::<Body>();
    let layer = provider.layer().overwrite(true).replay(Body::new);
    let client = ServiceBuilder::new().layer(layer).service(client);
    Router::new().fallback(move |mut request: Request| async move {
        let path = request.uri().path_and_query().map_or("/", |it| it.as_str());
        let uri = format!("{upstream}{path}").parse();
        *request.uri_mut() = uri.map_err(|_| StatusCode::BAD_REQUEST)?;
        request.headers_mut().remove(HOST);
        let response = client.oneshot(request).await;
        let response = response.map_err(|_| StatusCode::BAD_GATEWAY)?;
        Ok::<_, StatusCode>(response.map(Body::new))
    })
}
// End.

/// Starts a proxy in front of this upstream server.
async fn start(provider: &TokenProvider, upstream: &str) -> String {
    let (listener, url) = listen().await;
    serve(listener, proxy(provider, upstream.to_owned()));
    url
}

fn body(frames: impl Stream<Item = Bytes> + Send + Sync + 'static) -> reqwest::Body {
    let frames = frames.map(|it| Ok::<_, BoxError>(Frame::data(it)));
    reqwest::Body::wrap(StreamBody::new(frames))
}

#[tokio::test(flavor = "multi_thread")]
async fn each_forwarded_request_gets_the_token() {
    let site = Site::start().await;
    let provider = site.builder().build().unwrap();
    let jobs = format!("http://{}", site.auth.addr());
    let to_jobs = start(&provider, &jobs).await;
    let to_api = start(&provider, &site.api).await;
    let redirects = reqwest::redirect::Policy::none();
    let caller = reqwest::Client::builder().redirect(redirects);
    let caller = caller.build().unwrap();
    let call = async |url: String| -> Result<u16, BoxError> {
        let url = url.replace(&jobs, &to_jobs).replace(&site.api, &to_api);
        let parts = [Bytes::from("a long "), Bytes::from("job")];
        let request = caller.post(url).body(body(stream::iter(parts)));
        let response = request.bearer_auth("of-the-caller").send().await?;
        let status = response.status().as_u16();
        let text = response.text().await?;
        assert!(status != 200 || text.contains("\"bytes\":10"), "{text}");
        Ok(status)
    };
    site.refreshes(&call).await;
    // The body is sent again, too.
    site.heals(&provider, true, &call).await;
    // The proxy passes a redirect on to the caller.
    site.redirects(false, &call).await;

    site.auth.fault_always(Endpoint::Jobs, Fault::LoseResponse);
    let url = site.auth.url("/jobs");
    assert_eq!(in_time(call(url.clone())).await.unwrap(), 502);
    site.auth.clear_faults();
    assert!(provider.shutdown().await.all_revoked());
    assert_eq!(in_time(call(url)).await.unwrap(), 502);
    let crates = ["everbearer", "hyper_util", "reqwest"];
    (site.secrets).are_not_logged(&crates, &[]);
}

/// The caller sends the second part of the body when the upstream server has received the first one.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_is_forwarded_while_it_arrives() {
    let site = Site::start().await;
    let first_arrived = Arc::new(Notify::new());
    let arrived = Arc::clone(&first_arrived);
    let upload = async move |mut body: Body| {
        let first = body.frame().await.unwrap().unwrap();
        arrived.notify_one();
        let rest = body.collect().await.unwrap().to_bytes();
        [first.into_data().unwrap(), rest].concat()
    };
    let (listener, upstream) = listen().await;
    serve(listener, Router::new().route("/upload", post(upload)));
    let provider = site.builder().origins([&upstream]).build().unwrap();
    let proxy = start(&provider, &upstream).await;
    let second = async move {
        first_arrived.notified().await;
        Bytes::from("second")
    };
    let parts = stream::iter([Bytes::from("first ")]).chain(stream::once(second));
    let request = reqwest::Client::new().post(format!("{proxy}/upload"));
    let response = in_time(request.body(body(parts)).send()).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.text().await.unwrap(), "first second");
}
