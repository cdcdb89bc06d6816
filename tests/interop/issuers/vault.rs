//! OpenBao, whose API is that of Vault: an issuer as an application writes it, and what a provider does with it.
//!
//! The long-term token is a client token, which an AppRole login returns. The short-term tokens are JWTs that
//! OpenBao signs for the entity of the client token.

use std::time::Duration;

use everbearer::{
    Error, ErrorKind, ExchangeResponse, Grant, IssuerProfile, LongTermToken, Proof, Revoked,
    Secret, ShortTermToken, TokenIssuer, TokenRef, async_trait,
};
use reqwest::{Client, RequestBuilder, redirect};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

/// Exchanges client tokens of OpenBao for JWTs.
#[derive(Clone)]
struct Vault {
    client: Client,
    base_url: String,
    /// The role that signs the JWTs. A scope names another one.
    role: String,
}

#[derive(Deserialize)]
struct Login {
    auth: Auth,
}

#[derive(Deserialize)]
struct Auth {
    client_token: Secret,
    accessor: String,
    lease_duration: u64,
}

#[derive(Deserialize)]
struct Signed {
    data: SignedToken,
}

#[derive(Deserialize)]
struct SignedToken {
    token: Secret,
    ttl: u64,
}

#[derive(Default, Deserialize)]
struct Errors {
    #[serde(default)]
    errors: Vec<String>,
}

impl Vault {
    fn new(base_url: String, role: &str) -> Self {
        let client = Client::builder()
            .no_proxy()
            .redirect(redirect::Policy::none())
            .timeout(Duration::from_secs(10));
        Self {
            client: client.build().unwrap(),
            base_url,
            role: role.to_owned(),
        }
    }

    fn url(&self, path: &str) -> String {
        format!("{}/v1/{path}", self.base_url)
    }
}

/// Sends a request and returns the body of a success.
async fn send(request: RequestBuilder) -> Result<Vec<u8>, Error> {
    let unreachable = |error: reqwest::Error| {
        let error = error.without_url();
        Error::new(ErrorKind::Unreachable, "OpenBao does not answer").with_source(error)
    };
    let response = request.send().await.map_err(unreachable)?;
    let status = response.status();
    let body = response.bytes().await.map_err(unreachable)?;
    if status.is_success() {
        return Ok(body.into());
    }
    let errors: Errors = serde_json::from_slice(&body).unwrap_or_default();
    let text = format!("OpenBao answered {status}: {}", errors.errors.join(", "));
    let error = |kind| Error::new(kind, text).with_status(status.as_u16());
    Err(match status.as_u16() {
        403 => error(ErrorKind::Denied),
        429 => error(ErrorKind::RateLimited),
        // 503 while it is sealed.
        500.. => error(ErrorKind::Server),
        _ => error(ErrorKind::InvalidRequest),
    })
}

/// Sends a request and reads the answer. A JSON error may quote a token, so it is not the source.
async fn read<T: DeserializeOwned>(request: RequestBuilder) -> Result<T, Error> {
    let body = send(request).await?;
    serde_json::from_slice(&body)
        .map_err(|_| Error::new(ErrorKind::Protocol, "OpenBao answered 200 without a token"))
}

#[async_trait]
impl TokenIssuer for Vault {
    async fn exchange(
        &self,
        long_term: Option<&LongTermToken>,
        scopes: &[String],
    ) -> Result<ExchangeResponse, Error> {
        let Some(long_term) = long_term else {
            return Err(Error::new(
                ErrorKind::Config,
                "OpenBao needs a client token",
            ));
        };
        let role = match scopes {
            [] => &self.role,
            [role] => role,
            _ => {
                return Err(Error::new(
                    ErrorKind::Config,
                    "OpenBao has one role for a token",
                ));
            }
        };
        let url = self.url(&format!("identity/oidc/token/{role}"));
        let request = self.client.get(url);
        let signed: Signed = read(request.header("x-vault-token", long_term.expose())).await?;
        let token = ShortTermToken::builder(signed.data.token.expose())
            .expires_in(Duration::from_secs(signed.data.ttl))
            .scopes(scopes);
        Ok(ExchangeResponse::from(token.build()?))
    }

    async fn revoke(
        &self,
        token: TokenRef<'_>,
        _authority: Option<TokenRef<'_>>,
    ) -> Result<Revoked, Error> {
        let TokenRef::LongTerm(token) = token else {
            return Ok(Revoked::Unsupported);
        };
        let request = self.client.post(self.url("auth/token/revoke-self"));
        match send(request.header("x-vault-token", token.expose())).await {
            // The policy `default` lets each token revoke itself, so OpenBao refuses only tokens that have ended.
            Err(error) if error.kind() != ErrorKind::Denied => Err(error),
            _ => Ok(Revoked::Gone),
        }
    }

    async fn obtain(
        &self,
        grant: &Grant,
        _authority: Option<&ShortTermToken>,
    ) -> Result<LongTermToken, Error> {
        let Proof::ClientSecret(secret_id) = grant.proof(&self.base_url).await? else {
            return Err(Error::new(
                ErrorKind::Config,
                "OpenBao takes Grant::client_secret only",
            ));
        };
        let login = json!({ "role_id": grant.client_id(), "secret_id": secret_id.expose() });
        let request = self.client.post(self.url("auth/approle/login"));
        let answer = read(request.body(login.to_string())).await;
        let Login { auth } = answer.map_err(|error| match error.status() {
            // Wrong credentials are a 400 here.
            Some(400) => Error::new(ErrorKind::Denied, error.to_string()).with_status(400),
            _ => error,
        })?;
        LongTermToken::builder(auth.client_token.expose())
            .token_id(auth.accessor)
            .expires_in(Duration::from_secs(auth.lease_duration))
            .build()
    }

    fn profile(&self) -> IssuerProfile {
        IssuerProfile::new("OpenBao")
    }
}

mod tests {
    use everbearer::{
        Event, RetryPolicy, RevocationOutcome, RotationPolicy, ShutdownPolicy, State, TokenKind,
        TokenProvider, TokenProviderBuilder,
    };

    use super::super::openbao::{OpenBao, ROLE, ROLE_ID, SHORT_ROLE};
    use super::super::{INTERVAL, PATIENCE, event};
    use super::*;

    /// A server, and an issuer whose JWTs have this role.
    async fn start(role: &str) -> (OpenBao, Vault) {
        let server = OpenBao::start().await;
        let issuer = Vault::new(server.url(), role);
        (server, issuer)
    }

    async fn grant(server: &OpenBao) -> Grant {
        Grant::client_secret(ROLE_ID, server.secret_id().await)
    }

    async fn builder(server: &OpenBao, issuer: Vault) -> TokenProviderBuilder {
        TokenProvider::builder(issuer, grant(server).await)
    }

    /// The accessor of the client token in use.
    fn accessor(provider: &TokenProvider) -> String {
        provider.status().long_term.unwrap().token_id.unwrap()
    }

    /// Two JWTs of the same second are the same, so that a test waits for the next second before a refresh.
    async fn next_second() {
        tokio::time::sleep(Duration::from_millis(1_001)).await;
    }

    #[tokio::test]
    async fn a_provider_starts_by_an_approle_and_refreshes_before_the_jwt_expires() {
        let (server, issuer) = start(SHORT_ROLE).await;
        let provider = builder(&server, issuer).await.build().unwrap();
        let mut events = provider.subscribe();
        let first = provider.token().await.unwrap();
        assert!(server.is_active(first.expose()).await);
        assert!(server.is_live(&accessor(&provider)).await);

        let left = event(&mut events, |event| match event {
            Event::Swapped { previous_left, .. } => *previous_left,
            _ => None,
        });
        let left = left.await;
        assert!(left > Duration::ZERO);
        let second = provider.current().unwrap();
        assert_ne!(first.expose(), second.expose());
        assert!(server.is_active(first.expose()).await, "{left:?} was left");
        assert!(server.is_active(second.expose()).await);
    }

    #[tokio::test]
    async fn a_scope_names_another_role() {
        let (server, issuer) = start(ROLE).await;
        let provider = builder(&server, issuer).await.build().unwrap();
        let lives_for = |token: &ShortTermToken| {
            let end = token.expires_at().unwrap();
            end.duration_since(token.issued_at().unwrap()).unwrap()
        };
        let token = provider.token().await.unwrap();
        assert_eq!(lives_for(&token), Duration::from_secs(3_600));
        let token = provider.scoped([SHORT_ROLE]).token().await.unwrap();
        assert_eq!(lives_for(&token), Duration::from_secs(4));

        let error = provider.scoped(["unknown"]).token().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidRequest);
        let text = "OpenBao answered 400 Bad Request: role \"unknown\" not found";
        assert_eq!(error.to_string(), text);
        let error = provider.scoped([ROLE, SHORT_ROLE]).token().await;
        assert_eq!(error.unwrap_err().kind(), ErrorKind::Config);
    }

    #[tokio::test]
    async fn a_jwt_that_is_issued_twice_in_one_second_stays_in_use() {
        let (server, issuer) = start(ROLE).await;
        let provider = builder(&server, issuer).await.build().unwrap();
        let mut events = provider.subscribe();
        let token = loop {
            let token = provider.refresh().await.unwrap();
            let again = provider.refresh().await.unwrap();
            if again.issued_at() == token.issued_at() {
                assert_eq!(again.expose(), token.expose());
                break token;
            }
        };
        event(&mut events, |event| {
            matches!(event, Event::Unchanged { .. }).then_some(())
        })
        .await;
        next_second().await;
        let newer = provider.refresh().await.unwrap();
        assert_ne!(newer.expose(), token.expose());
    }

    #[tokio::test]
    async fn a_wrong_secret_id_is_refused() {
        let (_server, issuer) = start(ROLE).await;
        let grant = Grant::client_secret(ROLE_ID, "wrong");
        let provider = TokenProvider::builder(issuer, grant).build().unwrap();
        let error = provider.token().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied);
        let text = "OpenBao answered 400 Bad Request: invalid role or secret ID";
        assert_eq!(error.to_string(), text);
        assert_eq!(provider.status().state, State::Refused);
    }

    #[tokio::test]
    async fn a_sealed_server_is_retried_until_it_is_unsealed() {
        let (server, issuer) = start(ROLE).await;
        let retry = RetryPolicy::default()
            .backoff(Duration::from_millis(50), Duration::from_millis(200))
            .ready_timeout(PATIENCE);
        let builder = builder(&server, issuer).await;
        server.seal().await;
        let provider = builder.retry_policy(retry).build().unwrap();
        let error = provider.token().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Server);
        assert_eq!(error.status(), Some(503));
        assert!(error.is_retryable());
        let text = "OpenBao answered 503 Service Unavailable: Vault is sealed";
        assert_eq!(error.to_string(), text);
        assert_eq!(provider.status().state, State::Unavailable);

        server.unseal().await;
        provider.ready().await.unwrap();
        let token = provider.token().await.unwrap();
        let first_accessor = accessor(&provider);

        // While the JWT is valid, the provider serves it.
        server.seal().await;
        let error = provider.refresh().await.unwrap_err();
        assert_eq!(error.status(), Some(503));
        let same = provider.token().await.unwrap();
        assert_eq!(same.expose(), token.expose());

        server.unseal().await;
        next_second().await;
        let newer = provider.refresh().await.unwrap();
        assert!(server.is_active(newer.expose()).await);
        assert_eq!(
            accessor(&provider),
            first_accessor,
            "the client token is kept"
        );
    }

    #[tokio::test]
    async fn after_the_client_token_is_refused_the_grant_obtains_another() {
        let (server, issuer) = start(ROLE).await;
        let provider = builder(&server, issuer).await.build().unwrap();
        provider.ready().await.unwrap();
        let revoked = accessor(&provider);
        server.revoke(&revoked).await;
        next_second().await;

        let mut events = provider.subscribe();
        let token = provider.refresh().await.unwrap();
        assert!(server.is_active(token.expose()).await);
        let obtained = event(&mut events, |event| match event {
            Event::LongTermObtained { token_id, .. } => token_id.clone(),
            _ => None,
        });
        let obtained = obtained.await;
        assert_ne!(obtained, revoked);
        assert_eq!(accessor(&provider), obtained);
        assert!(server.is_live(&obtained).await);
    }

    #[tokio::test]
    async fn without_a_grant_the_refusal_of_the_client_token_is_final() {
        let (server, issuer) = start(ROLE).await;
        let client_token = issuer.obtain(&grant(&server).await, None).await.unwrap();
        let provider = TokenProvider::builder(issuer.clone(), client_token.clone());
        let provider = provider.build().unwrap();
        let token = provider.token().await.unwrap();
        assert!(server.is_active(token.expose()).await);

        server.revoke(client_token.token_id().unwrap()).await;
        let error = provider.refresh().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied);
        assert!(!error.is_retryable());
        let text = "OpenBao answered 403 Forbidden: permission denied";
        assert_eq!(error.to_string(), text);

        let another = issuer.obtain(&grant(&server).await, None).await.unwrap();
        provider.set_long_term_token(another);
        next_second().await;
        provider.refresh().await.unwrap();
        assert_eq!(provider.status().state, State::Fresh);
    }

    #[tokio::test]
    async fn a_rotation_logs_in_again_and_revokes_the_old_client_token() {
        let (server, issuer) = start(ROLE).await;
        let provider = builder(&server, issuer)
            .await
            .rotation_policy(RotationPolicy::default().grace(Duration::ZERO))
            .build()
            .unwrap();
        provider.ready().await.unwrap();
        let old = accessor(&provider);
        provider.rotate().await.unwrap();
        let new = accessor(&provider);
        assert_ne!(new, old);
        let revoked = async {
            while server.is_live(&old).await {
                tokio::time::sleep(INTERVAL).await;
            }
        };
        tokio::time::timeout(PATIENCE, revoked).await.unwrap();
        assert!(server.is_live(&new).await);
    }

    #[tokio::test]
    async fn shutdown_revokes_the_client_token_and_reports_the_jwts_as_unsupported() {
        let (server, issuer) = start(ROLE).await;
        let provider = builder(&server, issuer)
            .await
            .shutdown_policy(ShutdownPolicy::default().revoke_long_term(true))
            .build()
            .unwrap();
        let first = provider.token().await.unwrap();
        next_second().await;
        let second = provider.refresh().await.unwrap();
        let accessor = accessor(&provider);

        let report = provider.shutdown().await;
        assert!(!server.is_live(&accessor).await);
        let of = |kind| {
            let tokens = report.tokens.iter().filter(move |token| token.kind == kind);
            tokens.map(|token| &token.outcome).collect::<Vec<_>>()
        };
        let long_term = of(TokenKind::LongTerm);
        assert!(
            matches!(long_term[..], [RevocationOutcome::Revoked]),
            "{report}"
        );
        let short_term = of(TokenKind::ShortTerm);
        assert!(
            matches!(
                short_term[..],
                [
                    RevocationOutcome::Unsupported,
                    RevocationOutcome::Unsupported
                ]
            ),
            "{report}"
        );
        assert!(server.is_active(first.expose()).await);
        assert!(server.is_active(second.expose()).await);
    }

    #[tokio::test]
    async fn a_client_token_that_was_revoked_before_is_gone() {
        let (server, issuer) = start(ROLE).await;
        let client_token = issuer.obtain(&grant(&server).await, None).await.unwrap();
        for _ in 0..2 {
            let revoked = issuer.revoke(TokenRef::from(&client_token), None).await;
            assert_eq!(revoked.unwrap(), Revoked::Gone);
            assert!(!server.is_live(client_token.token_id().unwrap()).await);
        }
    }
}
