//! A WebSocket client that connects again before its token expires. tokio-tungstenite follows no redirects.

mod common;

use std::mem;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{BoxError, Site, in_time, listen, lock};
use everbearer::{ShortTermToken, TokenProvider};
use futures_util::{SinkExt as _, StreamExt as _};
use http::StatusCode;
use http::header::AUTHORIZATION;
use tokio::net::TcpStream;
use tokio::sync::mpsc::{Receiver, channel};
use tokio::time::sleep;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, accept_hdr_async, connect_async};

/// tungstenite logs the handshake with its headers at the level TRACE.
const LOGS_THE_TOKEN: &str = "tungstenite::handshake::client";

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

// The code of a user.
/// Sends the messages of the queue, and passes on what arrives.
async fn run(
    provider: &TokenProvider,
    url: &str,
    queue: &mut Receiver<Message>,
    mut receive: impl FnMut(Message),
) -> Result<(), BoxError> {
    let (mut socket, mut token) = connect(provider, url).await?;
    loop {
        tokio::select! {
            message = queue.recv() => match message {
                Some(message) => socket.send(message).await?,
                None => return close(socket, receive).await,
            },
            message = socket.next() => match message {
                Some(message) => receive(message?),
                None => (socket, token) = connect(provider, url).await?,
            },
            // The provider has another token.
            changed = provider.changed(&token) => {
                changed?;
                let (newer, its_token) = connect(provider, url).await?;
                let old = mem::replace(&mut socket, newer);
                token = its_token;
                close(old, &mut receive).await?;
            }
        }
    }
}

/// Receives what the server sends until it has read all messages and answers the close frame.
async fn close(mut socket: Socket, mut receive: impl FnMut(Message)) -> Result<(), BoxError> {
    socket.close(None).await?;
    while let Some(message) = socket.next().await {
        receive(message?);
    }
    Ok(())
}

/// Connects with the token in use, and once more with a newer one if the server refuses it.
async fn connect(
    provider: &TokenProvider,
    url: &str,
) -> Result<(Socket, ShortTermToken), BoxError> {
    let token = provider.token().await?;
    match handshake(url, &token).await {
        Err(Error::Http(response)) if response.status() == StatusCode::UNAUTHORIZED => {
            let token = provider.invalidate(&token).await?;
            Ok((handshake(url, &token).await?, token))
        }
        socket => Ok((socket?, token)),
    }
}

async fn handshake(url: &str, token: &ShortTermToken) -> Result<Socket, Error> {
    let mut request = url.into_client_request()?;
    let header = token.authorization().clone();
    request.headers_mut().insert(AUTHORIZATION, header);
    Ok(connect_async(request).await?.0)
}
// End.

/// What the server has received, and how many connections it has had.
#[derive(Default)]
struct Received {
    messages: Vec<String>,
    connections: usize,
}

/// Answers each message, until the token of the connection is not valid any more.
async fn serve(site: Arc<Site>, stream: TcpStream, received: Arc<Mutex<Received>>) {
    let mut id = None;
    #[expect(clippy::result_large_err, reason = "the signature of the callback")]
    let check = |request: &Request, response: Response| {
        id = site.admit(request.headers());
        id.as_ref().map(|_| response).ok_or_else(|| {
            let refusal = Response::builder().status(StatusCode::UNAUTHORIZED);
            refusal.body(None).unwrap()
        })
    };
    let Ok(mut socket) = accept_hdr_async(stream, check).await else {
        return;
    };
    let id = id.unwrap();
    lock(&received).connections += 1;
    loop {
        tokio::select! {
            biased;
            message = socket.next() => match message {
                Some(Ok(Message::Text(text))) if site.accepts(&id) => {
                    lock(&received).messages.push(text.to_string());
                    socket.send(Message::Text(text)).await.unwrap();
                }
                Some(Ok(Message::Close(_))) => {}
                _ => return,
            },
            () = sleep(Duration::from_millis(50)) => if !site.accepts(&id) {
                return;
            },
        }
    }
}

/// Starts the server, and returns its URL.
async fn start(site: &Arc<Site>) -> (String, Arc<Mutex<Received>>) {
    let (listener, url) = listen().await;
    let (site, received) = (Arc::clone(site), Arc::<Mutex<Received>>::default());
    let it = Arc::clone(&received);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(Arc::clone(&site), stream, Arc::clone(&it)));
        }
    });
    (url.replace("http:", "ws:"), received)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_message_is_lost_between_two_connections() -> Result<(), BoxError> {
    let site = Site::start().await;
    let provider = site.builder().build()?;
    let (url, received) = start(&site).await;
    let (sender, mut queue) = channel(16);
    let sending = async {
        let mut sent = Vec::new();
        while !site.has_refreshed(site.auth.client_id()) || lock(&received).connections < 4 {
            let message = sent.len().to_string();
            sender.send(Message::text(&message)).await.unwrap();
            sent.push(message);
            sleep(Duration::from_millis(5)).await;
        }
        drop(sender);
        Ok(sent)
    };
    let mut echoes = Vec::new();
    let receive = |message| {
        if let Message::Text(text) = message {
            echoes.push(text.to_string());
        }
    };
    let running = run(&provider, &url, &mut queue, receive);
    let (sent, ()) = in_time(async { tokio::try_join!(sending, running) }).await?;
    let received = lock(&received);
    assert_eq!(received.messages, sent);
    assert_eq!(echoes, sent);
    let outcomes = site.outcomes();
    assert_eq!(outcomes.served, received.connections as u64);
    assert_eq!(
        (outcomes.expired, outcomes.revoked, outcomes.invalid),
        (0, 0, 0)
    );
    (site.secrets).are_not_logged(&["everbearer", "tungstenite"], &[LOGS_THE_TOKEN]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_handshake_is_made_again_with_a_newer_token() -> Result<(), BoxError> {
    let site = Site::start().await;
    let provider = site.builder().build()?;
    let (url, _) = start(&site).await;
    let call = async |_: String| -> Result<u16, BoxError> {
        let (socket, _) = connect(&provider, &url).await?;
        close(socket, |_| ()).await?;
        Ok(200)
    };
    site.heals(&provider, true, &call).await;
    let redirecting = format!("{}/away", site.api).replace("http:", "ws:");
    let error = connect(&provider, &redirecting).await.unwrap_err();
    site.secrets.are_not_in(&*error);
    assert!(error.to_string().contains("307"), "{error}");
    site.ends(&provider, &call).await;
    (site.secrets).are_not_logged(&["everbearer", "tungstenite"], &[LOGS_THE_TOKEN]);
    Ok(())
}
