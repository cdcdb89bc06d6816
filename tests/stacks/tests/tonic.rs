//! tonic's channel with the tower layer, and with an interceptor. A channel follows no redirects.

mod common;
#[path = "common/grpc.rs"]
mod grpc;

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use common::{BoxError, Site, in_time, lock};
use futures_util::{StreamExt as _, stream};
use grpc::{ECHO, Raw, WATCH};
use http::header::AUTHORIZATION;
use tonic::body::Body;
use tonic::client::{Grpc, GrpcService};
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Endpoint;
use tonic::{Code, Request, Status};
use tower::ServiceBuilder;

/// Makes a unary call, and returns the status that HTTP would have.
async fn get<S>(client: &Grpc<S>) -> Result<u16, BoxError>
where
    S: GrpcService<Body> + Clone,
    S::Error: Into<BoxError>,
    S::ResponseBody: http_body::Body<Data = Bytes> + Send + 'static,
    <S::ResponseBody as http_body::Body>::Error: Into<BoxError>,
{
    let mut client = client.clone();
    client.ready().await.map_err(Into::into)?;
    match client.unary(Request::new(Bytes::new()), ECHO, Raw).await {
        Ok(_) => Ok(200),
        Err(status) if status.code() == Code::Unauthenticated => Ok(401),
        Err(status) => Err(status.into()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_call_gets_the_token() -> Result<(), BoxError> {
    let site = Site::start().await;
    let url = grpc::start(&site).await;
    let provider = site.builder().origins([&url]).build()?;
    let channel = Endpoint::from_shared(url.clone())?.connect().await?;
    // The code of a user.
    let layer = provider.layer().replay(Body::new);
    let channel = ServiceBuilder::new().layer(layer).service(channel);
    let client = Grpc::with_origin(channel, url.parse()?); // JobsClient::with_origin
    // End.
    let call = async |_: String| get(&client).await;
    site.refreshes(&call).await;
    site.heals(&provider, true, &call).await;

    // A server stream gets the token at its begin, and outlives it.
    let mut watching = client.clone();
    watching.ready().await.unwrap();
    let stream = watching.server_streaming(Request::new(Bytes::new()), WATCH, Raw);
    let mut stream = in_time(stream).await.unwrap().into_inner();
    while let Some(id) = in_time(stream.message()).await.unwrap() {
        assert!(site.auth.token(std::str::from_utf8(&id).unwrap()).is_some());
    }
    assert_eq!(in_time(get(&client)).await.unwrap(), 200);
    assert_eq!(site.outcomes().expired, 0);

    // A call whose client is still streaming is not sent again, and the next one gets a newer token.
    let before = site.outcomes();
    let mut status = None;
    while status.is_none() {
        site.revoke(&provider);
        let mut chatting = client.clone();
        chatting.ready().await.unwrap();
        let messages = stream::once(async { Bytes::new() }).chain(stream::pending());
        status = in_time(chatting.streaming(Request::new(messages), ECHO, Raw))
            .await
            .err();
    }
    let status = status.unwrap();
    assert_eq!(status.code(), Code::Unauthenticated);
    site.secrets.are_not_in(&status);
    assert_eq!(site.outcomes().revoked, before.revoked + 1);
    assert_eq!(in_time(get(&client)).await.unwrap(), 200);

    site.ends(&provider, &call).await;
    (site.secrets).are_not_logged(&["everbearer", "h2", "hyper_util", "tonic"], &[]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_is_hidden_in_the_debug_output_of_a_request() {
    let site = Site::start().await;
    let url = grpc::start(&site).await;
    let provider = site.builder().origins([&url]).build().unwrap();
    let channel = Endpoint::from_shared(url.clone()).unwrap().connect_lazy();
    let shown = Arc::new(Mutex::new(String::new()));
    let it = Arc::clone(&shown);
    let channel = ServiceBuilder::new()
        .layer(provider.layer().replay(Body::new))
        .map_request(move |request: http::Request<Body>| {
            *lock(&it) = format!("{request:?}");
            request
        })
        .service(channel);
    let client = Grpc::with_origin(channel, url.parse().unwrap());
    assert_eq!(in_time(get(&client)).await.unwrap(), 200);
    let shown = lock(&shown);
    assert!(shown.contains(r#""authorization": Sensitive"#), "{shown}");
}

/// An interceptor is not async. It has the token in use, and does not see the response.
#[tokio::test(flavor = "multi_thread")]
async fn an_interceptor_adds_the_token_in_use() -> Result<(), BoxError> {
    let site = Site::start().await;
    let url = grpc::start(&site).await;
    let provider = site.builder().origins([&url]).build()?;
    let channel = Endpoint::from_shared(url)?.connect_lazy();
    let handle = provider.clone();
    // The code of a user.
    provider.ready().await?; // the first token, which the provider refreshes from then on
    let interceptor = move |mut request: Request<()>| {
        let token = handle.current();
        let token = token.ok_or_else(|| Status::unavailable("no valid token"))?;
        let headers = request.metadata_mut().as_mut();
        headers.insert(AUTHORIZATION, token.authorization().clone());
        Ok(request)
    };
    let client = InterceptedService::new(channel, interceptor); // JobsClient::with_interceptor
    // End.
    let client = Grpc::new(client);
    let call = async |_: String| -> Result<u16, BoxError> {
        let status = get(&client).await?;
        // The code of a user, for `Code::Unauthenticated`.
        if status == 401
            && let Some(token) = provider.current()
        {
            provider.invalidate(&token).await?;
        }
        // End.
        Ok(status)
    };
    site.refreshes(&call).await;
    site.heals(&provider, false, &call).await;
    (site.secrets).are_not_logged(&["everbearer", "h2"], &[]);
    Ok(())
}
