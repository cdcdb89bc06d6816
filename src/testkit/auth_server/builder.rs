//! Settings, and what a server is made of.

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
use super::ledger::{Clients, Ledger, Rules, Tokens};
use super::options::{ClientKey, OldLongTermToken, TokenIds};
use super::random::Unguessable;
use super::serving::Serving;
use super::state::{Address, Credentials, ServerState};

/// Settings of an [`AuthServer`] that is to be started.
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

    /// Where to listen. By default on a free port of the loopback interface.
    pub fn addr(mut self, addr: SocketAddr) -> Self {
        self.addr = addr;
        self
    }

    /// Registers a client. Can be called for several; one-time codes are for the first.
    ///
    /// By default there is one client, with an ID and a secret that are new for each server.
    pub fn client(mut self, id: impl Into<String>, secret: impl Into<String>) -> Self {
        self.clients.push(Credentials {
            id: id.into(),
            secret: secret.into(),
        });
        self
    }

    /// Registers a public key that the assertions of all clients are checked with. Can be called
    /// for several. By default there is none, and no assertion is accepted.
    pub fn client_key(mut self, key: ClientKey) -> Self {
        self.client_keys.push(key);
        self
    }

    /// What every client may be granted, and is where it names no scopes. `jobs:*` covers all
    /// scopes that begin with `jobs:`.
    ///
    /// By default `jobs:*`, `templates:read`, `tokens:write` and `tokens:revoke`.
    pub fn scopes<S: Into<String>>(mut self, scopes: impl IntoIterator<Item = S>) -> Self {
        self.rules.client_scopes = scopes.into_iter().map(Into::into).collect();
        self
    }

    /// How long short-term tokens live, but never longer than the long-term token that they are
    /// minted from. By default 15 minutes.
    ///
    /// Rounded down to whole seconds, unless with
    /// [`fractional_timestamps`](Self::fractional_timestamps).
    pub fn short_term_lifetime(mut self, lifetime: Duration) -> Self {
        self.rules.short_term_lifetime = lifetime;
        self
    }

    /// How long a long-term token lives where its request has no `ttl_seconds`. By default 30 days.
    /// May be shorter than what a client could ask for.
    pub fn long_term_lifetime(mut self, lifetime: Duration) -> Self {
        self.rules.long_term_lifetime = lifetime;
        self
    }

    /// What all lifetimes of long-term tokens are clamped to, those that a client asked for with
    /// `ttl_seconds` included. By default 90 days.
    pub fn max_long_term_lifetime(mut self, lifetime: Duration) -> Self {
        self.rules.max_long_term_lifetime = lifetime;
        self
    }

    /// Whether a token needs the `tokens:revoke` scope to revoke itself. By default it does not, as the contract
    /// says; some servers deviate from it.
    pub fn demand_revoke_scope(mut self, demands: bool) -> Self {
        self.rules.demands_revoke_scope = demands;
        self
    }

    /// Whether long-term tokens are JWTs. By default they are opaque, and begin with `lt_`.
    pub fn long_term_jwt(mut self, is_jwt: bool) -> Self {
        self.rules.long_term_jwt = is_jwt;
        self
    }

    /// Whether timestamps have milliseconds, as the `NumericDate` of RFC 7519 may. By default they are
    /// whole seconds, rounded down, so that a token of one second lives for anything up to that.
    ///
    /// `expires_in` is always in whole seconds, rounded down.
    pub fn fractional_timestamps(mut self, are_fractional: bool) -> Self {
        self.rules.fractional_timestamps = are_fractional;
        self
    }

    /// How many seconds the server's clock is ahead of the machine's, or behind where negative: in
    /// all that it stamps and checks, and in its `Date` header. By default 0.
    pub fn clock_offset(mut self, seconds: i64) -> Self {
        self.clock_offset = seconds;
        self
    }

    /// Where clients find the IDs of their tokens. By default in `token_id`.
    pub fn token_ids(mut self, token_ids: TokenIds) -> Self {
        self.token_ids = token_ids;
        self
    }

    /// What becomes of the old long-term token when a short-term token that was minted from it
    /// obtains a new one. By default it lives on.
    pub fn rotation(mut self, old: OldLongTermToken) -> Self {
        self.rules.rotation = old;
        self
    }

    /// Answers requests to `POST /auth/tokens/short` with 429 and a `Retry-After` in seconds, once
    /// there were `max` of them within the time `per`. By default there is no limit.
    pub fn rate_limit(mut self, max: u32, per: Duration) -> Self {
        self.rules.rate_limit = Some((max, per));
        self
    }

    /// Starts the server, on a thread of its own. Works on any runtime, or none.
    ///
    /// # Errors
    ///
    /// Where the address cannot be bound, or the system has no thread or no randomness to give.
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
