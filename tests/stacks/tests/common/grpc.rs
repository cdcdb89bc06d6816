//! A gRPC server without generated code.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, BufMut as _, Bytes};
use futures_util::{StreamExt as _, stream};
use http::uri::PathAndQuery;
use tokio::time::sleep;
use tonic::body::Body;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::server::Grpc;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};
use tower::service_fn;

use super::common::{Site, listen};

/// Answers each message with the ID of the token.
pub const ECHO: PathAndQuery = PathAndQuery::from_static("/jobs.Jobs/Echo");
/// Sends messages until the token has expired.
pub const WATCH: PathAndQuery = PathAndQuery::from_static("/jobs.Jobs/Watch");

/// Starts the server, and returns its URL.
pub async fn start(site: &Arc<Site>) -> String {
    let (listener, url) = listen().await;
    let site = Arc::clone(site);
    let service = service_fn(move |request| answer(Arc::clone(&site), request));
    let incoming = TcpIncoming::from(listener);
    tokio::spawn(Server::builder().serve_with_incoming(service, incoming));
    url
}

async fn answer(
    site: Arc<Site>,
    request: http::Request<Body>,
) -> Result<http::Response<Body>, Infallible> {
    let watches = request.uri().path() == WATCH.path();
    let begin = move |request: Request<Streaming<Bytes>>| {
        let site = Arc::clone(&site);
        async move {
            let id = site.admit(request.metadata().as_ref());
            let id = id.ok_or_else(|| Status::unauthenticated("invalid token"))?;
            let answer = Bytes::from(id.clone());
            if !watches {
                let messages = request.into_inner();
                let answers = messages.map(move |it| it.map(|_| answer.clone()));
                return Ok::<_, Status>(Response::new(answers.boxed()));
            }
            let next = move |was_live: bool| {
                let (site, id, answer) = (Arc::clone(&site), id.clone(), answer.clone());
                async move {
                    sleep(Duration::from_millis(50)).await;
                    was_live.then(|| (Ok(answer), site.auth.is_live(&id)))
                }
            };
            Ok(Response::new(stream::unfold(true, next).boxed()))
        }
    };
    Ok(Grpc::new(Raw).streaming(service_fn(begin), request).await)
}

/// A codec for messages of bytes.
#[derive(Clone, Copy)]
pub struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}
