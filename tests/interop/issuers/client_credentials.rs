//! OAuth client credentials (RFC 6749, section 4.4) with revocation (RFC 7009): an issuer as an application writes
//! it, and what a provider does with it at oidc-provider.

use std::time::Duration;

use everbearer::{
    Error, ErrorKind, ExchangeResponse, IssuerProfile, LongTermToken, Needs, Revoked, Secret,
    SecretSource, ShortTermToken, TokenIssuer, TokenRef, async_trait,
};
use form_urlencoded::{Serializer, byte_serialize};
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Client, Response, redirect};
use serde::Deserialize;

/// Obtains access tokens for a client ID and a client secret.
struct ClientCredentials {
    client: Client,
    token_url: String,
    revocation_url: String,
    client_id: String,
    client_secret: SecretSource,
    /// The resource that the tokens are for (RFC 8707).
    resource: Option<String>,
}

#[derive(Deserialize)]
struct TokenResponse {
    access_token: Secret,
    token_type: String,
    expires_in: Option<u64>,
    scope: Option<String>,
}

#[derive(Default, Deserialize)]
struct ErrorResponse {
    error: Option<String>,
    error_description: Option<String>,
}

impl ClientCredentials {
    fn new(
        token_url: String,
        revocation_url: String,
        client_id: &str,
        client_secret: impl Into<SecretSource>,
    ) -> Self {
        let client = Client::builder()
            .no_proxy()
            .redirect(redirect::Policy::none())
            .timeout(Duration::from_secs(10));
        Self {
            client: client.build().unwrap(),
            token_url,
            revocation_url,
            client_id: client_id.to_owned(),
            client_secret: client_secret.into(),
            resource: None,
        }
    }

    /// Sends a form, authenticated by the client secret (RFC 6749, section 2.3.1).
    async fn post(&self, url: &str, form: &[(&str, &str)]) -> Result<Response, Error> {
        let secret = self.client_secret.read().await?;
        let encoded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
        let request = self
            .client
            .post(url)
            .basic_auth(encoded(&self.client_id), Some(encoded(secret.expose())))
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Serializer::new(String::new()).extend_pairs(form).finish());
        let response = request
            .send()
            .await
            .map_err(|error| unreachable(url, error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        // The server may repeat the secret.
        Err(refusal(url, response)
            .await
            .without_secrets(&[secret.expose()]))
    }
}

#[async_trait]
impl TokenIssuer for ClientCredentials {
    async fn exchange(
        &self,
        _long_term: Option<&LongTermToken>,
        scopes: &[String],
    ) -> Result<ExchangeResponse, Error> {
        let scope = scopes.join(" ");
        let mut form = vec![("grant_type", "client_credentials")];
        if !scopes.is_empty() {
            form.push(("scope", &scope));
        }
        if let Some(resource) = &self.resource {
            form.push(("resource", resource));
        }
        let response = self.post(&self.token_url, &form).await?;
        let body = response.bytes().await;
        let body = body.map_err(|error| unreachable(&self.token_url, error))?;
        // A JSON error may quote the token, so it is not the source.
        let Ok(answer) = serde_json::from_slice::<TokenResponse>(&body) else {
            let text = format!("{} answered 200 without an access token", self.token_url);
            return Err(Error::new(ErrorKind::Protocol, text));
        };
        if !answer.token_type.eq_ignore_ascii_case("bearer") {
            let text = format!(
                "{} issued a token of another type than Bearer",
                self.token_url
            );
            return Err(Error::new(ErrorKind::Config, text));
        }
        let mut token = ShortTermToken::builder(answer.access_token.expose());
        if let Some(seconds) = answer.expires_in {
            token = token.expires_in(Duration::from_secs(seconds));
        }
        // Without `scope` in the answer, the scopes are those of the request (RFC 6749, section 5.1).
        let granted = answer.scope.unwrap_or(scope);
        let token = token.scopes(granted.split_whitespace()).build()?;
        Ok(ExchangeResponse::from(token))
    }

    async fn revoke(
        &self,
        token: TokenRef<'_>,
        _authority: Option<TokenRef<'_>>,
    ) -> Result<Revoked, Error> {
        let form = [
            ("token", token.expose()),
            ("token_type_hint", "access_token"),
        ];
        match self.post(&self.revocation_url, &form).await {
            Ok(_) => Ok(Revoked::Gone),
            Err(error) if error.code() == Some("unsupported_token_type") => {
                Ok(Revoked::Unsupported)
            }
            Err(error) => Err(error),
        }
    }

    fn profile(&self) -> IssuerProfile {
        IssuerProfile::new("client credentials").needs(Needs::Nothing)
    }
}

fn unreachable(url: &str, error: reqwest::Error) -> Error {
    let kind = if error.is_timeout() {
        ErrorKind::Timeout
    } else {
        ErrorKind::Unreachable
    };
    Error::new(kind, format!("no answer from {url}")).with_source(error.without_url())
}

/// Returns the error that an answer stands for (RFC 6749, section 5.2).
async fn refusal(url: &str, response: Response) -> Error {
    let status = response.status().as_u16();
    let pause = response.headers().get(RETRY_AFTER);
    let pause = pause.and_then(|value| value.to_str().ok()?.parse().ok());
    let body = response.bytes().await.unwrap_or_default();
    let answer: ErrorResponse = serde_json::from_slice(&body).unwrap_or_default();
    let code = answer.error.as_deref();
    let shown = code.unwrap_or("without an error code");
    let description = answer.error_description.unwrap_or_default();
    let text = format!("{url} answered {status}, {shown}: {description}");
    let error = Error::from_status(status, code, text);
    match pause {
        Some(seconds) => error.with_retry_after(Duration::from_secs(seconds)),
        None => error,
    }
}

mod tests {
    use everbearer::{
        Credential, Event, Grant, MemoryStore, RetryPolicy, RevocationOutcome, ScopePolicy, State,
        TokenKind, TokenProvider, TokenProviderBuilder,
    };

    use super::super::oidc_provider::{CLIENT_ID, CLIENT_SECRET, OidcProvider};
    use super::super::{INTERVAL, PATIENCE, event};
    use super::*;

    const LONG: Duration = Duration::from_secs(600);
    const SCOPES: [&str; 2] = ["jobs:read", "jobs:submit"];
    const RESOURCE: &str = "urn:example:jobs";

    fn issuer(server: &OidcProvider, secret: impl Into<SecretSource>) -> ClientCredentials {
        let [token_url, revocation_url] =
            ["/token", "/token/revocation"].map(|path| server.url(path));
        ClientCredentials::new(token_url, revocation_url, CLIENT_ID, secret)
    }

    fn builder(issuer: ClientCredentials) -> TokenProviderBuilder {
        TokenProvider::builder(issuer, Credential::None).scopes(SCOPES)
    }

    #[tokio::test]
    async fn a_provider_starts_without_a_long_term_token_and_refreshes_before_the_token_expires() {
        let server = OidcProvider::start(Duration::from_secs(4)).await;
        let provider = builder(issuer(&server, CLIENT_SECRET)).build().unwrap();
        let mut events = provider.subscribe();
        let first = provider.token().await.unwrap();
        assert_eq!(first.scopes(), SCOPES);
        assert!(provider.status().long_term.is_none());

        let left = event(&mut events, |event| match event {
            Event::Swapped { previous_left, .. } => *previous_left,
            _ => None,
        });
        let left = left.await;
        assert!(left > Duration::ZERO);
        let second = provider.current().unwrap();
        assert!(server.is_active(first.expose()).await, "{left:?} was left");
        assert!(server.is_active(second.expose()).await);
        assert_ne!(first.expose(), second.expose());
        assert_eq!(server.responses("POST /token 200"), 2);
    }

    #[tokio::test]
    async fn each_scope_set_has_a_token_with_these_scopes() {
        let server = OidcProvider::start(LONG).await;
        let provider = builder(issuer(&server, CLIENT_SECRET)).build().unwrap();
        let all = provider.token().await.unwrap();
        let reading = provider.scoped(["jobs:read"]).token().await.unwrap();
        assert_eq!(reading.scopes(), ["jobs:read"]);
        let scope = server.introspect(all.expose()).await["scope"].clone();
        assert_eq!(scope, "jobs:read jobs:submit");
        let scope = server.introspect(reading.expose()).await["scope"].clone();
        assert_eq!(scope, "jobs:read");
    }

    #[tokio::test]
    async fn a_wrong_secret_is_refused_once_and_the_error_says_so() {
        let server = OidcProvider::start(LONG).await;
        let provider = builder(issuer(&server, "wrong")).build().unwrap();
        let mut errors = Vec::new();
        for _ in 0..20 {
            errors.push(provider.token().await.unwrap_err());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        for error in errors {
            assert_eq!(error.kind(), ErrorKind::Denied);
            assert!(!error.is_retryable());
            assert_eq!(error.status(), Some(401));
            assert_eq!(error.code(), Some("invalid_client"));
            let text = "answered 401, invalid_client: client authentication failed";
            assert!(error.to_string().contains(text), "{error}");
        }
        assert_eq!(server.responses("POST /token "), 1);
        assert_eq!(provider.status().state, State::Refused);
        assert_eq!(
            provider.ready().await.unwrap_err().kind(),
            ErrorKind::Denied
        );
    }

    #[tokio::test]
    async fn a_secret_that_was_corrected_is_used_after_the_pause() {
        let server = OidcProvider::start(LONG).await;
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("client-secret");
        std::fs::write(&file, "wrong").unwrap();
        let provider = builder(issuer(&server, SecretSource::file(&file)))
            .retry_policy(RetryPolicy::default().terminal_backoff(Duration::from_secs(1)))
            .build()
            .unwrap();
        let error = provider.token().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied);

        std::fs::write(&file, CLIENT_SECRET).unwrap();
        let corrected = async {
            while provider.token().await.is_err() {
                tokio::time::sleep(INTERVAL).await;
            }
        };
        tokio::time::timeout(PATIENCE, corrected).await.unwrap();
        assert_eq!(server.responses("POST /token 401"), 1);
    }

    #[tokio::test]
    async fn a_server_that_is_down_is_unreachable_until_it_is_back() {
        let mut server = OidcProvider::start(LONG).await;
        server.stop();
        let retry = RetryPolicy::default()
            .backoff(Duration::from_millis(50), Duration::from_millis(200))
            .ready_timeout(PATIENCE);
        let issuer = issuer(&server, CLIENT_SECRET);
        let provider = builder(issuer).retry_policy(retry).build().unwrap();
        let error = provider.token().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unreachable);
        assert!(error.is_retryable());
        assert_eq!(provider.status().state, State::Unavailable);

        server.restart().await;
        provider.ready().await.unwrap();
        let token = provider.token().await.unwrap();
        assert_eq!(provider.status().state, State::Fresh);

        // While the token is valid, the provider serves it.
        server.stop();
        let error = provider.refresh().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unreachable);
        assert_eq!(provider.status().state, State::Failing);
        let same = provider.token().await.unwrap();
        assert_eq!(same.expose(), token.expose());
    }

    #[tokio::test]
    async fn shutdown_revokes_opaque_tokens() {
        let server = OidcProvider::start(LONG).await;
        let provider = builder(issuer(&server, CLIENT_SECRET)).build().unwrap();
        let tokens = [
            provider.token().await.unwrap(),
            provider.refresh().await.unwrap(),
            provider.scoped(["jobs:read"]).token().await.unwrap(),
        ];
        for token in &tokens {
            assert!(server.is_active(token.expose()).await);
        }
        let report = provider.shutdown().await;
        assert!(report.all_revoked(), "{report}");
        assert_eq!(report.tokens.len(), 3);
        for token in &tokens {
            assert!(!server.is_active(token.expose()).await);
        }
        assert_eq!(server.responses("POST /token/revocation 200"), 3);
    }

    #[tokio::test]
    async fn jwts_are_reported_as_unsupported_after_one_call() {
        let server = OidcProvider::start(LONG).await;
        let mut issuer = issuer(&server, CLIENT_SECRET);
        issuer.resource = Some(RESOURCE.to_owned());
        let provider = builder(issuer)
            .scope_policy(ScopePolicy::default().idle_timeout(Duration::from_millis(200)))
            .build()
            .unwrap();
        let mut events = provider.subscribe();
        let token = provider.token().await.unwrap();
        assert!(token.token_id().is_some(), "the ID is the JWT's `jti`");
        provider.refresh().await.unwrap();
        provider.scoped(["jobs:read"]).token().await.unwrap();

        // The provider revokes the token of the idle scope set.
        let error = event(&mut events, |event| match event {
            Event::Revocation { error, .. } => Some(error.clone()),
            _ => None,
        });
        let error = error.await.unwrap().to_string();
        let text = "the auth server cannot revoke short-term tokens; this one is valid until ";
        assert!(error.starts_with(text), "{error}");
        assert_eq!(server.responses("POST /token/revocation 400"), 1);

        let report = provider.shutdown().await;
        assert!(!report.all_revoked());
        assert_eq!(report.tokens.len(), 3, "{report}");
        for token in &report.tokens {
            assert_eq!(token.kind, TokenKind::ShortTerm);
            assert!(matches!(token.outcome, RevocationOutcome::Unsupported));
            assert!(token.ends_at.is_some());
        }
        assert_eq!(server.responses("POST /token/revocation "), 1);
    }

    #[tokio::test]
    async fn the_builder_refuses_what_is_for_a_long_term_token() {
        let issuer = || {
            let [token, revocation] =
                ["token", "revoke"].map(|path| format!("http://127.0.0.1:9/{path}"));
            ClientCredentials::new(token, revocation, CLIENT_ID, CLIENT_SECRET)
        };
        let grant = || Grant::client_secret(CLIENT_ID, CLIENT_SECRET);
        let long_term = LongTermToken::new("long-term").unwrap();
        let refused = [
            builder(issuer()).rotate_with(grant()),
            builder(issuer()).recover_with(grant()),
            builder(issuer()).store(MemoryStore::new()),
            TokenProvider::builder(issuer(), grant()),
            TokenProvider::builder(issuer(), long_term.clone()),
            TokenProvider::builder(issuer(), Credential::Stored),
        ];
        let advice = [
            "rotate_with",
            "recover_with",
            "store",
            "Credential::None",
            "Credential::None",
            "Credential::None",
        ];
        for (builder, advice) in refused.into_iter().zip(advice) {
            let error = builder.build().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config);
            let text = error.to_string();
            assert!(text.contains("needs no long-term token"), "{text}");
            assert!(text.contains(advice), "{text}");
        }

        let provider = builder(issuer()).build().unwrap();
        provider.set_long_term_token(long_term);
        assert!(provider.status().long_term.is_none());
        assert_eq!(
            provider.rotate().await.unwrap_err().kind(),
            ErrorKind::Config
        );
    }
}
