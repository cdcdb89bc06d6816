//! Which requests are given a token, whose header wins, and what happens after a refusal.

use std::sync::Arc;
use std::time::Duration;

use http::header::{AUTHORIZATION, HeaderValue, WWW_AUTHENTICATE};
use http::{HeaderMap, StatusCode};
use reqwest::{Request, Response, Url};

use super::challenge::has_param;
use super::refusal::Refusal;
use crate::clock::Moment;
use crate::error::{Error, ErrorKind};
use crate::machine::Generation;
use crate::origin::Origin;
use crate::provider::{Replacement, TokenProvider};

/// How long the refusal of a request that is not sent again is held back for the newer token.
const HOLD: Duration = Duration::from_secs(5);

#[derive(Clone, Debug)]
pub(super) struct Rules {
    pub(super) origins: Arc<[Origin]>,
    pub(super) refusals: Arc<[StatusCode]>,
    pub(super) overwrite: bool,
    pub(super) resend: bool,
    pub(super) timeout: Option<Duration>,
}

/// A request that was prepared for sending.
pub(super) struct Sent {
    generation: Generation,
    /// Which of the origins covers the request.
    origin: usize,
    /// The same request without the token, if it can be sent again.
    again: Option<Request>,
    deadline: Option<Moment>,
}

/// What the middleware adds to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Want {
    /// A token for this one of the origins.
    Token(usize),
    /// No token, because no origin covers the request.
    Origin,
    /// Nothing, because it has an `Authorization` header or is part of an exchange.
    Nothing,
}

/// What to do after a refusal.
pub(super) enum After {
    Resend(Request),
    Return(Response),
}

impl Rules {
    pub(super) fn of(provider: &TokenProvider) -> Self {
        Self {
            origins: provider.shared_origins(),
            refusals: provider.shared_refusals(),
            overwrite: false,
            resend: true,
            timeout: None,
        }
    }

    /// Returns what the request is to be given.
    #[inline]
    pub(super) fn want(&self, provider: &TokenProvider, request: &Request) -> Want {
        let has_own = request.headers().contains_key(AUTHORIZATION);
        let covers = |origin: &Origin| origin.covers(request.url());
        let Some(origin) = self.origins.iter().position(covers) else {
            if has_own || provider.is_exchanging_here() {
                return Want::Nothing;
            }
            provider.note_uncovered(&request.url().origin().ascii_serialization());
            return Want::Origin;
        };
        if has_own && !self.overwrite || provider.is_exchanging_here() {
            return Want::Nothing;
        }
        Want::Token(origin)
    }

    /// Puts the token on the request. Rarely polled futures are boxed to keep each request's future small.
    #[inline]
    pub(super) async fn prepare(
        &self,
        provider: &TokenProvider,
        request: &mut Request,
        origin: usize,
    ) -> Result<Sent, Error> {
        let limit = request.timeout().copied().or(self.timeout);
        let deadline = limit.map(|limit| provider.now() + limit);
        let (header, generation) = if let Some(header) = provider.header_at_once() {
            header
        } else {
            Box::pin(wait_for_header(provider, Generation(0), deadline)).await?
        };
        if let Some(deadline) = deadline {
            bound(provider, request, deadline);
        }
        // The copy is the larger part of what all this costs.
        let again = if self.resend {
            request.try_clone()
        } else {
            None
        };
        request.headers_mut().insert(AUTHORIZATION, header);
        Ok(Sent {
            generation,
            origin,
            again,
            deadline,
        })
    }

    /// Returns whether the response says that the token was not accepted. reqwest removes the token from a
    /// redirect to another origin.
    #[inline]
    pub(super) fn is_refusal(&self, sent: &Sent, response: &Response) -> bool {
        let status = response.status();
        let origin = self.origins.get(sent.origin);
        status.is_client_error()
            && origin.is_some_and(|origin| origin.covers(response.url()))
            && self.refuses_token(status, response.headers())
    }

    /// A new token does not help where the old one grants too little (RFC 6750, section 3.1).
    fn refuses_token(&self, status: StatusCode, headers: &HeaderMap) -> bool {
        let challenges = headers.get_all(WWW_AUTHENTICATE);
        let names = |code| {
            let mut challenges = challenges.iter();
            challenges.any(|header| has_param(header.as_bytes(), "error", code))
        };
        let is_listed = self.refusals.contains(&status);
        let may_name = status == StatusCode::UNAUTHORIZED || status == StatusCode::FORBIDDEN;
        (is_listed || may_name && names("invalid_token")) && !names("insufficient_scope")
    }
}

/// Warns if the answer to a request that no origin covers is a 401.
pub(super) fn note_if_refused(provider: &TokenProvider, response: &Response) {
    if response.status() == StatusCode::UNAUTHORIZED {
        provider.note_uncovered_refusal(&response.url().origin().ascii_serialization());
    }
}

/// Reports the refused token, and waits for a newer one. The refusal is returned if the request cannot be
/// sent again, if it was redirected, or if there is no newer token, since it is more informative than the
/// provider's error. Its body is read meanwhile, and the rest is discarded before the request is sent
/// again, which frees the connection.
pub(super) async fn after_refusal(
    provider: &TokenProvider,
    sent: Sent,
    refusal: Response,
) -> After {
    let Sent {
        generation,
        again,
        deadline,
        ..
    } = sent;
    let again = again.filter(|again| is_same(again.url(), refusal.url()));
    let replacement = provider.deny(generation);
    let mut refusal = Refusal::new(refusal);
    let is_too_late = |at: Moment| deadline.is_some_and(|deadline| deadline < at);
    let waits = match replacement {
        Replacement::None => false,
        Replacement::Later(at) => again.is_some() && !at.is_some_and(is_too_late),
        Replacement::Soon => true,
    };
    let hold = again.is_none().then(|| provider.now() + HOLD);
    let wait_until = [deadline, hold].into_iter().flatten().min();
    let mut newer = None;
    if waits {
        let mut header = Box::pin(wait_for_header(provider, generation, wait_until));
        let outcome = tokio::select! {
            biased;
            outcome = &mut header => outcome,
            () = refusal.read() => header.await,
        };
        newer = outcome.ok();
    }
    let left = deadline.map(|deadline| deadline.since(provider.now()));
    let is_over = left.is_some_and(|left| left.is_zero());
    if let Some(((header, _), mut request)) = newer.zip(again)
        && !is_over
    {
        refusal.discard(left.map(|left| left / 4)).await;
        if let Some(deadline) = deadline {
            bound(provider, &mut request, deadline);
        }
        request.headers_mut().insert(AUTHORIZATION, header);
        provider.note_resend();
        return After::Resend(request);
    }
    refusal.read_soon().await;
    After::Return(refusal.into_response())
}

/// Gives the request what is left until the deadline.
fn bound(provider: &TokenProvider, request: &mut Request, deadline: Moment) {
    *request.timeout_mut() = Some(deadline.since(provider.now()));
}

/// Waits until the deadline at most.
async fn wait_for_header(
    provider: &TokenProvider,
    newer_than: Generation,
    deadline: Option<Moment>,
) -> Result<(HeaderValue, Generation), Error> {
    let header = provider.header_newer_than(newer_than);
    let Some(deadline) = deadline else {
        return header.await;
    };
    let left = deadline.since(provider.now());
    let outcome = tokio::time::timeout(left, header).await;
    outcome.unwrap_or_else(|_| {
        Err(Error::new(
            ErrorKind::WaitTimeout,
            "no token within the request's own timeout; the attempts go on",
        ))
    })
}

/// Returns whether an answer from `answered` is the answer to a request to `asked`, without a redirect.
fn is_same(asked: &Url, answered: &Url) -> bool {
    asked.scheme() == answered.scheme()
        && asked.host() == answered.host()
        && asked.port_or_known_default() == answered.port_or_known_default()
        && asked.path() == answered.path()
        && asked.query() == answered.query()
}
