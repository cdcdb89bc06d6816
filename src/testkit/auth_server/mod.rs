//! The server side of the Auth API.
//!
//! - `serving` runs the thread, `routes` turns HTTP into calls, `requests` and `replies` are the
//!   contract's headers and bodies, `misbehaving` makes requests go wrong.
//! - `ledger` remembers and decides, and knows neither HTTP nor the time.

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

/// A real Auth API on a real socket, with a small resource API beside it.
///
/// It issues, exchanges and revokes tokens as the contract says, remembers what it did, and fails
/// in the ways that a test asks for. It serves from a thread of its own until it is shut down or
/// dropped, so it goes on when the runtime of the test is blocked, paused or gone.
///
/// | Request | Does |
/// |---|---|
/// | `POST {base_url}/auth/tokens/long` | issues a long-term token, for one of four proofs |
/// | `POST {base_url}/auth/tokens/short` | exchanges it for a short-term one, a JWT |
/// | `POST {base_url}/auth/tokens/{tokenId}/revoke` | revokes either, at once |
/// | `GET {base_url}/jobs` | is the resource API; needs the scope `jobs:read` |
/// | `POST {base_url}/jobs` | takes any body; needs the scope `jobs:submit` |
/// | `GET {base_url}/health` | answers 200 to anybody |
///
/// Revoking a long-term token ends exchanges with it. The short-term tokens that were minted from
/// it live on until they end or are revoked themselves.
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
    /// Where no port can be bound, or the system has no thread or no randomness to give.
    pub async fn start() -> io::Result<Self> {
        Self::builder().start().await
    }

    /// Settings to start a server with.
    pub fn builder() -> AuthServerBuilder {
        AuthServerBuilder::new()
    }

    /// Such as `http://127.0.0.1:40123/v1`, without a slash at the end.
    pub fn base_url(&self) -> &str {
        &self.state.address.base_url
    }

    /// The URL of a path below the base URL, which begins with a slash: `server.url("/jobs")`.
    pub fn url(&self, path: &str) -> String {
        self.state.address.url(path)
    }

    /// The address that the server listens on.
    pub fn addr(&self) -> SocketAddr {
        self.state.address.socket
    }

    /// The ID of the first client.
    pub fn client_id(&self) -> &str {
        &self.state.default_client.id
    }

    /// The secret of the first client.
    pub fn client_secret(&self) -> &str {
        &self.state.default_client.secret
    }

    /// A new one-time code for the first client: six digits, good for one long-term token.
    pub fn new_otp(&self) -> String {
        self.state.ledger().new_one_time_code(self.client_id())
    }

    /// Sets the server's clock to be this many seconds ahead of the machine's, or behind where
    /// negative. Tokens that exist already keep their timestamps: moving the clock forward makes
    /// them expire.
    pub fn set_clock_offset(&self, seconds: i64) {
        self.state.clock.set_offset(seconds);
    }

    /// Sets the lifetime of the short-term tokens that are minted from now on.
    pub fn set_short_term_lifetime(&self, lifetime: Duration) {
        self.state.ledger().set_short_term_lifetime(lifetime);
    }

    /// Appends faults to the endpoint's script: one for each request, in this order. When they are
    /// used up, requests are served as usual, or meet what [`fault_always`](Self::fault_always) set.
    pub fn script(&self, endpoint: Endpoint, faults: impl IntoIterator<Item = Fault>) {
        self.state.script().append(endpoint, faults);
    }

    /// Makes all requests to the endpoint meet this fault, apart from those that the script speaks
    /// of, until [`clear_faults`](Self::clear_faults).
    pub fn fault_always(&self, endpoint: Endpoint, fault: Fault) {
        self.state.script().set_always(endpoint, fault);
    }

    /// Ends all faults, scripted and lasting ones. A request that hangs already goes on hanging.
    pub fn clear_faults(&self) {
        self.state.script().clear();
    }

    /// What has happened so far.
    pub fn counts(&self) -> Counts {
        self.state.ledger().counts()
    }

    /// What the server knows of the token with this ID, if it issued one.
    pub fn token(&self, token_id: &str) -> Option<TokenRecord> {
        self.state.ledger().record(token_id)
    }

    /// All tokens that were ever issued, in the order of their issue.
    pub fn tokens(&self) -> Vec<TokenRecord> {
        self.state.ledger().records()
    }

    /// Whether a request with this token would be accepted now: issued, neither expired nor revoked.
    pub fn is_live(&self, token_id: &str) -> bool {
        self.state.ledger().is_live(token_id, self.state.now())
    }

    /// Revokes a token as an administrator would, at once. Returns whether the ID is known.
    pub fn revoke(&self, token_id: &str) -> bool {
        self.state.ledger().revoke_as_admin(token_id)
    }

    /// Revokes all short-term tokens there are, at once.
    pub fn revoke_all_short_term(&self) {
        self.state.ledger().revoke_all_short_term();
    }

    /// Stops serving: frees the port and ends all connections, those of hanging requests included.
    /// It is done when this returns. Dropping the server does the same, blocking for the moment that
    /// it takes.
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
