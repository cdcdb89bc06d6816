//! How a [`TokenProvider`] is configured.

use std::sync::Arc;

use super::driver;
use super::lane::{Lane, normalized};
use super::shared::{Settings, Shared};
use super::{Lifeline, TokenProvider};
use crate::clock::{Clock, SystemClock};
use crate::error::{Error, ErrorKind};
use crate::issuer::{Credential, TokenIssuer};
use crate::machine::{LaneId, Policies};
use crate::origin::Origin;
use crate::policy::{RefreshPolicy, RetryPolicy, ScopePolicy, ShutdownPolicy};

/// Configures a [`TokenProvider`]. Everything has a default.
#[derive(Debug)]
#[must_use]
pub struct TokenProviderBuilder {
    issuer: Arc<dyn TokenIssuer>,
    credential: Credential,
    scopes: Vec<String>,
    origins: Option<Vec<String>>,
    clock: Arc<dyn Clock>,
    policies: Policies,
    shutdown: ShutdownPolicy,
    seed: Option<u64>,
}

impl TokenProviderBuilder {
    pub(super) fn new(issuer: Arc<dyn TokenIssuer>, credential: Credential) -> Self {
        Self {
            issuer,
            credential,
            scopes: Vec::new(),
            origins: None,
            clock: Arc::new(SystemClock),
            policies: Policies::default(),
            shutdown: ShutdownPolicy::default(),
            seed: None,
        }
    }

    /// What the short-term tokens are to be good for. Default: all that the long-term token
    /// grants.
    pub fn scopes<S: Into<String>>(mut self, scopes: impl IntoIterator<Item = S>) -> Self {
        self.scopes = scopes.into_iter().map(Into::into).collect();
        self
    }

    /// The origins (scheme, host and port; a path is ignored) to which the token may go, instead
    /// of the issuer's own. Requests to other origins go out without it.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # use everbearer::{AuthApi, Grant, TokenProvider};
    /// # fn main() -> Result<(), everbearer::Error> {
    /// let api = AuthApi::new("https://auth.example.com/v1")?;
    /// let provider = TokenProvider::builder(api, Grant::client_secret("id", "secret"))
    ///     .origins(["https://jobs.example.com", "https://files.example.com:8443"])
    ///     .build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn origins<S: Into<String>>(mut self, origins: impl IntoIterator<Item = S>) -> Self {
        self.origins = Some(origins.into_iter().map(Into::into).collect());
        self
    }

    /// When a token is replaced.
    pub fn refresh_policy(mut self, policy: RefreshPolicy) -> Self {
        self.policies.refresh = policy;
        self
    }

    /// How to go on when an exchange fails, and how long anything may take.
    pub fn retry_policy(mut self, policy: RetryPolicy) -> Self {
        self.policies.retry = policy;
        self
    }

    /// How many narrower sets of scopes are kept, and for how long.
    pub fn scope_policy(mut self, policy: ScopePolicy) -> Self {
        self.policies.scopes = policy;
        self
    }

    /// How the shutdown goes about its work.
    pub fn shutdown_policy(mut self, policy: ShutdownPolicy) -> Self {
        self.shutdown = policy;
        self
    }

    /// Another clock than the machine's, for tests.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Makes the jitter the same in every run, for tests. Default: another one each time.
    pub fn jitter_seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// The provider. Within a tokio runtime, the first exchange begins at once; outside of one,
    /// with the first call that needs a token.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] if a policy, a grant or an origin makes no sense; the text says which
    /// and why.
    pub fn build(self) -> Result<TokenProvider, Error> {
        let policies = &self.policies;
        policies
            .refresh
            .validate()
            .and_then(|()| policies.retry.validate())
            .and_then(|()| policies.scopes.validate())
            .and_then(|()| self.shutdown.validate())
            .map_err(|text| Error::new(ErrorKind::Config, text))?;
        let (grant, long_term) = match self.credential {
            Credential::LongTerm(token) => (None, Some(token)),
            Credential::Grant(grant) => {
                grant.validate()?;
                (Some(grant), None)
            }
            Credential::Stored => (None, None),
        };
        let origins = match &self.origins {
            Some(origins) => origins
                .iter()
                .map(|origin| origin.parse())
                .collect::<Result<Arc<[Origin]>, Error>>()?,
            None => self.issuer.origin().into_iter().collect(),
        };
        let settings = Settings {
            issuer: self.issuer,
            grant,
            origins,
            clock: self.clock,
            policies: self.policies,
            shutdown: self.shutdown,
        };
        let seed = self.seed.unwrap_or_else(|| fastrand::u64(..));
        let root = Lane::new(LaneId::ROOT, normalized(self.scopes));
        let shared = Arc::new(Shared::new(settings, &root, long_term, seed));
        if driver::current_runtime().is_ok() {
            driver::ensure(&shared)?;
        }
        Ok(TokenProvider {
            lifeline: Arc::new(Lifeline(Arc::clone(&shared))),
            lane: root,
            shared,
        })
    }
}
