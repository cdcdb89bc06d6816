//! Builds the auth server for tests.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use ring::error::Unspecified;
use ring::hmac;
use ring::rand::SystemRandom;

use super::AuthServer;
use super::clock::ServerClock;
use super::jwt::Signer;
use super::ledger::{Clients, Exchanges, Ledger, Minted, Rules, Tokens};
use super::options::{ClientKey, OldLongTermToken, TokenIds};
use super::random::Unguessable;
use super::serving::Serving;
use super::state::{Address, Credentials, ServerState};

/// Builds an [`AuthServer`]. [`AuthServer::builder`] creates it.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use everbearer::testkit::AuthServer;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// let server = AuthServer::builder()
///     .client("my-daemon", "correct-horse")
///     .scopes(["jobs:submit", "tokens:revoke"])
///     .short_term_lifetime(Duration::from_secs(60))
///     .start()
///     .await?;
/// assert_eq!(server.client_id(), "my-daemon");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use = "nothing is served until `start` is called"]
pub struct AuthServerBuilder {
    addr: SocketAddr,
    clients: Vec<Credentials>,
    client_keys: Vec<ClientKey>,
    clock_offset: i64,
    token_ids: TokenIds,
    rules: Rules,
}

impl AuthServerBuilder {
    pub(super) fn new() -> Self {
        Self {
            addr: (Ipv4Addr::LOCALHOST, 0).into(),
            clients: Vec::new(),
            client_keys: Vec::new(),
            clock_offset: 0,
            token_ids: TokenIds::default(),
            rules: Rules::default(),
        }
    }

    /// Sets the address to listen on. Default: a free port of the loopback interface.
    ///
    /// ```
    /// # use everbearer::testkit::AuthServer;
    /// let builder = AuthServer::builder().addr(([127, 0, 0, 1], 8080).into());
    /// ```
    pub fn addr(mut self, addr: SocketAddr) -> Self {
        self.addr = addr;
        self
    }

    /// Registers a client. Each call adds one; one-time codes are for the first. Default: one client, whose
    /// ID and secret are random.
    ///
    /// ```
    /// # use everbearer::testkit::AuthServer;
    /// let builder = AuthServer::builder().client("my-daemon", "correct-horse");
    /// ```
    pub fn client(mut self, id: impl Into<String>, secret: impl Into<String>) -> Self {
        self.clients.push(Credentials {
            id: id.into(),
            secret: secret.into(),
        });
        self
    }

    /// Registers a public key with which the server checks the assertions of all clients. Each call adds one.
    /// Default: none, and the server accepts no assertion.
    ///
    /// ```
    /// # use everbearer::testkit::{AuthServer, ClientKey};
    /// # let public_key = vec![0; 32];
    /// let builder = AuthServer::builder().client_key(ClientKey::EdDsa(public_key));
    /// ```
    pub fn client_key(mut self, key: ClientKey) -> Self {
        self.client_keys.push(key);
        self
    }

    /// Sets the scopes that each client may request, and gets if it requests none. `jobs:*` covers all scopes
    /// that begin with `jobs:`. Default: `jobs:*`, `templates:read`, `tokens:write` and `tokens:revoke`.
    ///
    /// ```
    /// # use everbearer::testkit::AuthServer;
    /// let builder = AuthServer::builder().scopes(["jobs:submit", "tokens:revoke"]);
    /// ```
    pub fn scopes<S: Into<String>>(mut self, scopes: impl IntoIterator<Item = S>) -> Self {
        self.rules.client_scopes = scopes.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the lifetime of short-term tokens, which is limited by the expiry of the exchanged long-term
    /// token. Default: 15 minutes.
    ///
    /// It is rounded down to whole seconds, unless [`fractional_timestamps`](Self::fractional_timestamps) is
    /// set.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use everbearer::testkit::AuthServer;
    /// let builder = AuthServer::builder().short_term_lifetime(Duration::from_secs(60));
    /// ```
    pub fn short_term_lifetime(mut self, lifetime: Duration) -> Self {
        self.rules.short_term_lifetime = lifetime;
        self
    }

    /// Sets the lifetime of long-term tokens whose request has no `ttl_seconds`. It may be shorter than the
    /// shortest `ttl_seconds`. Default: 30 days.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use everbearer::testkit::AuthServer;
    /// let builder = AuthServer::builder().long_term_lifetime(Duration::from_secs(10));
    /// ```
    pub fn long_term_lifetime(mut self, lifetime: Duration) -> Self {
        self.rules.long_term_lifetime = lifetime;
        self
    }

    /// Sets the maximum lifetime of long-term tokens, including those whose request has `ttl_seconds`.
    /// Default: 90 days.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use everbearer::testkit::AuthServer;
    /// let builder = AuthServer::builder().max_long_term_lifetime(Duration::from_secs(7_200));
    /// ```
    pub fn max_long_term_lifetime(mut self, lifetime: Duration) -> Self {
        self.rules.max_long_term_lifetime = lifetime;
        self
    }

    /// Sets whether a token needs the scope `tokens:revoke` to revoke itself, as some servers demand.
    /// Default: false, as in the contract.
    ///
    /// ```
    /// # use everbearer::testkit::AuthServer;
    /// let builder = AuthServer::builder().demand_revoke_scope(true);
    /// ```
    pub fn demand_revoke_scope(mut self, demands: bool) -> Self {
        self.rules.demands_revoke_scope = demands;
        self
    }

    /// Sets whether long-term tokens are JWTs. Default: false; they are opaque and begin with `lt_`.
    ///
    /// ```
    /// # use everbearer::testkit::AuthServer;
    /// let builder = AuthServer::builder().long_term_jwt(true);
    /// ```
    pub fn long_term_jwt(mut self, is_jwt: bool) -> Self {
        self.rules.long_term_jwt = is_jwt;
        self
    }

    /// Sets whether timestamps have milliseconds, as the `NumericDate` of RFC 7519 may. Default: false.
    ///
    /// Without milliseconds, timestamps are rounded down to whole seconds, so that a token of one second may
    /// expire at once. `expires_in` is always rounded down to whole seconds.
    ///
    /// ```
    /// # use everbearer::testkit::AuthServer;
    /// let builder = AuthServer::builder().fractional_timestamps(true);
    /// ```
    pub fn fractional_timestamps(mut self, are_fractional: bool) -> Self {
        self.rules.fractional_timestamps = are_fractional;
        self
    }

    /// Sets by how many seconds the server's clock is ahead of the machine's, or behind it if negative. The
    /// offset applies to all timestamps, all checks and the header `Date`. Default: 0.
    ///
    /// ```
    /// # use everbearer::testkit::AuthServer;
    /// let builder = AuthServer::builder().clock_offset(-90);
    /// ```
    pub fn clock_offset(mut self, seconds: i64) -> Self {
        self.clock_offset = seconds;
        self
    }

    /// Sets where responses state the IDs of tokens. Default: [`TokenIds::Body`].
    ///
    /// ```
    /// # use everbearer::testkit::{AuthServer, TokenIds};
    /// let builder = AuthServer::builder().token_ids(TokenIds::HeaderOnly);
    /// ```
    pub fn token_ids(mut self, token_ids: TokenIds) -> Self {
        self.token_ids = token_ids;
        self
    }

    /// Sets what happens to the old long-term token when one of its short-term tokens obtains the next one.
    /// Default: [`OldLongTermToken::LivesOn`].
    ///
    /// ```
    /// # use everbearer::testkit::{AuthServer, OldLongTermToken};
    /// let builder = AuthServer::builder().rotation(OldLongTermToken::DiesAtOnce);
    /// ```
    pub fn rotation(mut self, old: OldLongTermToken) -> Self {
        self.rules.rotation = old;
        self
    }

    /// Sets whether the revocation of a long-term token also ends the short-term tokens that were minted from it, as RFC
    /// 7009, section 2.1 suggests. Default: false.
    ///
    /// ```
    /// # use everbearer::testkit::AuthServer;
    /// let builder = AuthServer::builder().cascade_revocations(true);
    /// ```
    pub fn cascade_revocations(mut self, cascades: bool) -> Self {
        self.rules.minted = if cascades {
            Minted::EndsWithIt
        } else {
            Minted::LivesOn
        };
        self
    }

    /// Sets whether an exchange returns the same short-term token again, as some servers do. Default: false; each
    /// exchange returns another token.
    ///
    /// The server returns a token again if an earlier exchange of the same long-term token has returned it with the
    /// same scopes, if it is not revoked, and if at least a second of its lifetime is left. `expires_in` is the
    /// lifetime that is left.
    ///
    /// ```
    /// # use everbearer::testkit::AuthServer;
    /// # use everbearer::{AuthApi, Grant, TokenIssuer};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let server = AuthServer::builder().repeat_short_term_tokens(true).start().await?;
    ///
    /// let api = AuthApi::new(server.base_url())?;
    /// let grant = Grant::client_secret(server.client_id(), server.client_secret());
    /// let long_term = api.obtain(&grant, None).await?;
    /// for _ in 0..3 {
    ///     api.exchange(Some(&long_term), &[]).await?;
    /// }
    /// assert_eq!(server.counts().exchanges_succeeded, 1);
    /// assert_eq!(server.counts().exchanges_repeated, 2);
    /// # Ok(())
    /// # }
    /// ```
    pub fn repeat_short_term_tokens(mut self, repeats: bool) -> Self {
        self.rules.exchanges = if repeats {
            Exchanges::ReturnTheSameToken
        } else {
            Exchanges::ReturnAnotherToken
        };
        self
    }

    /// Sets a rate limit: after `max` requests to `POST /auth/tokens/short` within the time `per`, the server
    /// responds with 429 and a `Retry-After` in seconds. Default: none.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use everbearer::testkit::AuthServer;
    /// let builder = AuthServer::builder().rate_limit(10, Duration::from_secs(1));
    /// ```
    pub fn rate_limit(mut self, max: u32, per: Duration) -> Self {
        self.rules.rate_limit = Some((max, per));
        self
    }

    /// Starts the server on its own thread. It works in any runtime, and outside of a runtime.
    ///
    /// # Errors
    ///
    /// Returns an error if the address cannot be bound, or if the system provides no thread or no random
    /// numbers.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the server stops.
    ///
    /// # Examples
    ///
    /// ```
    /// use everbearer::testkit::AuthServer;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> std::io::Result<()> {
    /// let server = AuthServer::builder().start().await?;
    /// assert!(server.base_url().starts_with("http://127.0.0.1:"));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn start(self) -> io::Result<AuthServer> {
        let (state, serving) = Serving::start(self.addr, move |bound| {
            self.into_state(bound)
                .map_err(|_| io::Error::other("the system gave no randomness"))
        })
        .await?;
        Ok(AuthServer { state, serving })
    }

    fn into_state(self, bound: SocketAddr) -> Result<ServerState, Unspecified> {
        let mut random = Unguessable::new()?;
        let address = Address::of(bound);
        let default_client = self
            .clients
            .first()
            .cloned()
            .unwrap_or_else(|| Credentials::random(&mut random));
        let audiences = vec![address.base_url.clone(), address.url("/auth/tokens/long")];
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())?;
        let mut clients = Clients::new(key, self.client_keys, audiences);
        for client in self.clients.iter().chain([&default_client]) {
            clients.register(&client.id, &client.secret);
        }
        let signer = Signer::new(random.hex(16))?;
        let tokens = Tokens::new(address.base_url.clone(), signer);
        Ok(ServerState::new(
            address,
            default_client,
            ServerClock::new(self.clock_offset),
            self.token_ids,
            Ledger::new(self.rules, clients, tokens, random),
        ))
    }
}

impl fmt::Debug for AuthServerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let client_ids: Vec<_> = self.clients.iter().map(|client| &client.id).collect();
        f.debug_struct("AuthServerBuilder")
            .field("addr", &self.addr)
            .field("client_ids", &client_ids)
            .field("client_keys", &self.client_keys)
            .field("clock_offset", &self.clock_offset)
            .field("token_ids", &self.token_ids)
            .field("rules", &self.rules)
            .finish_non_exhaustive()
    }
}
