//! How a [`TokenProvider`] is configured.

use std::fmt;
use std::sync::Arc;

use http::StatusCode;

use super::{StopOnDrop, TokenProvider};
use crate::calls::{Outside, Time};
use crate::clock::{Clock, SystemClock};
use crate::engine::{ScopeSet, Settings, Shared, current_runtime, ensure, normalized};
use crate::error::{Error, ErrorKind};
use crate::issuer::{Credential, Grant, Needs, TokenIssuer};
use crate::machine::SetId;
use crate::observe;
use crate::origin::{Origin, PlainHttp};
use crate::policy::{
    Policies, RefreshPolicy, RetryPolicy, RotationPolicy, ScopePolicy, ShutdownPolicy,
};
use crate::store::{MemoryStore, TokenStore};

/// Configures a [`TokenProvider`]. Everything has a default.
#[must_use]
pub struct TokenProviderBuilder {
    name: String,
    issuer: Arc<dyn TokenIssuer>,
    credential: Credential,
    scopes: Vec<String>,
    origins: Option<Vec<String>>,
    plain_http: PlainHttp,
    refusals: Vec<u16>,
    clock: Arc<dyn Clock>,
    policies: Policies,
    shutdown: ShutdownPolicy,
    store: Option<Arc<dyn TokenStore>>,
    rotate_with: Option<Grant>,
    recover_with: Option<Grant>,
    seed: Option<u64>,
}

impl TokenProviderBuilder {
    pub(super) fn new(issuer: Arc<dyn TokenIssuer>, credential: Credential) -> Self {
        Self {
            name: "default".to_owned(),
            issuer,
            credential,
            scopes: Vec::new(),
            origins: None,
            plain_http: PlainHttp::by("TokenProviderBuilder::allow_plain_http_to"),
            refusals: vec![StatusCode::UNAUTHORIZED.as_u16()],
            clock: Arc::new(SystemClock),
            policies: Policies::default(),
            shutdown: ShutdownPolicy::default(),
            store: None,
            rotate_with: None,
            recover_with: None,
            seed: None,
        }
    }

    /// Tells this provider apart from others of the same process: in its `Debug`, and as the label
    /// `provider` of its [metrics](crate::guide::observation). Default: `default`.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
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

    /// Allows [`origins`](Self::origins) with plain http to this host, such as `jobs.internal` in a service mesh
    /// or a compose network: the token is sent there unencrypted. The host must be named in full and in lower
    /// case, without a port. Building the provider logs a warning for each origin that makes use of this.
    ///
    /// This says nothing about the auth server, and an auth server on plain http is no origin of the token by
    /// default: see [`AuthApiBuilder::allow_plain_http_to`](crate::AuthApiBuilder::allow_plain_http_to).
    ///
    /// ```
    /// # fn example(builder: everbearer::TokenProviderBuilder) {
    /// let builder = builder
    ///     .origins(["http://jobs.internal:8080", "https://api.example.com"])
    ///     .allow_plain_http_to("jobs.internal");
    /// # }
    /// ```
    pub fn allow_plain_http_to(mut self, host: impl Into<String>) -> Self {
        self.plain_http.allow(host.into());
        self
    }

    /// Where the long-term token survives a restart. What it holds goes before the token or the
    /// grant that the provider was built with: those are for an empty store, and for when the
    /// server refuses the stored token.
    ///
    /// Providers that share a store share the token: it is rotated once, and what another process
    /// writes is taken up at once.
    ///
    /// # Examples
    ///
    /// ```
    /// # use everbearer::testkit::ScriptedIssuer;
    /// use everbearer::{LongTermToken, MemoryStore, TokenProvider, TokenStore};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), everbearer::Error> {
    /// # let issuer = ScriptedIssuer::new();
    /// let store = MemoryStore::new();
    /// let provider = TokenProvider::builder(issuer, LongTermToken::new("secret")?)
    ///     .store(store.clone())
    ///     .build()?;
    /// provider.ready().await?;
    /// assert!(store.load().await?.is_some());
    /// # Ok(())
    /// # }
    /// ```
    pub fn store(mut self, store: impl TokenStore) -> Self {
        self.store = Some(Arc::new(store));
        self
    }

    /// The statuses by which a resource server or its gateway refuses a token, in place of 401. The
    /// middleware and [`send_with`](crate::RequestBuilderExt::send_with) then refresh the token and send the
    /// request again. A 401 or 403 with `error="invalid_token"` (RFC 6750, section 3.1) always counts, and
    /// `error="insufficient_scope"` never does.
    ///
    /// A 403 that means "not allowed" causes an exchange, too, at most one in
    /// [`RefreshPolicy::min_reject_interval`].
    ///
    /// ```
    /// # fn example(builder: everbearer::TokenProviderBuilder) {
    /// let builder = builder.refusal_statuses([401, 403, 419]);
    /// # }
    /// ```
    pub fn refusal_statuses(mut self, statuses: impl IntoIterator<Item = u16>) -> Self {
        self.refusals = statuses.into_iter().collect();
        self
    }

    /// How the next long-term token is obtained when it is to be rotated. Default: by the grant
    /// of [`recover_with`](Self::recover_with); where that is a
    /// [short-term token](Grant::bootstrap_token) lent for the start, by
    /// [the provider's own](Grant::self_rotation).
    pub fn rotate_with(mut self, grant: Grant) -> Self {
        self.rotate_with = Some(grant);
        self
    }

    /// How another long-term token is obtained when there is none, or when the server refuses the
    /// one in use. Default: by the grant that the provider was built with, if it was built with
    /// one; else by that of [`rotate_with`](Self::rotate_with), if it can obtain a first one.
    pub fn recover_with(mut self, grant: Grant) -> Self {
        self.recover_with = Some(grant);
        self
    }

    /// When the long-term token is rotated.
    pub fn rotation_policy(mut self, policy: RotationPolicy) -> Self {
        self.policies.rotation = policy;
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
    ///
    /// A test that pauses tokio's time needs one that follows tokio's timers, such as
    /// `testkit::ManualClock`. With the system clock, paused timers fire at once while the clock stands still,
    /// so the driver uses a full core.
    ///
    /// ```
    /// # use everbearer::testkit::ScriptedIssuer;
    /// use everbearer::testkit::ManualClock;
    /// # use everbearer::{LongTermToken, TokenProvider};
    ///
    /// // In a test with `#[tokio::test(start_paused = true)]`.
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), everbearer::Error> {
    /// # let builder = TokenProvider::builder(ScriptedIssuer::new(), LongTermToken::new("secret")?);
    /// let provider = builder.clock(ManualClock::new()).build()?;
    /// # Ok(())
    /// # }
    /// ```
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
            .and_then(|()| policies.rotation.validate())
            .and_then(|()| self.shutdown.validate())
            .map_err(config)?;
        let profile = self.issuer.profile();
        if profile.needs == Needs::Nothing {
            self.check_needs_nothing()?;
        }
        let (grant, long_term) = match self.credential {
            Credential::None if profile.needs != Needs::Nothing => {
                return Err(config(
                    "this issuer needs a long-term token, and Credential::None has none; start from a long-term \
                     token, a grant or Credential::Stored",
                ));
            }
            Credential::LongTerm(token) => (None, Some(token)),
            Credential::Grant(grant) => (Some(grant), None),
            Credential::Stored if self.store.is_none() => {
                return Err(config(
                    "Credential::Stored needs a store; see TokenProviderBuilder::store",
                ));
            }
            Credential::Stored | Credential::None => (None, None),
        };
        let replaces = profile.needs == Needs::Replacing;
        if replaces && self.rotate_with.is_some() {
            return Err(config(
                "this issuer replaces the long-term token with each exchange: leave \
                 TokenProviderBuilder::rotate_with away",
            ));
        }
        let recover_with = self.recover_with.or(grant).or_else(|| {
            let rotate_with = self.rotate_with.clone();
            rotate_with.filter(|grant| !grant.is_own_token())
        });
        let rotate_with = self
            .rotate_with
            .or_else(|| recover_with.as_ref().map(Grant::for_rotation))
            .filter(|_| !replaces);
        for grant in recover_with.iter().chain(&rotate_with) {
            grant.validate()?;
        }
        if recover_with.as_ref().is_some_and(Grant::is_own_token) {
            return Err(config(
                "Grant::self_rotation needs a long-term token to begin with; it is for \
                 TokenProviderBuilder::rotate_with",
            ));
        }
        let origins = allowed(
            self.origins.as_deref(),
            &self.plain_http,
            profile.origin.as_ref(),
            &self.name,
        )?;
        let refusals = self.refusals.iter().map(|&status| match status {
            400..=499 => StatusCode::from_u16(status).map_err(|_| not_a_refusal(status)),
            _ => Err(not_a_refusal(status)),
        });
        let refusals = refusals.collect::<Result<_, Error>>()?;
        let settings = Settings {
            name: self.name,
            profile,
            // Each provider, and each of its grants, keeps its own record of the secret that it last used.
            recover_with: recover_with.map(Grant::unused),
            rotate_with: rotate_with.map(Grant::unused),
            shares_store: self.store.is_some(),
            origins,
            plain_http: self.plain_http,
            refusals,
            policies: self.policies,
            shutdown: self.shutdown,
        };
        let outside = Outside::new(
            self.issuer,
            self.store.unwrap_or_else(|| Arc::new(MemoryStore::new())),
            Time::new(self.clock),
            settings.policies.retry.exchange_timeout,
        );
        let seed = self.seed.unwrap_or_else(|| fastrand::u64(..));
        let root = ScopeSet::new(SetId::ROOT, normalized(self.scopes));
        let shared = Arc::new(Shared::new(settings, outside, &root, long_term, seed));
        if current_runtime().is_ok() {
            ensure(&shared)?;
        }
        Ok(TokenProvider {
            lifeline: Arc::new(StopOnDrop(Arc::clone(&shared))),
            set: root,
            shared,
        })
    }
}

impl TokenProviderBuilder {
    /// Refuses what makes no sense without a long-term token.
    fn check_needs_nothing(&self) -> Result<(), Error> {
        let what = if !matches!(self.credential, Credential::None) {
            "start from Credential::None"
        } else if self.rotate_with.is_some() {
            "leave TokenProviderBuilder::rotate_with away"
        } else if self.recover_with.is_some() {
            "leave TokenProviderBuilder::recover_with away"
        } else if self.store.is_some() {
            "leave TokenProviderBuilder::store away, since a store holds long-term tokens"
        } else {
            return Ok(());
        };
        Err(config(format!(
            "this issuer needs no long-term token: {what}"
        )))
    }
}

/// Returns the origins to which the token may go, and logs those on plain http.
fn allowed(
    origins: Option<&[String]>,
    plain_http: &PlainHttp,
    issuers: Option<&Origin>,
    name: &str,
) -> Result<Arc<[Origin]>, Error> {
    plain_http.validate()?;
    let origins: Arc<[Origin]> = match origins {
        Some(origins) => {
            let origins = origins
                .iter()
                .map(|origin| Origin::parse(origin, plain_http));
            origins.collect::<Result<_, Error>>()?
        }
        // That secrets may go to the auth server on plain http does not mean that the token may.
        None => (issuers.into_iter())
            .filter(|origin| origin.is_allowed(plain_http))
            .cloned()
            .collect(),
    };
    for origin in origins.iter().filter(|origin| origin.is_exposed()) {
        observe::log_exposed_origin(name, &origin.to_string());
    }
    Ok(origins)
}

impl fmt::Debug for TokenProviderBuilder {
    /// Without the issuer, the store and the clock, whose `Debug` is a user's, and without the origins and hosts,
    /// which are not checked yet and may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenProviderBuilder")
            .field("name", &self.name)
            .field("credential", &self.credential)
            .field("scopes", &self.scopes)
            .field("refusal_statuses", &self.refusals)
            .field("policies", &self.policies)
            .field("shutdown_policy", &self.shutdown)
            .field("rotate_with", &self.rotate_with)
            .field("recover_with", &self.recover_with)
            .finish_non_exhaustive()
    }
}

fn config(text: impl Into<String>) -> Error {
    Error::own(ErrorKind::Config, text)
}

fn not_a_refusal(status: u16) -> Error {
    let text = format!(
        "{status} cannot refuse a token: TokenProviderBuilder::refusal_statuses takes 400 to 499"
    );
    config(text)
}
