//! An auth server for tests.
//!
//! - `serving` runs the thread, `routes` converts HTTP into calls, `requests` and `replies` hold the headers
//!   and bodies of the contract, and `misbehaving` causes faults.
//! - `ledger` records and decides, without HTTP and without a clock.

mod assertion;
mod builder;
mod clock;
mod faults;
mod fields;
mod jwt;
mod ledger;
mod misbehaving;
mod options;
mod random;
mod refusal;
mod replies;
mod requests;
mod routes;
mod scope;
mod serving;
mod state;
mod wire;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

pub use builder::AuthServerBuilder;
pub use faults::{Endpoint, Fault};
pub use ledger::{Counts, EndpointCounts, JobsCounts, TokenKind, TokenRecord};
pub use options::{ClientKey, OldLongTermToken, TokenIds};

use serving::Serving;
use state::ServerState;

/// Serves the API of an auth server over HTTP, and a small resource API, for tests.
///
/// It issues, exchanges and revokes tokens as the contract says, records what it did, and causes the faults
/// that a test requests. It runs on its own thread until it is shut down or dropped, so that it keeps serving
/// while the runtime of the test is blocked, paused or gone.
///
/// | Request | Does |
/// |---|---|
/// | `POST {base_url}/auth/tokens/long` | issues a long-term token, for one of four proofs |
/// | `POST {base_url}/auth/tokens/short` | exchanges a long-term token for a short-term token, a JWT |
/// | `POST {base_url}/auth/tokens/{tokenId}/revoke` | revokes a token at once |
/// | `GET {base_url}/jobs` | is the resource API; needs the scope `jobs:read` |
/// | `POST {base_url}/jobs` | accepts any body; needs the scope `jobs:submit` |
/// | `GET {base_url}/health` | responds with 200, without a token |
///
/// After a long-term token is revoked, it cannot be exchanged any more. Short-term tokens that were obtained
/// with it stay valid until they expire or are revoked.
///
/// # Examples
///
/// ```
/// use everbearer::testkit::{AuthServer, Endpoint, Fault};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// let server = AuthServer::start().await?;
/// server.script(Endpoint::ShortTerm, [Fault::status(503)]);
///
/// // Here, your daemon runs against `server.base_url()`, as `server.client_id()` with
/// // `server.client_secret()`.
///
/// assert_eq!(server.counts().jobs_outcomes.expired, 0, "an expired token was sent");
/// server.shutdown().await;
/// # Ok(())
/// # }
/// ```
pub struct AuthServer {
    state: Arc<ServerState>,
    serving: Serving,
}

impl AuthServer {
    /// Starts a server with the defaults of [`AuthServerBuilder`].
    ///
    /// # Errors
    ///
    /// Returns an error if no port can be bound, or if the system provides no thread or no random numbers.
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
    /// let server = AuthServer::start().await?;
    /// println!("the auth server is at {}", server.base_url());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn start() -> io::Result<Self> {
        Self::builder().start().await
    }

    /// Returns a builder for a server.
    ///
    /// # Examples
    ///
    /// ```
    /// use everbearer::testkit::AuthServer;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> std::io::Result<()> {
    /// let server = AuthServer::builder().client("my-daemon", "correct-horse").start().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn builder() -> AuthServerBuilder {
        AuthServerBuilder::new()
    }

    /// Returns the base URL, such as `http://127.0.0.1:40123/v1`, without a trailing slash.
    ///
    /// # Examples
    ///
    /// ```
    /// # use everbearer::testkit::AuthServer;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = AuthServer::start().await?;
    /// let api = everbearer::AuthApi::new(server.base_url())?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn base_url(&self) -> &str {
        &self.state.address.base_url
    }

    /// Returns the URL of a path below the base URL. The path begins with a slash.
    ///
    /// # Examples
    ///
    /// ```
    /// # use everbearer::testkit::AuthServer;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = AuthServer::start().await?;
    /// assert!(server.url("/jobs").ends_with("/v1/jobs"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn url(&self, path: &str) -> String {
        self.state.address.url(path)
    }

    /// Returns the address that the server listens on.
    ///
    /// # Examples
    ///
    /// ```
    /// # use everbearer::testkit::AuthServer;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = AuthServer::start().await?;
    /// assert!(server.addr().ip().is_loopback());
    /// # Ok(())
    /// # }
    /// ```
    pub fn addr(&self) -> SocketAddr {
        self.state.address.socket
    }

    /// Returns the ID of the first client.
    ///
    /// # Examples
    ///
    /// ```
    /// # use everbearer::testkit::AuthServer;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = AuthServer::start().await?;
    /// use everbearer::Grant;
    ///
    /// let grant = Grant::client_secret(server.client_id(), server.client_secret());
    /// # Ok(())
    /// # }
    /// ```
    pub fn client_id(&self) -> &str {
        &self.state.default_client.id
    }

    /// Returns the secret of the first client.
    ///
    /// # Examples
    ///
    /// ```
    /// # use everbearer::testkit::AuthServer;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = AuthServer::start().await?;
    /// use everbearer::Grant;
    ///
    /// let grant = Grant::client_secret(server.client_id(), server.client_secret());
    /// # Ok(())
    /// # }
    /// ```
    pub fn client_secret(&self) -> &str {
        &self.state.default_client.secret
    }

    /// Returns a new one-time code for the first client. It has six digits, and is valid for one long-term
    /// token.
    ///
    /// # Examples
    ///
    /// ```
    /// # use everbearer::testkit::AuthServer;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = AuthServer::start().await?;
    /// assert_eq!(server.new_otp().len(), 6);
    /// # Ok(())
    /// # }
    /// ```
    pub fn new_otp(&self) -> String {
        self.state.ledger().new_one_time_code(self.client_id())
    }

    /// Sets by how many seconds the server's clock is ahead of the machine's, or behind it if negative.
    /// Issued tokens keep their timestamps, so that they expire if the clock moves forward.
    ///
    /// # Examples
    ///
    /// ```
    /// # use everbearer::testkit::AuthServer;
    /// # use everbearer::{AuthApi, Grant, TokenProvider};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = AuthServer::start().await?;
    /// # let grant = Grant::client_secret(server.client_id(), server.client_secret());
    /// # let provider = TokenProvider::builder(AuthApi::new(server.base_url())?, grant).build()?;
    /// let token = provider.token().await?;
    /// server.set_clock_offset(60 * 60);
    /// assert!(!server.is_live(token.token_id().unwrap()));
    /// # Ok(())
    /// # }
    /// ```
    pub fn set_clock_offset(&self, seconds: i64) {
        self.state.clock.set_offset(seconds);
    }

    /// Sets the lifetime of the short-term tokens that the server issues from now on.
    ///
    /// # Examples
    ///
    /// ```
    /// # use everbearer::testkit::AuthServer;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = AuthServer::start().await?;
    /// use std::time::Duration;
    ///
    /// server.set_short_term_lifetime(Duration::from_secs(2));
    /// # Ok(())
    /// # }
    /// ```
    pub fn set_short_term_lifetime(&self, lifetime: Duration) {
        self.state.ledger().set_short_term_lifetime(lifetime);
    }

    /// Appends faults to the script of an endpoint, one for each request. After the script has ended, the
    /// server processes requests as usual, or with the fault of [`fault_always`](Self::fault_always).
    ///
    /// # Examples
    ///
    /// ```
    /// # use everbearer::testkit::AuthServer;
    /// # use everbearer::{AuthApi, Grant, TokenProvider};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = AuthServer::start().await?;
    /// # let grant = Grant::client_secret(server.client_id(), server.client_secret());
    /// # let provider = TokenProvider::builder(AuthApi::new(server.base_url())?, grant).build()?;
    /// use everbearer::testkit::{Endpoint, Fault};
    ///
    /// server.script(Endpoint::ShortTerm, [Fault::status(503)]);
    /// assert_eq!(provider.token().await.unwrap_err().status(), Some(503));
    /// # Ok(())
    /// # }
    /// ```
    pub fn script(&self, endpoint: Endpoint, faults: impl IntoIterator<Item = Fault>) {
        self.state.script().append(endpoint, faults);
    }

    /// Sets the fault of all requests to an endpoint that the script does not cover, until
    /// [`clear_faults`](Self::clear_faults) is called.
    ///
    /// # Examples
    ///
    /// ```
    /// # use everbearer::testkit::AuthServer;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = AuthServer::start().await?;
    /// use std::time::Duration;
    /// use everbearer::testkit::{Endpoint, Fault};
    ///
    /// server.fault_always(Endpoint::Jobs, Fault::Latency(Duration::from_millis(20)));
    /// # Ok(())
    /// # }
    /// ```
    pub fn fault_always(&self, endpoint: Endpoint, fault: Fault) {
        self.state.script().set_always(endpoint, fault);
    }

    /// Removes all faults. A request that hangs already keeps hanging.
    ///
    /// # Examples
    ///
    /// ```
    /// # use everbearer::testkit::AuthServer;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = AuthServer::start().await?;
    /// use everbearer::testkit::{Endpoint, Fault};
    ///
    /// server.fault_always(Endpoint::ShortTerm, Fault::status(503));
    /// server.clear_faults();
    /// # Ok(())
    /// # }
    /// ```
    pub fn clear_faults(&self) {
        self.state.script().clear();
    }

    /// Returns what the server has done so far.
    ///
    /// # Examples
    ///
    /// ```
    /// # use everbearer::testkit::AuthServer;
    /// # use everbearer::{AuthApi, Grant, TokenProvider};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = AuthServer::start().await?;
    /// # let grant = Grant::client_secret(server.client_id(), server.client_secret());
    /// # let provider = TokenProvider::builder(AuthApi::new(server.base_url())?, grant).build()?;
    /// provider.ready().await?;
    /// assert_eq!(server.counts().exchanges_succeeded, 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn counts(&self) -> Counts {
        self.state.ledger().counts()
    }

    /// Returns what the server has recorded about the token with this ID, or `None` if it did not issue one.
    ///
    /// # Examples
    ///
    /// ```
    /// # use everbearer::testkit::AuthServer;
    /// # use everbearer::{AuthApi, Grant, TokenProvider};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = AuthServer::start().await?;
    /// # let grant = Grant::client_secret(server.client_id(), server.client_secret());
    /// # let provider = TokenProvider::builder(AuthApi::new(server.base_url())?, grant).build()?;
    /// let token = provider.token().await?;
    /// let record = server.token(token.token_id().unwrap()).unwrap();
    /// assert_eq!(record.client_id, server.client_id());
    /// # Ok(())
    /// # }
    /// ```
    pub fn token(&self, token_id: &str) -> Option<TokenRecord> {
        self.state.ledger().record(token_id)
    }

    /// Returns all tokens that the server has issued, in order.
    ///
    /// # Examples
    ///
    /// ```
    /// # use everbearer::testkit::AuthServer;
    /// # use everbearer::{AuthApi, Grant, TokenProvider};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = AuthServer::start().await?;
    /// # let grant = Grant::client_secret(server.client_id(), server.client_secret());
    /// # let provider = TokenProvider::builder(AuthApi::new(server.base_url())?, grant).build()?;
    /// provider.ready().await?;
    /// assert_eq!(server.tokens().len(), 2);
    /// # Ok(())
    /// # }
    /// ```
    pub fn tokens(&self) -> Vec<TokenRecord> {
        self.state.ledger().records()
    }

    /// Returns whether the server would accept a request with this token now: it has issued the token, and
    /// the token is neither expired nor revoked.
    ///
    /// # Examples
    ///
    /// ```
    /// # use everbearer::testkit::AuthServer;
    /// # use everbearer::{AuthApi, Grant, TokenProvider};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = AuthServer::start().await?;
    /// # let grant = Grant::client_secret(server.client_id(), server.client_secret());
    /// # let provider = TokenProvider::builder(AuthApi::new(server.base_url())?, grant).build()?;
    /// let token = provider.token().await?;
    /// assert!(server.is_live(token.token_id().unwrap()));
    /// # Ok(())
    /// # }
    /// ```
    pub fn is_live(&self, token_id: &str) -> bool {
        self.state.ledger().is_live(token_id, self.state.now())
    }

    /// Revokes a token at once, as an administrator can. Returns whether the server has issued a token with
    /// this ID.
    ///
    /// # Examples
    ///
    /// ```
    /// # use everbearer::testkit::AuthServer;
    /// # use everbearer::{AuthApi, Grant, TokenProvider};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = AuthServer::start().await?;
    /// # let grant = Grant::client_secret(server.client_id(), server.client_secret());
    /// # let provider = TokenProvider::builder(AuthApi::new(server.base_url())?, grant).build()?;
    /// let token = provider.token().await?;
    /// assert!(server.revoke(token.token_id().unwrap()));
    /// assert!(!server.is_live(token.token_id().unwrap()));
    /// # Ok(())
    /// # }
    /// ```
    pub fn revoke(&self, token_id: &str) -> bool {
        self.state.ledger().revoke_as_admin(token_id)
    }

    /// Revokes all short-term tokens at once.
    ///
    /// # Examples
    ///
    /// ```
    /// # use everbearer::testkit::AuthServer;
    /// # use everbearer::{AuthApi, Grant, TokenProvider};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = AuthServer::start().await?;
    /// # let grant = Grant::client_secret(server.client_id(), server.client_secret());
    /// # let provider = TokenProvider::builder(AuthApi::new(server.base_url())?, grant).build()?;
    /// let token = provider.token().await?;
    /// server.revoke_all_short_term();
    /// assert!(!server.is_live(token.token_id().unwrap()));
    /// # Ok(())
    /// # }
    /// ```
    pub fn revoke_all_short_term(&self) {
        self.state.ledger().revoke_all_short_term();
    }

    /// Stops the server: frees the port and closes all connections, including those of hanging requests. The
    /// server has stopped when this method returns. Dropping the server has the same effect, and blocks the
    /// thread for a moment.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the server stops all the same.
    ///
    /// # Examples
    ///
    /// ```
    /// # use everbearer::testkit::AuthServer;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = AuthServer::start().await?;
    /// let url = server.url("/health");
    /// server.shutdown().await;
    /// assert!(reqwest::get(&url).await.is_err());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn shutdown(self) {
        self.serving.stop().await;
    }
}

impl fmt::Debug for AuthServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthServer")
            .field("base_url", &self.base_url())
            .field("client_id", &self.client_id())
            .finish_non_exhaustive()
    }
}
