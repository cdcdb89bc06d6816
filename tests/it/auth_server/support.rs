use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use everbearer::testkit::{AuthServer, AuthServerBuilder};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap};
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

pub(crate) const MINUTE: i64 = 60;
pub(crate) const DAY: i64 = 24 * 60 * MINUTE;

/// A server with a client that is in no way the crate's own.
pub(crate) struct Site {
    pub(crate) server: AuthServer,
    http: Client,
}

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

/// A token with what came with it.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) id: String,
    pub(crate) body: Value,
}

impl Site {
    pub(crate) async fn start() -> Self {
        Self::with(AuthServer::builder()).await
    }

    pub(crate) async fn with(builder: AuthServerBuilder) -> Self {
        Self {
            server: builder.start().await.unwrap(),
            http: Client::builder().no_proxy().build().unwrap(),
        }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, self.server.url(path))
    }

    pub(crate) async fn get(&self, path: &str, token: &str) -> Reply {
        let request = self.request(Method::GET, path).bearer_auth(token);
        Reply::read(request).await
    }

    pub(crate) async fn post(&self, path: &str, token: Option<&str>, body: &Value) -> Reply {
        Reply::read(self.post_request(path, token, body)).await
    }

    pub(crate) fn post_request(
        &self,
        path: &str,
        token: Option<&str>,
        body: &Value,
    ) -> RequestBuilder {
        let mut request = self
            .request(Method::POST, path)
            .header(CONTENT_TYPE, "application/json")
            .body(body.to_string());
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        request
    }

    pub(crate) async fn obtain(&self, body: &Value) -> Reply {
        self.post("/auth/tokens/long", None, body).await
    }

    pub(crate) async fn exchange(&self, long_term: &str) -> Reply {
        self.exchange_for(long_term, &json!({})).await
    }

    pub(crate) async fn exchange_for(&self, long_term: &str, body: &Value) -> Reply {
        self.post("/auth/tokens/short", Some(long_term), body).await
    }

    pub(crate) fn spawn_exchange(&self, long_term: &str) -> JoinHandle<reqwest::Result<Response>> {
        let request = self.post_request("/auth/tokens/short", Some(long_term), &json!({}));
        tokio::spawn(request.send())
    }

    pub(crate) async fn until_exchanges_in_progress_are(&self, number: u64) {
        while self.server.counts().short_term.in_progress != number {
            tokio::task::yield_now().await;
        }
    }

    pub(crate) async fn revoke(&self, id: &str, token: &str) -> Reply {
        let path = format!("/auth/tokens/{id}/revoke");
        let request = self.request(Method::POST, &path).bearer_auth(token);
        Reply::read(request).await
    }

    pub(crate) async fn long_term(&self) -> Token {
        self.obtain(&self.by_secret()).await.token()
    }

    pub(crate) async fn long_term_for(&self, scopes: &[&str]) -> Token {
        let body = with(self.by_secret(), "scopes", json!(scopes));
        self.obtain(&body).await.token()
    }

    pub(crate) async fn short_term(&self) -> Token {
        let long_term = self.long_term().await;
        self.exchange(&long_term.text).await.token()
    }

    pub(crate) async fn short_term_for(&self, scopes: &[&str]) -> Token {
        let long_term = self.long_term().await;
        let body = json!({ "scopes": scopes });
        self.exchange_for(&long_term.text, &body).await.token()
    }

    /// The body that obtains a long-term token with the client's secret.
    pub(crate) fn by_secret(&self) -> Value {
        json!({
            "grant_type": "client_credentials",
            "client_id": self.server.client_id(),
            "client_secret": self.server.client_secret(),
        })
    }

    pub(crate) fn by_otp(&self, code: &str) -> Value {
        json!({
            "grant_type": "client_credentials",
            "client_id": self.server.client_id(),
            "otp_code": code,
        })
    }

    /// The body that obtains a long-term token with a short-term one in the header.
    pub(crate) fn by_short_term_token(&self) -> Value {
        json!({
            "grant_type": "client_credentials",
            "client_id": self.server.client_id(),
        })
    }
}

impl Reply {
    pub(crate) async fn read(request: RequestBuilder) -> Self {
        let response = request.send().await.unwrap();
        Self {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            text: response.text().await.unwrap(),
        }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn message(&self) -> String {
        text_of(&self.json()["message"])
    }

    #[track_caller]
    pub(crate) fn token(&self) -> Token {
        assert_eq!(self.status, 201, "{}", self.text);
        let body = self.json();
        Token {
            text: text_of(&body["access_token"]),
            id: body["token_id"].as_str().unwrap_or_default().to_owned(),
            body,
        }
    }

    /// An `AuthError` in the contract's shape.
    #[track_caller]
    pub(crate) fn assert_error(&self, status: u16, code: &str) {
        assert_eq!(self.status, status, "{}", self.text);
        assert_eq!(self.header("content-type"), Some("application/json"));
        assert_eq!(self.json()["code"], code, "{}", self.text);
        assert!(self.json()["message"].is_string());
    }

    /// An `invalid_request` whose message speaks of this.
    #[track_caller]
    pub(crate) fn assert_bad_request(&self, about: &str) {
        self.assert_error(400, "invalid_request");
        assert!(self.message().contains(about), "{}", self.message());
    }
}

impl Token {
    pub(crate) fn claims(&self) -> Value {
        decode(self.text.split('.').nth(1).unwrap())
    }

    pub(crate) fn header(&self) -> Value {
        decode(self.text.split('.').next().unwrap())
    }
}

pub(crate) fn with(mut body: Value, name: &str, value: Value) -> Value {
    body[name] = value;
    body
}

pub(crate) fn encode(part: &Value) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(part.to_string())
}

pub(crate) fn decode(part: &str) -> Value {
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

pub(crate) fn text_of(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

#[expect(
    clippy::disallowed_methods,
    reason = "the server is held against the machine's clock"
)]
pub(crate) fn unix_now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(now.as_secs()).unwrap()
}

/// Whether two moments, in seconds, are as close as a slow machine lets them be.
#[track_caller]
pub(crate) fn assert_close(left: i64, right: i64) {
    assert!((left - right).abs() <= 30, "{left} is far from {right}");
}

pub(crate) fn days(count: u64) -> Duration {
    Duration::from_secs(count * 24 * 60 * 60)
}
