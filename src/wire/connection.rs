//! The HTTP clients that call an auth server, with their origin and timeout.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::error::{Error, ErrorKind};
use crate::origin::Origin;
use crate::unwind::caught;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an idle connection is kept: long enough for the calls of one exchange or of a shutdown, and shorter than
/// servers and middleboxes keep it, which may drop it silently.
const IDLE_TIMEOUT: Duration = Duration::from_secs(2);

/// A clone shares the connections.
#[derive(Clone)]
pub(crate) struct Connection {
    pub(super) http: reqwest::Client,
    /// See [`Connection::repeating`]. It is built when it is first needed.
    repeating: Arc<OnceLock<reqwest::Client>>,
    origin: Origin,
    pub(crate) timeout: Duration,
}

impl Connection {
    /// Uses this client, or else one of its own.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] if the timeout is zero, or the client cannot be built.
    pub(crate) fn new(
        http: Option<reqwest::Client>,
        origin: &Origin,
        timeout: Duration,
    ) -> Result<Self, Error> {
        let (http, repeating) = match http {
            Some(client) => (client.clone(), OnceLock::from(client)),
            None => (own_client(origin, usize::MAX)?, OnceLock::new()),
        };
        Ok(Self {
            http,
            repeating: Arc::new(repeating),
            origin: origin.clone(),
            timeout,
        })
    }

    /// Returns the client for repeated calls: the user's, or else one that keeps no connections, so that
    /// each call opens a new one.
    pub(super) fn repeating(&self) -> &reqwest::Client {
        self.repeating
            .get_or_init(|| own_client(&self.origin, 0).unwrap_or_else(|_| self.http.clone()))
    }
}

fn own_client(origin: &Origin, most_idle: usize) -> Result<reqwest::Client, Error> {
    let client = reqwest::Client::builder();
    // A proxy of the environment must not see plain http.
    let client = if origin.is_encrypted() {
        client
    } else {
        client.no_proxy()
    };
    let client = client
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .pool_max_idle_per_host(most_idle)
        .user_agent(concat!("everbearer/", env!("CARGO_PKG_VERSION")));
    // Without a rustls crypto provider, reqwest panics.
    let built = caught(|| client.build()).ok_or_else(|| {
        config(
            "reqwest panicked while it built the HTTP client; if reqwest's feature `rustls-no-provider` \
             is enabled, enable a TLS feature of reqwest, such as `rustls`, or install a process-wide \
             rustls `CryptoProvider` first, or pass a client with `http_client` of the builder",
        )
    })?;
    built.map_err(|error| config("the HTTP client could not be built").with_source(error))
}

fn config(text: &str) -> Error {
    Error::own(ErrorKind::Config, text)
}
