//! What the tests of all stacks share: the servers and the checks.

#![allow(dead_code, reason = "no test uses all of it")]

mod checks;
mod secrets;

use std::error::Error as StdError;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::any;
use everbearer::testkit::{AuthServer, TokenKind};
use everbearer::{AuthApi, Grant, RefreshPolicy, TokenProvider, TokenProviderBuilder};
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode};
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};

pub use secrets::{Recorder, Secrets};

pub type BoxError = Box<dyn StdError + Send + Sync>;

/// How long a test waits for what happens within a few lifetimes.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(20);

/// Counts the requests to the API of the auth server and to the servers that call [`Site::admit`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcomes {
    pub served: u64,
    pub expired: u64,
    pub revoked: u64,
    /// Requests without a token, or with a token that the auth server did not issue.
    pub invalid: u64,
}

/// An auth server, whose short-term tokens are valid for 2 s, and two other servers.
pub struct Site {
    pub auth: AuthServer,
    /// The URL of an API, which redirects `/away` to the foreign origin.
    pub api: String,
    /// The URL of an origin that must not get a token.
    pub foreign: String,
    pub secrets: Secrets,
    at_foreign: Mutex<Vec<Option<HeaderValue>>>,
    outcomes: Mutex<Outcomes>,
}

impl Site {
    pub async fn start() -> Arc<Self> {
        Self::start_for(&[]).await
    }

    /// Starts the servers. These clients of the auth server, with their secrets, are in place of the default one.
    pub async fn start_for(clients: &[(String, String)]) -> Arc<Self> {
        secrets::record_log();
        let mut builder = AuthServer::builder()
            .short_term_lifetime(Duration::from_secs(2))
            .fractional_timestamps(true);
        let secrets = Secrets::default();
        for (id, secret) in clients {
            builder = builder.client(id, secret);
            secrets.add(secret);
        }
        let auth = builder.start().await.unwrap();
        secrets.add(auth.client_secret());
        let ((api_listener, api), (foreign_listener, foreign)) = (listen().await, listen().await);
        let site = Arc::new(Self {
            auth,
            api,
            foreign,
            secrets,
            at_foreign: Mutex::default(),
            outcomes: Mutex::default(),
        });
        let it = Arc::clone(&site);
        let away = any(async move |headers: HeaderMap| it.redirect(&headers));
        let it = Arc::clone(&site);
        let landing = any(async move |headers: HeaderMap| {
            lock(&it.at_foreign).push(headers.get(AUTHORIZATION).cloned());
            ([(CONTENT_TYPE, "application/json")], r#"{"token_id":""}"#)
        });
        let api = Router::new().route("/away", away.clone());
        serve(api_listener, api.route("/away/jobs", away));
        serve(foreign_listener, Router::new().route("/landing", landing));
        site
    }

    fn redirect(&self, headers: &HeaderMap) -> Response {
        match self.admit(headers) {
            Some(_) => Redirect::temporary(&format!("{}/landing", self.foreign)).into_response(),
            None => StatusCode::UNAUTHORIZED.into_response(),
        }
    }

    /// Returns the builder of a provider for the default client and both APIs.
    pub fn builder(&self) -> TokenProviderBuilder {
        let grant = Grant::client_secret(self.auth.client_id(), self.auth.client_secret());
        TokenProvider::builder(self.issuer(), grant)
            .origins([self.auth.base_url(), &self.api])
            .refresh_policy(policy())
    }

    /// Returns the auth server as an issuer, which records the tokens.
    pub fn issuer(&self) -> Recorder {
        Recorder {
            api: AuthApi::new(self.auth.base_url()).unwrap(),
            secrets: self.secrets.clone(),
        }
    }

    /// Returns the ID of the token in these headers, if it is valid, and counts the request.
    pub fn admit(&self, headers: &HeaderMap) -> Option<String> {
        let header = headers.get(AUTHORIZATION).and_then(|it| it.to_str().ok());
        let token = header.and_then(|it| it.strip_prefix("Bearer "));
        let Some(id) = token.and_then(|it| self.secrets.id_of(it)) else {
            lock(&self.outcomes).invalid += 1;
            return None;
        };
        let is_valid = self.accepts(&id);
        lock(&self.outcomes).served += u64::from(is_valid);
        is_valid.then_some(id)
    }

    /// Returns whether the token with this ID is valid, and counts it if it is not.
    pub fn accepts(&self, id: &str) -> bool {
        let is_valid = self.auth.is_live(id);
        let is_revoked = !is_valid && self.auth.token(id).unwrap().revoked;
        let mut outcomes = lock(&self.outcomes);
        outcomes.revoked += u64::from(is_revoked);
        outcomes.expired += u64::from(!is_valid && !is_revoked);
        is_valid
    }

    pub fn outcomes(&self) -> Outcomes {
        let (own, jobs) = (lock(&self.outcomes), self.auth.counts().jobs_outcomes);
        Outcomes {
            served: own.served + jobs.served,
            expired: own.expired + jobs.expired,
            revoked: own.revoked + jobs.revoked,
            invalid: own.invalid + jobs.invalid + jobs.without_token + jobs.forbidden,
        }
    }

    /// Returns whether the first short-term token of this client has expired, after at least three others followed.
    pub fn has_refreshed(&self, client: &str) -> bool {
        let mut tokens = self.auth.tokens();
        tokens.retain(|it| it.kind == TokenKind::ShortTerm && it.client_id == client);
        tokens.len() > 3 && !self.auth.is_live(&tokens[0].token_id)
    }

    /// Returns the `Authorization` header of each request to the foreign origin.
    pub fn at_foreign(&self) -> Vec<Option<HeaderValue>> {
        lock(&self.at_foreign).clone()
    }
}

/// Refreshes long before a token expires, since a busy machine delays requests, and after each refusal.
pub fn policy() -> RefreshPolicy {
    let policy = RefreshPolicy::default().fraction(0.4);
    policy.min_reject_interval(Duration::ZERO)
}

/// Binds a port, and returns its URL.
pub async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, url)
}

pub fn serve(listener: TcpListener, router: Router) {
    tokio::spawn(async move { axum::serve(listener, router).await });
}

pub async fn in_time<T>(call: impl Future<Output = T>) -> T {
    timeout(PATIENCE, call).await.expect("it takes too long")
}

pub async fn until(mut is_so: impl FnMut() -> bool) {
    in_time(async {
        while !is_so() {
            sleep(PAUSE).await;
        }
    })
    .await;
}

pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
