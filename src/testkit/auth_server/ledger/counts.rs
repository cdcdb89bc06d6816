//! What has happened, in numbers.

use crate::testkit::auth_server::faults::Endpoint;
use crate::testkit::auth_server::refusal::{Reason, Refusal};

/// What the server has done since it was started.
///
/// A request is in here before its response is on the way, so a client that has read a response can
/// rely on the numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// `POST /auth/tokens/long`.
    pub long_term: EndpointCounts,
    /// `POST /auth/tokens/short`.
    pub short_term: EndpointCounts,
    /// `POST /auth/tokens/{tokenId}/revoke`.
    pub revoke: EndpointCounts,
    /// `GET` and `POST /jobs`.
    pub jobs: EndpointCounts,
    /// Long-term tokens issued, those whose response was lost on purpose included.
    pub long_term_issued: u64,
    /// Short-term tokens minted, those whose response was lost on purpose included.
    pub exchanges_succeeded: u64,
    /// The highest number of requests to `POST /auth/tokens/short` in progress at the same time.
    pub max_concurrent_exchanges: u64,
    /// Tokens that clients have revoked; repeating it for the same token does not count.
    pub revocations: u64,
    /// How requests to `/jobs` ended. Those that a [`Fault`](crate::testkit::Fault) answered are not
    /// in here.
    pub jobs_outcomes: JobsCounts,
}

/// Requests to one endpoint, faults included. A wrong method does not reach an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct EndpointCounts {
    /// Requests that came in.
    pub requests: u64,
    /// Those of them that are being served, delayed or left hanging at this moment.
    pub in_progress: u64,
    /// Responses with a status from 200 to 299.
    pub successes: u64,
    /// Responses with a status from 300 to 399.
    pub redirections: u64,
    /// Responses with a status from 400 to 499.
    pub client_errors: u64,
    /// Responses with a status from 500 on.
    pub server_errors: u64,
}

/// Requests to `/jobs` by what became of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct JobsCounts {
    /// Answered 200.
    pub served: u64,
    /// Refused for want of a bearer token.
    pub without_token: u64,
    /// Refused because the token had expired.
    pub expired: u64,
    /// Refused because the token had been revoked.
    pub revoked: u64,
    /// Refused because the token was not one of this server's short-term tokens, was tampered with,
    /// or was not valid yet.
    pub invalid: u64,
    /// Refused with 403 because the token lacks the scope.
    pub forbidden: u64,
}

impl EndpointCounts {
    /// Requests that ended without a whole response: cut off by a
    /// [`Fault`](crate::testkit::Fault), or given up by the client.
    pub fn unanswered(&self) -> u64 {
        let answered = self.successes + self.redirections + self.client_errors + self.server_errors;
        self.requests.saturating_sub(answered + self.in_progress)
    }

    fn add_response(&mut self, status: http::StatusCode) {
        match status.as_u16() {
            ..=299 => self.successes += 1,
            300..=399 => self.redirections += 1,
            400..=499 => self.client_errors += 1,
            500.. => self.server_errors += 1,
        }
    }
}

impl JobsCounts {
    pub(super) fn count<T>(&mut self, outcome: &Result<T, Refusal>) {
        let Err(refusal) = outcome else {
            self.served += 1;
            return;
        };
        match refusal.reason {
            Reason::MissingToken => self.without_token += 1,
            Reason::ExpiredToken => self.expired += 1,
            Reason::RevokedToken => self.revoked += 1,
            Reason::InsufficientScope { .. } => self.forbidden += 1,
            _ => self.invalid += 1,
        }
    }
}

impl Counts {
    pub(crate) fn begin(&mut self, endpoint: Endpoint) {
        let counts = self.of(endpoint);
        counts.requests += 1;
        counts.in_progress += 1;
        let exchanges = self.short_term.in_progress;
        self.max_concurrent_exchanges = self.max_concurrent_exchanges.max(exchanges);
    }

    pub(crate) fn answer(&mut self, endpoint: Endpoint, status: http::StatusCode) {
        self.of(endpoint).add_response(status);
    }

    pub(crate) fn end(&mut self, endpoint: Endpoint) {
        let counts = self.of(endpoint);
        counts.in_progress = counts.in_progress.saturating_sub(1);
    }

    fn of(&mut self, endpoint: Endpoint) -> &mut EndpointCounts {
        match endpoint {
            Endpoint::LongTerm => &mut self.long_term,
            Endpoint::ShortTerm => &mut self.short_term,
            Endpoint::Revoke => &mut self.revoke,
            Endpoint::Jobs => &mut self.jobs,
        }
    }
}
