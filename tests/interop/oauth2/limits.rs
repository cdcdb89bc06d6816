//! What OpenBao limits: the rate of requests, by a quota whose 429 has no `Retry-After`, and how long a token can be
//! renewed.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use everbearer::{
    Credential, Error, ErrorKind, ExchangeResponse, IssuerProfile, LongTermToken, Needs,
    RetryPolicy, Revoked, ShortTermToken, State, TokenIssuer, TokenProvider, TokenRef, async_trait,
};
use futures_util::future::join_all;
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};

use super::openbao::{OpenBao, ROLE_ID};
use super::{INTERVAL, PATIENCE, report};

/// Issues client tokens of OpenBao: an exchange renews the last one, or logs in if there is none or it has ended.
#[derive(Clone)]
struct ClientTokens {
    client: Client,
    url: String,
    secret_id: String,
    renews: bool,
    last: Arc<Mutex<Option<String>>>,
    exchanges: Arc<Mutex<Vec<Exchange>>>,
}

/// When an exchange began, and the token that it returned.
type Exchange = (Instant, Option<String>);

impl ClientTokens {
    async fn at(server: &OpenBao, renews: bool) -> Self {
        Self {
            client: Client::builder().no_proxy().build().unwrap(),
            url: format!("{}/v1/auth", server.url()),
            secret_id: server.secret_id().await,
            renews,
            last: Arc::default(),
            exchanges: Arc::default(),
        }
    }

    async fn call(&self, request: RequestBuilder) -> Result<ShortTermToken, Error> {
        let answer = request.send().await?.error_for_status()?;
        let answer: Value = answer.json().await?;
        let auth = &answer["auth"];
        let token = ShortTermToken::builder(auth["client_token"].as_str().unwrap_or_default());
        let life = Duration::from_secs(auth["lease_duration"].as_u64().unwrap_or_default());
        token.expires_in(life).build()
    }

    async fn renew_or_log_in(&self) -> Result<ShortTermToken, Error> {
        let last = self.last.lock().unwrap().clone().filter(|_| self.renews);
        if let Some(last) = last {
            let renewal = self.client.post(format!("{}/token/renew-self", self.url));
            match self.call(renewal.header("x-vault-token", last)).await {
                Err(error) if error.status() == Some(403) => {}
                outcome => return outcome,
            }
        }
        let body = json!({ "role_id": ROLE_ID, "secret_id": self.secret_id });
        let login = self.client.post(format!("{}/approle/login", self.url));
        self.call(login.json(&body)).await
    }
}

#[async_trait]
impl TokenIssuer for ClientTokens {
    #[allow(
        clippy::disallowed_methods,
        reason = "the test counts exchanges in time"
    )]
    async fn exchange(
        &self,
        _: Option<&LongTermToken>,
        _: &[String],
    ) -> Result<ExchangeResponse, Error> {
        let began = Instant::now();
        let outcome = self.renew_or_log_in().await;
        let text = outcome.as_ref().ok().map(|token| token.expose().to_owned());
        self.exchanges.lock().unwrap().push((began, text.clone()));
        let token = outcome?;
        *self.last.lock().unwrap() = text;
        Ok(ExchangeResponse::from(token))
    }

    async fn revoke(&self, token: TokenRef<'_>, _: Option<TokenRef<'_>>) -> Result<Revoked, Error> {
        let request = self.client.post(format!("{}/token/revoke-self", self.url));
        let request = request.header("x-vault-token", token.expose());
        request.send().await?.error_for_status()?;
        Ok(Revoked::Gone)
    }

    fn profile(&self) -> IssuerProfile {
        IssuerProfile::new("OpenBao").needs(Needs::Nothing)
    }
}

#[tokio::test]
async fn during_a_quota_the_good_token_is_served_and_few_attempts_are_made() {
    let server = OpenBao::start().await;
    let issuer = ClientTokens::at(&server, false).await;
    let quota = "sys/quotas/rate-limit/logins";
    let limit = json!({ "path": "auth/approle/login", "rate": 1, "interval": "1h" });
    server
        .admin(Method::POST, quota, Some(limit))
        .await
        .unwrap();
    let retries = RetryPolicy::default().backoff(Duration::from_secs(1), Duration::from_secs(2));
    let provider = TokenProvider::builder(issuer.clone(), Credential::None)
        .retry_policy(retries)
        .build()
        .unwrap();
    let first = provider.token().await.unwrap();
    let error = provider.refresh().await.unwrap_err();
    assert_eq!(
        (error.kind(), error.status()),
        (ErrorKind::RateLimited, Some(429))
    );
    assert_eq!(error.retry_after(), None);
    let refreshes = join_all((0..50).map(|_| provider.refresh()));
    let callers = async {
        for _ in 0..200 {
            assert_eq!(provider.token().await.unwrap().expose(), first.expose());
            tokio::time::sleep(INTERVAL).await;
        }
    };
    tokio::select! {
        () = callers => {}
        outcomes = refreshes => assert!(outcomes.iter().all(Result::is_err)),
    }
    let attempts = issuer.exchanges.lock().unwrap().len();
    assert!(
        attempts <= 4,
        "{attempts} in two seconds, with 50 calls of refresh"
    );
    assert!(provider.status().last_error.is_some());

    server.admin(Method::DELETE, quota, None).await.unwrap();
    let succeeds = async {
        while provider.refresh().await.is_err() {
            tokio::time::sleep(INTERVAL).await;
        }
    };
    tokio::time::timeout(PATIENCE, succeeds).await.unwrap();
    assert_ne!(provider.token().await.unwrap().expose(), first.expose());
    assert_eq!(provider.status().state, State::Fresh);
    let tokens = provider.shutdown().await;
    assert!(tokens.all_revoked(), "{tokens}");
    report(
        "OpenBao",
        "a quota of one login in an hour, which ends after two seconds",
        &[("tokens after the shutdown", 1, server.live_tokens().await)],
    );
}

/// Each renewal returns the same token, and the last ones a shorter life, since the token ends after 10 s in all.
#[tokio::test]
async fn a_token_that_reaches_the_ceiling_of_its_renewals_is_replaced() {
    let server = OpenBao::start().await;
    let role = json!({ "token_ttl": "4s", "token_max_ttl": "10s" });
    let path = "auth/approle/role/billing";
    server.admin(Method::POST, path, Some(role)).await.unwrap();
    let issuer = ClientTokens::at(&server, true).await;
    let provider = TokenProvider::builder(issuer.clone(), Credential::None)
        .build()
        .unwrap();
    let first = provider.token().await.unwrap();
    let (mut requests, mut refused) = (0, 0);
    let replaced = async {
        loop {
            let token = provider.token().await.unwrap();
            if token.expose() != first.expose() {
                break;
            }
            let lookup = issuer
                .client
                .get(format!("{}/token/lookup-self", issuer.url));
            let lookup = lookup.header("x-vault-token", token.expose());
            // A request may arrive after the end of the token that it was sent with.
            let has_time = provider.status().usable_for > Duration::from_secs(1);
            let is_refused = lookup.send().await.unwrap().status() != 200;
            requests += 1;
            refused += usize::from(is_refused && has_time);
            tokio::time::sleep(INTERVAL).await;
        }
    };
    tokio::time::timeout(PATIENCE, replaced).await.unwrap();
    provider.shutdown().await;
    let exchanges = issuer.exchanges.lock().unwrap().clone();
    let renewals: Vec<Instant> = exchanges
        .iter()
        .filter(|(_, text)| text.as_deref() == Some(first.expose()))
        .map(|(began, _)| *began)
        .collect();
    println!(
        "\nOpenBao: {} exchanges for one token of 10 s, {requests} requests with it",
        renewals.len()
    );
    assert!((4..=7).contains(&renewals.len()), "{renewals:?}");
    for pair in renewals.windows(2) {
        assert!(pair[1] - pair[0] >= Duration::from_secs(1), "{renewals:?}");
    }
    report(
        "OpenBao",
        "a token whose renewals reach their ceiling",
        &[("refused a second before the end", 0, refused)],
    );
}
