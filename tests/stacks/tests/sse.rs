//! Server-sent events by reqwest, with another connection before the token expires.

mod common;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use common::{BoxError, Site, in_time, listen, serve, until};
use everbearer::{Error, ErrorKind, RequestBuilderExt as _, TokenProvider};
use futures_util::stream;
use http::{HeaderMap, StatusCode};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::sleep;

// The code of a user.
/// Passes on the data of each event. Each connection continues after the last event of the earlier one.
async fn follow(
    client: &reqwest::Client,
    provider: &TokenProvider,
    url: &str,
    events: &UnboundedSender<String>,
) -> Result<(), BoxError> {
    let mut last_id = String::new();
    loop {
        // Before the request, which is sent with this token or with a newer one.
        let token = provider.token().await?;
        let request = client.get(url).header("last-event-id", &last_id);
        let mut response = request.send_with(provider).await?.error_for_status()?;
        let mut buffer = Vec::new();
        loop {
            tokio::select! {
                chunk = response.chunk() => match chunk {
                    Ok(Some(chunk)) => buffer.extend_from_slice(&chunk),
                    Ok(None) | Err(_) => {
                        sleep(Duration::from_millis(100)).await;
                        break;
                    }
                },
                // The provider has another token.
                changed = provider.changed(&token) => {
                    changed?;
                    break;
                }
            }
            while let Some(end) = buffer.windows(2).position(|it| it == b"\n\n") {
                let event: Vec<u8> = buffer.drain(..end + 2).collect();
                for line in std::str::from_utf8(&event)?.lines() {
                    match line.split_once(": ") {
                        Some(("id", id)) => last_id = id.to_owned(),
                        Some(("data", data)) => events.send(data.to_owned())?,
                        _ => {}
                    }
                }
            }
        }
    }
}
// End.

/// Sends an event with each number after the last ID, in two parts, until the token is not valid any more.
fn events(site: Arc<Site>, headers: &HeaderMap) -> Response {
    let Some(id) = site.admit(headers) else {
        return StatusCode::UNAUTHORIZED.into_response();
    };
    let last = headers["last-event-id"].to_str().unwrap();
    let last: u64 = last.parse().unwrap_or(0);
    let body = stream::unfold(2 * last + 2, move |half| {
        let (site, id) = (Arc::clone(&site), id.clone());
        async move {
            sleep(Duration::from_millis(7)).await;
            let number = half / 2;
            let text = if half % 2 == 0 {
                format!("id: {number}\n")
            } else {
                format!("data: event {number}\n\n")
            };
            let sent = site.accepts(&id).then_some(text);
            Some((sent.ok_or("the token is not valid any more"), half + 1))
        }
    });
    Body::from_stream(body).into_response()
}

/// Receives events until this is so, and checks that each one arrives once, after the one before.
async fn receive(
    events: &mut UnboundedReceiver<String>,
    count: &mut usize,
    is_enough: impl Fn() -> bool,
) {
    while !is_enough() {
        let event = in_time(events.recv()).await.unwrap();
        *count += 1;
        assert_eq!(event, format!("event {count}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_event_arrives_once() -> Result<(), BoxError> {
    let site = Site::start().await;
    let it = Arc::clone(&site);
    let handler = get(async move |headers: HeaderMap| events(Arc::clone(&it), &headers));
    let (listener, origin) = listen().await;
    serve(listener, Router::new().route("/events", handler));
    let url = format!("{origin}/events");
    let origins = [&origin, &site.api];
    let provider = site.builder().origins(origins).build()?;
    let (sender, mut receiver) = unbounded_channel();
    let (following, client) = (provider.clone(), reqwest::Client::new());
    let following = tokio::spawn(async move {
        let outcome = follow(&client, &following, &url, &sender).await;
        outcome.unwrap_err()
    });
    let mut count = 0;
    let has_refreshed = || site.has_refreshed(site.auth.client_id()) && site.outcomes().served >= 4;
    receive(&mut receiver, &mut count, has_refreshed).await;
    let before = site.outcomes();
    assert_eq!((before.expired, before.revoked, before.invalid), (0, 0, 0));

    // The server ends the stream of a revoked token, and refuses the token in the next request.
    let is_refused = || {
        site.revoke(&provider);
        site.outcomes().revoked > 0
    };
    receive(&mut receiver, &mut count, is_refused).await;
    let refused = site.outcomes();
    let has_healed = || site.outcomes().served > refused.served;
    receive(&mut receiver, &mut count, has_healed).await;
    let after = site.outcomes();
    assert_eq!((after.expired, after.invalid), (0, 0));

    assert!(in_time(provider.shutdown()).await.all_revoked());
    let error = in_time(following).await?;
    site.secrets.are_not_in(&*error);
    let cause = Error::find_in(&*error).map(Error::kind);
    assert_eq!(cause, Some(ErrorKind::ShutDown));
    (site.secrets).are_not_logged(&["everbearer", "reqwest"], &[]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_does_not_carry_the_token_to_another_origin() -> Result<(), BoxError> {
    let site = Site::start().await;
    let provider = site.builder().build()?;
    let (sender, _receiver) = unbounded_channel();
    let client = reqwest::Client::new();
    let call = async |url: String| -> Result<u16, BoxError> {
        tokio::select! {
            outcome = follow(&client, &provider, &url, &sender) => outcome.map(|()| 0),
            () = until(|| !site.at_foreign().is_empty()) => Ok(200),
        }
    };
    site.redirects(true, &call).await;
    Ok(())
}
