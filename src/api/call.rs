//! One call: sent once, read to a bound, never redirected.

use std::error::Error as StdError;

use bytes::Bytes;
use http::StatusCode;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Body, Method, Request, Url};
use serde::Serialize;
use zeroize::Zeroizing;

use super::AuthApi;
use super::answer::{Answer, redirected};
use crate::error::{Error, ErrorKind};
use crate::secret::{BearerToken, Secret};

/// The most that is read of an answer, in bytes.
const LONGEST_ANSWER: usize = 1024 * 1024;
const CLIENT_ID: &str = "x-client-id";
const JSON: HeaderValue = HeaderValue::from_static("application/json");

pub(super) struct Call<'a> {
    operation: &'static str,
    request: Request,
    expected: &'static [StatusCode],
    /// What was sent and must not come back in an error's text.
    secrets: Vec<&'a str>,
}

#[derive(Clone, Copy)]
pub(super) enum Authorization<'a> {
    None,
    Bearer(&'a BearerToken),
}

impl<'a> Call<'a> {
    pub(super) fn post(operation: &'static str, url: Url, expected: &'static [StatusCode]) -> Self {
        let mut request = Request::new(Method::POST, url);
        request.headers_mut().insert(ACCEPT, JSON);
        Self {
            operation,
            request,
            expected,
            secrets: Vec::new(),
        }
    }

    pub(super) fn json(mut self, body: &impl Serialize) -> Result<Self, Error> {
        let json = serde_json::to_vec(body)
            .map_err(|_| Error::new(ErrorKind::Config, "the request cannot be put into JSON"))?;
        let json = Bytes::from_owner(Zeroizing::new(json));
        self.request.headers_mut().insert(CONTENT_TYPE, JSON);
        // A body that reqwest cannot clone is a body that it cannot send to where a redirect
        // points, whatever the policy of the user's client is.
        *self.request.body_mut() = Some(Body::wrap(http_body_util::Full::new(json)));
        Ok(self)
    }

    pub(super) fn authorized(mut self, authorization: Authorization<'a>) -> Self {
        if let Authorization::Bearer(token) = authorization {
            self.request
                .headers_mut()
                .insert(AUTHORIZATION, token.header().clone());
            self.secrets.push(token.expose());
        }
        self
    }

    pub(super) fn hiding(mut self, secrets: impl IntoIterator<Item = &'a Secret>) -> Self {
        self.secrets.extend(secrets.into_iter().map(Secret::expose));
        self
    }

    /// Says who the client is, unless the API is configured to say so.
    pub(super) fn on_behalf_of(mut self, client_id: &str) -> Self {
        if let Ok(id) = HeaderValue::from_str(client_id) {
            self.request.headers_mut().insert(CLIENT_ID, id);
        }
        self
    }

    pub(super) async fn send(mut self, api: &AuthApi) -> Result<Answer, Error> {
        let operation = self.operation;
        if let Some(id) = &api.client_id {
            self.request.headers_mut().insert(CLIENT_ID, id.clone());
        }
        *self.request.timeout_mut() = Some(api.timeout);
        let url = self.request.url().clone();

        let mut response = api
            .http
            .execute(self.request)
            .await
            .map_err(|error| unreachable(operation, &url, error))?;
        if *response.url() != url {
            return Err(redirected(operation, response.status()));
        }
        let mut body = Zeroizing::new(Vec::new());
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| unreachable(operation, &url, error))?
        {
            if body.len() + chunk.len() > LONGEST_ANSWER {
                return Err(Error::new(
                    ErrorKind::Protocol,
                    format!("{operation}: the answer is longer than 1 MiB"),
                ));
            }
            body.extend_from_slice(&chunk);
        }
        Answer {
            operation,
            status: response.status(),
            headers: std::mem::take(response.headers_mut()),
            body,
        }
        .into_success(self.expected, &self.secrets)
    }
}

fn unreachable(operation: &str, url: &Url, error: reqwest::Error) -> Error {
    let host = url.authority(); // with the port, and without a user: `Origin` refuses one
    let error = error.without_url();
    if url.scheme() == "https" && lacks_tls(&error) {
        return Error::new(
            ErrorKind::Config,
            format!(
                "{operation}: https needs a TLS backend, and this build of reqwest has none; turn \
                 on reqwest's `rustls` or `native-tls` feature in your Cargo.toml"
            ),
        );
    }
    let (kind, what) = if error.is_timeout() {
        (ErrorKind::Timeout, "did not answer in time")
    } else if error.is_connect() {
        (ErrorKind::Unreachable, "cannot be reached")
    } else {
        (ErrorKind::Unreachable, "broke the connection off")
    };
    Error::new(kind, format!("{operation}: {host} {what}")).with_source(error)
}

/// Without a TLS backend, the connector refuses every scheme but http. It says so in words only.
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
