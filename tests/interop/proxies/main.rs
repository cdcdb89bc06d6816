//! everbearer behind a reverse proxy: lighttpd, which refuses a POST that does not state the length
//! of its body. See README.md.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that panics is a test that fails"
)]

mod lighttpd;

use std::time::Duration;

use everbearer::models::{GrantType, LongTokenRequest, ShortTokenRequest};
use everbearer::testkit::{AuthServer, TokenKind, TokenRecord};
use everbearer::{
    AuthApi, Grant, RotationPolicy, ScopePolicy, Secret, ShutdownPolicy, TokenProvider,
    TokenProviderBuilder,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use lighttpd::Lighttpd;

const PATIENCE: Duration = Duration::from_secs(10);
const INTERVAL: Duration = Duration::from_millis(10);

/// An auth server that the client reaches through lighttpd only.
struct Setup {
    server: AuthServer,
    lighttpd: Lighttpd,
    api: AuthApi,
}

impl Setup {
    async fn start() -> Self {
        let server = AuthServer::start().await.unwrap();
        let lighttpd = Lighttpd::start(server.addr()).await;
        let api = AuthApi::new(format!("http://{}/v1", lighttpd.addr())).unwrap();
        Self {
            server,
            lighttpd,
            api,
        }
    }

    fn provider(&self) -> TokenProviderBuilder {
        let grant = Grant::client_secret(self.server.client_id(), self.server.client_secret());
        TokenProvider::builder(self.api.clone(), grant)
    }

    fn tokens(&self, kind: TokenKind) -> Vec<TokenRecord> {
        let mut tokens = self.server.tokens();
        tokens.retain(|token| token.kind == kind);
        tokens
    }

    fn live(&self) -> Vec<TokenRecord> {
        let mut tokens = self.server.tokens();
        tokens.retain(|token| self.server.is_live(&token.token_id));
        tokens
    }

    async fn until_revoked(&self, token_id: &str) {
        let revoked = async {
            while self.server.is_live(token_id) {
                tokio::time::sleep(INTERVAL).await;
            }
        };
        let in_time = tokio::time::timeout(PATIENCE, revoked).await;
        assert!(in_time.is_ok(), "{token_id} is not revoked: {self:?}");
        assert!(self.server.token(token_id).unwrap().revoked);
    }

    /// Sends a request as it is written here, and returns the status line of the response.
    async fn raw(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.lighttpd.addr()).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut response = Vec::new();
        let reading = stream.read_to_end(&mut response);
        let read = tokio::time::timeout(PATIENCE, reading).await;
        read.unwrap().unwrap();
        let response = String::from_utf8(response).unwrap();
        response.lines().next().unwrap().to_owned()
    }
}

impl std::fmt::Debug for Setup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Setup")
            .field("counts", &self.server.counts())
            .field("tokens", &self.server.tokens())
            .field("lighttpd", &self.lighttpd.log())
            .finish_non_exhaustive()
    }
}

const POST: &str = "POST /v1/auth/tokens/short HTTP/1.1\r\nhost: proxy\r\nconnection: close\r\n";

#[tokio::test]
async fn lighttpd_answers_411_to_a_post_without_a_length() {
    let setup = Setup::start().await;
    let status = setup.raw(&format!("{POST}\r\n")).await;
    assert_eq!(status, "HTTP/1.1 411 Length Required");
    assert_eq!(setup.server.counts().short_term.requests, 0);

    // With a length, the request reaches the auth server, which refuses it for the missing token.
    let status = setup.raw(&format!("{POST}content-length: 0\r\n\r\n")).await;
    assert_eq!(status, "HTTP/1.1 401 Unauthorized");
    assert_eq!(setup.server.counts().short_term.requests, 1);
}

#[tokio::test]
async fn the_api_issues_exchanges_and_revokes() {
    let setup = Setup::start().await;
    let (api, server) = (&setup.api, &setup.server);

    let mut request = LongTokenRequest::new(GrantType::ClientCredentials, server.client_id());
    request.client_secret = Some(Secret::from(server.client_secret()));
    let long = api.issue_long_term_token(&request, None).await.unwrap();
    let long = long.into_token().unwrap();

    let all = api.issue_short_term_token(&long, None).await.unwrap();
    let all = all.into_token().unwrap();
    let request = ShortTokenRequest::scopes(["jobs:read"]);
    let reading = api.issue_short_term_token(&long, Some(&request)).await;
    let reading = reading.unwrap().into_token().unwrap();

    let issued = server.tokens();
    let scopes: Vec<_> = issued.iter().map(|token| token.scopes.clone()).collect();
    assert_eq!(scopes[1], scopes[0], "without scopes, the token has all");
    assert_eq!(scopes[2], ["jobs:read"]);
    assert_eq!(setup.live().len(), 3);

    api.revoke_token(all.token_id().unwrap(), &all)
        .await
        .unwrap();
    api.revoke_token(reading.token_id().unwrap(), &reading)
        .await
        .unwrap();
    api.revoke_token(long.token_id().unwrap(), &long)
        .await
        .unwrap();
    assert_eq!(setup.live(), []);
    assert_eq!(server.counts().revocations, 3);
}

#[tokio::test]
async fn a_provider_exchanges_and_shutdown_revokes_every_token() {
    let setup = Setup::start().await;
    let provider = setup
        .provider()
        .shutdown_policy(ShutdownPolicy::default().revoke_long_term(true))
        .build()
        .unwrap();
    let all = provider.token().await.unwrap();
    let refreshed = provider.refresh().await.unwrap();
    let reading = provider.scoped(["jobs:read"]).token().await.unwrap();

    let counts = setup.server.counts();
    assert_eq!(counts.long_term_issued, 1);
    assert_eq!(counts.exchanges_succeeded, 3);
    let issued = setup.tokens(TokenKind::ShortTerm);
    for (record, token) in issued.iter().zip([&all, &refreshed, &reading]) {
        assert_eq!(Some(record.token_id.as_str()), token.token_id());
        assert_eq!(record.scopes, token.scopes());
    }
    assert_eq!(reading.scopes(), ["jobs:read"]);
    assert!(all.scopes().len() > 1, "{all:?}");

    let report = provider.shutdown().await;
    assert!(report.all_revoked(), "{report:?}");
    assert_eq!(report.tokens.len(), 4);
    assert_eq!(setup.live(), []);
    assert!(setup.server.tokens().iter().all(|token| token.revoked));
    assert_eq!(setup.server.counts().revocations, 4);
}

#[tokio::test]
async fn a_set_of_scopes_that_is_idle_is_revoked() {
    let setup = Setup::start().await;
    let provider = setup
        .provider()
        .scope_policy(ScopePolicy::default().idle_timeout(Duration::from_millis(200)))
        .build()
        .unwrap();
    let root = provider.token().await.unwrap();
    let reading = provider.scoped(["jobs:read"]).token().await.unwrap();
    setup.until_revoked(reading.token_id().unwrap()).await;
    assert!(setup.server.is_live(root.token_id().unwrap()));

    let report = provider.shutdown().await;
    assert!(report.all_revoked(), "{report:?}");
    assert!(!setup.server.is_live(root.token_id().unwrap()));
}

#[tokio::test]
async fn a_rotation_revokes_the_long_term_token_that_it_replaces() {
    let setup = Setup::start().await;
    let provider = setup
        .provider()
        .rotate_with(Grant::self_rotation(setup.server.client_id()))
        .rotation_policy(RotationPolicy::default().grace(Duration::ZERO))
        .build()
        .unwrap();
    provider.ready().await.unwrap();
    provider.rotate().await.unwrap();

    let long_term = setup.tokens(TokenKind::LongTerm);
    let [old, new] = long_term.as_slice() else {
        panic!("{long_term:?}");
    };
    assert_eq!(new.parent.as_ref(), Some(&old.token_id));
    assert!(new.served > 0, "the new token is used: {new:?}");
    setup.until_revoked(&old.token_id).await;

    // The rotation obtained the new long-term token with a short-term token of its own.
    let short_term = setup.tokens(TokenKind::ShortTerm);
    let mut asking = short_term
        .iter()
        .filter(|token| token.scopes == ["tokens:write"]);
    setup.until_revoked(&asking.next().unwrap().token_id).await;

    let token = provider.refresh().await.unwrap();
    let token_id = token.token_id().unwrap();
    let record = setup.server.token(token_id).unwrap();
    assert_eq!(record.parent.as_ref(), Some(&new.token_id));

    let report = provider.shutdown().await;
    assert!(report.all_revoked(), "{report:?}");
    let live = setup.live();
    assert_eq!(live.len(), 1, "the new long-term token lives on: {live:?}");
    assert_eq!(live[0].token_id, new.token_id);
}
