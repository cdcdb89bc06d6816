//! One request of a reqwest client: with a token, and once more after a refusal.

use std::time::Duration;

use http::header::AUTHORIZATION;
use reqwest::{Request, Response, Url};

use super::buffered_response::BufferedResponse;
use super::refusal::refuses_token;
use super::request_rules::{RequestRules, Target, Wants};
use crate::clock::Moment;
use crate::error::Error;
use crate::provider::{Carried, RequestToken};

/// A request that was prepared for sending.
pub(super) struct Sent {
    carried: Carried,
    /// Which of the origins covers the request.
    origin: usize,
    /// The same request without the token, if it can be sent again.
    again: Option<Request>,
    deadline: Option<Moment>,
}

/// What to do after a refusal.
pub(super) enum After {
    Resend(Request),
    Return(Response),
}

/// Returns which of the origins covers a request that gets the token, or else what the request gets.
#[inline]
pub(super) fn origin_of(rules: &RequestRules, request: &Request) -> Result<usize, Wants> {
    rules.origin_of(target(request.url()), request.headers())
}

/// Returns the token of the request, and the request's deadline, which becomes its timeout.
#[inline]
pub(super) async fn token(
    rules: &RequestRules,
    request: &mut Request,
    timeout: Option<Duration>,
) -> Result<(RequestToken, Option<Moment>), Error> {
    let limit = request.timeout().copied().or(timeout);
    let deadline = limit.map(|limit| rules.provider.now() + limit);
    let token = match rules.provider.token_at_once() {
        Some(token) => token,
        // Rarely polled, and boxed to keep each request's future small.
        None => Box::pin(rules.provider.token_before(deadline)).await?,
    };
    if let Some(deadline) = deadline {
        bound(rules, request, deadline);
    }
    Ok((token, deadline))
}

impl Sent {
    /// Adds the token to the request. Not a part of [`token`], since each function that returns the copy moves it.
    #[inline]
    pub(super) fn new(
        request: &mut Request,
        (token, deadline): (RequestToken, Option<Moment>),
        origin: usize,
        resend: bool,
    ) -> Self {
        // The copy is most of the cost of a request's token.
        let again = if resend { request.try_clone() } else { None };
        let carried = token.carried;
        let header = token.into_header();
        request.headers_mut().insert(AUTHORIZATION, header);
        Self {
            carried,
            origin,
            again,
            deadline,
        }
    }
}

/// Returns whether the response refuses the token. reqwest removes the token from a redirect to another origin.
#[inline]
pub(super) fn is_refusal(rules: &RequestRules, sent: &Sent, response: &Response) -> bool {
    response.status().is_client_error()
        && rules.is_covered_by(sent.origin, target(response.url()))
        && refuses_token(&rules.refusals, response.status(), response.headers())
}

/// Warns if the answer to a request that no origin covers is a 401.
pub(super) fn note_if_refused(rules: &RequestRules, response: &Response) {
    rules.note_if_refused(target(response.url()), response.status());
}

/// Reports the refused token, and waits for a newer one. The refusal is returned if the request cannot be
/// sent again, if it was redirected, or if there is no newer token, since it is more informative than the
/// provider's error. Its body is read meanwhile, and the rest is discarded before the request is sent
/// again, which frees the connection.
pub(super) async fn after_refusal(rules: &RequestRules, sent: Sent, refusal: Response) -> After {
    let Sent {
        carried,
        again,
        deadline,
        ..
    } = sent;
    let again = again.filter(|again| is_same(again.url(), refusal.url()));
    let mut refusal = BufferedResponse::new(refusal);
    let mut newer = Box::pin(
        rules
            .provider
            .newer_token(carried, again.is_some(), deadline),
    );
    let newer = tokio::select! {
        biased;
        newer = &mut newer => newer,
        () = refusal.read() => newer.await,
    };
    let left = deadline.map(|deadline| deadline.since(rules.provider.now()));
    let is_over = left.is_some_and(|left| left.is_zero());
    if let Some((newer, mut request)) = newer.zip(again)
        && !is_over
    {
        refusal.discard(left.map(|left| left / 4)).await;
        if let Some(deadline) = deadline {
            bound(rules, &mut request, deadline);
        }
        request
            .headers_mut()
            .insert(AUTHORIZATION, newer.into_header());
        rules.provider.note_resend();
        return After::Resend(request);
    }
    refusal.read_soon().await;
    After::Return(refusal.into_response())
}

/// Sets the timeout of the request to the time until the deadline.
fn bound(rules: &RequestRules, request: &mut Request, deadline: Moment) {
    *request.timeout_mut() = Some(deadline.since(rules.provider.now()));
}

#[inline]
fn target(url: &Url) -> Target<'_> {
    Target {
        scheme: url.scheme(),
        host: url.host_str().unwrap_or_default(),
        port: url.port(),
    }
}

/// Returns whether an answer from `answered` is the answer to a request to `asked`, without a redirect.
fn is_same(asked: &Url, answered: &Url) -> bool {
    asked.scheme() == answered.scheme()
        && asked.host() == answered.host()
        && asked.port_or_known_default() == answered.port_or_known_default()
        && asked.path() == answered.path()
        && asked.query() == answered.query()
}
