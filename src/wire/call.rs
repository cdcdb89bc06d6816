//! One call to the auth server. It reads a bounded answer and follows no redirect. A call without a one-time code or an
//! assertion is repeated once on another connection.

use std::error::Error as StdError;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
#[cfg(feature = "auth-api")]
use http::header::AUTHORIZATION;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, IntoHeaderName,
};
use reqwest::{Body, Method, Request, Url};
#[cfg(feature = "auth-api")]
use serde::Serialize;
use zeroize::Zeroizing;

use super::answer::{Answer, redirected};
use super::connection::Connection;
#[cfg(feature = "oauth2")]
use super::form::Form;
use crate::error::{Error, ErrorKind};
#[cfg(feature = "auth-api")]
use crate::secret::BearerToken;
use crate::secret::Secret;

/// How many bytes of an answer are read at most.
const LONGEST_ANSWER: usize = 1024 * 1024;
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const IDENTITY: HeaderValue = HeaderValue::from_static("identity");

pub(crate) struct Call<'a> {
    operation: &'static str,
    method: Method,
    url: Url,
    headers: HeaderMap,
    body: Option<Bytes>,
    is_repeatable: bool,
    /// The secrets of the request, which errors must not repeat.
    secrets: Vec<&'a str>,
}

impl<'a> Call<'a> {
    pub(crate) fn post(operation: &'static str, url: Url) -> Self {
        Self::new(operation, Method::POST, url)
    }

    #[cfg(feature = "oauth2")]
    pub(crate) fn get(operation: &'static str, url: Url) -> Self {
        Self::new(operation, Method::GET, url)
    }

    fn new(operation: &'static str, method: Method, url: Url) -> Self {
        Self {
            operation,
            method,
            url,
            // reqwest decodes a compressed answer only if the application enables that.
            headers: HeaderMap::from_iter([(ACCEPT, JSON), (ACCEPT_ENCODING, IDENTITY)]),
            body: None,
            is_repeatable: false,
            secrets: Vec::new(),
        }
    }

    #[cfg(feature = "oauth2")]
    pub(crate) fn form(mut self, form: &'a Form) -> Self {
        self.headers.insert(CONTENT_TYPE, Form::TYPE);
        self.body = Some(Bytes::from_owner(form.encoded()));
        self.hiding(form.secrets())
    }

    #[cfg(feature = "auth-api")]
    pub(crate) fn json(mut self, body: &impl Serialize) -> Result<Self, Error> {
        let json = serde_json::to_vec(body).map_err(|_| {
            Error::own(
                ErrorKind::Config,
                "the request cannot be serialized as JSON",
            )
        })?;
        self.headers.insert(CONTENT_TYPE, JSON);
        self.body = Some(Bytes::from_owner(Zeroizing::new(json)));
        Ok(self)
    }

    /// Sends this token as the `Authorization` of the call.
    #[cfg(feature = "auth-api")]
    pub(crate) fn authorized(mut self, token: &'a BearerToken) -> Self {
        self.headers.insert(AUTHORIZATION, token.header().clone());
        self.secrets.push(token.expose());
        self
    }

    pub(crate) fn header(mut self, name: impl IntoHeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// Keeps these secrets of the request out of errors.
    pub(crate) fn hiding(mut self, secrets: impl IntoIterator<Item = &'a Secret>) -> Self {
        self.secrets.extend(secrets.into_iter().map(Secret::expose));
        self
    }

    /// Repeats the call once if its connection breaks before an answer begins, since the server may have closed a
    /// kept-alive connection. Not for calls with a one-time code or an assertion.
    pub(crate) const fn repeatable(mut self) -> Self {
        self.is_repeatable = true;
        self
    }

    pub(crate) async fn send(self, connection: &Connection) -> Result<Answer<'a>, Error> {
        let outcome = tokio::time::timeout(connection.timeout, self.exchange(connection)).await;
        outcome.unwrap_or_else(|_| Err(self.timed_out(connection.timeout)))
    }

    async fn exchange(&self, connection: &Connection) -> Result<Answer<'a>, Error> {
        let mut outcome = connection.http.execute(self.request()).await;
        if self.is_repeatable && outcome.as_ref().is_err_and(is_broken_connection) {
            outcome = connection.repeating().execute(self.request()).await;
        }
        let mut response = outcome.map_err(|error| self.unreachable(error))?;
        if *response.url() != self.url {
            return Err(redirected(self.operation, response.status()));
        }
        let mut body = Zeroizing::new(Vec::new());
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| self.unreachable(error))?
        {
            if body.len() + chunk.len() > LONGEST_ANSWER {
                return Err(Error::own(
                    ErrorKind::Protocol,
                    format!("{}: the answer is longer than 1 MiB", self.operation),
                ));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer {
            operation: self.operation,
            status: response.status(),
            headers: std::mem::take(response.headers_mut()),
            body,
            secrets: self.secrets.clone(),
        })
    }

    fn request(&self) -> Request {
        let mut request = Request::new(self.method.clone(), self.url.clone());
        *request.headers_mut() = self.headers.clone();
        if let Some(json) = &self.body {
            // reqwest cannot clone this body, so it cannot send it to the target of a redirect, whatever
            // the policy of the user's client is.
            let body = http_body_util::Full::new(json.clone());
            *request.body_mut() = Some(Body::wrap(body));
        } else if self.method == Method::POST {
            // hyper omits `Content-Length` without a body, and some servers then answer 411.
            let headers = request.headers_mut();
            headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        request
    }

    fn unreachable(&self, error: reqwest::Error) -> Error {
        let error = error.without_url();
        if self.url.scheme() == "https" && lacks_tls(&error) {
            return Error::own(
                ErrorKind::Config,
                format!(
                    "{}: https needs a TLS backend, and this build of reqwest has none; enable reqwest's \
                     feature `rustls` or `native-tls` in your Cargo.toml",
                    self.operation
                ),
            );
        }
        let is_unsent = error.is_connect();
        let (kind, what) = if error.is_timeout() {
            (ErrorKind::Timeout, "did not answer in time")
        } else if is_unsent {
            (ErrorKind::Unreachable, "cannot be reached")
        } else {
            (ErrorKind::Unreachable, "closed the connection early")
        };
        let error = self.error(kind, what).with_source(error);
        if is_unsent { error.unsent() } else { error }
    }

    fn timed_out(&self, limit: Duration) -> Error {
        let what = format!("did not answer within {limit:?}");
        self.error(ErrorKind::Timeout, &what)
    }

    fn error(&self, kind: ErrorKind, what: &str) -> Error {
        let host = self.url.authority(); // with the port, and without a user: `Origin` refuses one
        Error::own(kind, format!("{}: {host} {what}", self.operation))
    }
}

/// Returns whether the connection broke after it was established and before an answer began.
fn is_broken_connection(error: &reqwest::Error) -> bool {
    error.is_request() && !error.is_connect() && !error.is_timeout()
}

/// Returns whether reqwest lacks a TLS backend: the connector then refuses all schemes but http. Only the text of the
/// error says so.
fn lacks_tls(error: &reqwest::Error) -> bool {
    let mut cause: Option<&dyn StdError> = error.source();
    while let Some(error) = cause {
        if error.to_string().contains("scheme is not http") {
            return true;
        }
        cause = error.source();
    }
    false
}
