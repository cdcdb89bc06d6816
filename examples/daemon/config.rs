//! The config. Optional values have the defaults of the library.

use std::net::SocketAddr;
use std::path::PathBuf;

use everbearer::{RefreshPolicy, RetryPolicy, RotationPolicy, ShutdownPolicy};
use serde::Deserialize;

use crate::duration::Time;
use crate::place::Places;
use crate::secret::Source;

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) auth: Auth,
    pub(crate) token: Token,
    pub(crate) job: Job,
    pub(crate) http: Http,
    pub(crate) refresh: Refresh,
    pub(crate) rotation: Rotation,
    pub(crate) retry: Retry,
    pub(crate) shutdown: Shutdown,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Auth {
    pub(crate) base_url: String,
    /// Without it, the long-term token is not rotated.
    pub(crate) client_id: Option<String>,
    /// Without it, the long-term token obtains the next one, and the token file must hold the first one.
    pub(crate) client_secret: Option<Source>,
    pub(crate) scopes: Vec<String>,
    /// The host that `base_url` may name on plain http.
    pub(crate) allow_plain_http_to: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Token {
    pub(crate) file: PathBuf,
    pub(crate) accept_group_readable: bool,
    pub(crate) sealing_key: Option<Source>,
    /// Skips the permission checks of the token file and of all secret files.
    pub(crate) skip_permission_checks: bool,
}

#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Job {
    pub(crate) url: String,
    pub(crate) every: Time,
    pub(crate) timeout: Time,
    /// The host that `url` may name on plain http.
    pub(crate) allow_plain_http_to: Option<String>,
}

impl Default for Job {
    fn default() -> Self {
        Self {
            url: String::new(),
            every: Time::seconds(30),
            timeout: Time::seconds(10),
            allow_plain_http_to: None,
        }
    }
}

#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Http {
    pub(crate) listen: SocketAddr,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 9464)),
        }
    }
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Refresh {
    fraction: Option<f64>,
    before_end: Option<Time>,
    jitter: Option<f64>,
    margin: Option<Time>,
}

impl Refresh {
    pub(crate) fn policy(&self) -> RefreshPolicy {
        let mut policy = RefreshPolicy::default();
        if let Some(fraction) = self.fraction {
            policy = policy.fraction(fraction);
        }
        if let Some(Time(lead)) = self.before_end {
            policy = policy.refresh_before(lead);
        }
        if let Some(jitter) = self.jitter {
            policy = policy.jitter(jitter);
        }
        if let Some(Time(margin)) = self.margin {
            policy = policy.expiry_margin(margin);
        }
        policy
    }
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Rotation {
    fraction: Option<f64>,
    before_end: Option<Time>,
    jitter: Option<f64>,
    grace: Option<Time>,
    on_demand_only: bool,
}

impl Rotation {
    pub(crate) fn policy(&self) -> RotationPolicy {
        let mut policy = RotationPolicy::default();
        if self.on_demand_only {
            policy = policy.manual();
        }
        if let Some(fraction) = self.fraction {
            policy = policy.fraction(fraction);
        }
        if let Some(Time(lead)) = self.before_end {
            policy = policy.before_end(lead);
        }
        if let Some(jitter) = self.jitter {
            policy = policy.jitter(jitter);
        }
        if let Some(Time(grace)) = self.grace {
            policy = policy.grace(grace);
        }
        policy
    }
}

#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Retry {
    first_delay: Time,
    longest_delay: Time,
    exchange_timeout: Option<Time>,
    wait_timeout: Option<Time>,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            first_delay: Time::seconds(1),
            longest_delay: Time::seconds(60),
            exchange_timeout: None,
            wait_timeout: None,
        }
    }
}

impl Retry {
    pub(crate) fn policy(&self) -> RetryPolicy {
        let mut policy = RetryPolicy::default().backoff(self.first_delay.0, self.longest_delay.0);
        if let Some(Time(timeout)) = self.exchange_timeout {
            policy = policy.exchange_timeout(timeout);
        }
        if let Some(Time(timeout)) = self.wait_timeout {
            policy = policy.wait_timeout(timeout);
        }
        policy
    }
}

#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Shutdown {
    /// The deadline of the whole daemon. A tenth is for neither the job nor the revocations.
    pub(crate) deadline: Time,
    pub(crate) revoke_long_term: bool,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self {
            deadline: Time::seconds(10),
            revoke_long_term: false,
        }
    }
}

impl Shutdown {
    /// Returns the time for the job in flight: half of the deadline.
    pub(crate) fn for_job(&self) -> std::time::Duration {
        self.deadline.0 / 2
    }

    pub(crate) fn for_http(&self) -> std::time::Duration {
        self.deadline.0 / 10
    }

    pub(crate) fn policy(&self) -> ShutdownPolicy {
        ShutdownPolicy::default()
            .deadline(self.deadline.0 * 4 / 10)
            .revoke_long_term(self.revoke_long_term)
    }
}

impl Config {
    /// Returns the sections that differ and are only read at the start.
    pub(crate) fn needs_restart(&self, other: &Self) -> Vec<&'static str> {
        let differs = [
            ("auth", self.auth != other.auth),
            ("token", self.token != other.token),
            ("http", self.http != other.http),
            ("refresh", self.refresh != other.refresh),
            ("rotation", self.rotation != other.rotation),
            ("retry", self.retry != other.retry),
            ("shutdown", self.shutdown != other.shutdown),
        ];
        let differs = differs.into_iter().filter(|(_, differs)| *differs);
        differs.map(|(name, _)| name).collect()
    }
}

/// The keys of the settings that the library names at the start of an error.
const SETTINGS: [(&str, &[&str]); 9] = [
    ("RefreshPolicy::refresh_before", &["refresh.before_end"]),
    ("RefreshPolicy::expiry_margin", &["refresh.margin"]),
    ("RetryPolicy::backoff (first)", &["retry.first_delay"]),
    ("RetryPolicy::backoff (longest)", &["retry.longest_delay"]),
    (
        "RetryPolicy::backoff:",
        &["retry.first_delay", "retry.longest_delay"],
    ),
    (
        "AuthApiBuilder::allow_plain_http_to:",
        &["auth.allow_plain_http_to"],
    ),
    (
        "TokenProviderBuilder::allow_plain_http_to:",
        &["job.allow_plain_http_to"],
    ),
    ("the grant's client ID", &["auth.client_id"]),
    ("the grant's client secret", &["auth.client_secret"]),
];

/// Returns the key that an error of the library is about, and the error without the value, which may be a secret in the
/// wrong place.
pub(crate) fn blamed(error: &str, places: &Places) -> Option<(String, String)> {
    let advice = |error: &str| {
        let advice = error.split_once("; ").map_or(error, |(_, advice)| advice);
        advice.trim_start_matches(':').trim().to_owned()
    };
    let client_secret = "auth.client_secret".to_owned();
    if error.starts_with("the secret's file") {
        return Some((client_secret, error.to_owned()));
    }
    if let Some(rest) = error.strip_prefix("the environment variable ") {
        // Without its name, which may be the secret in the wrong place.
        let (_, message) = rest.split_once(' ')?;
        return Some((client_secret, format!("the environment variable {message}")));
    }
    for (name, keys) in SETTINGS {
        if let Some(rest) = error.strip_prefix(name) {
            let set = keys.iter().find(|key| places.sets(key));
            let key = set.or(keys.first())?;
            let message = if name.ends_with(':') {
                rest.trim().to_owned()
            } else {
                advice(error)
            };
            return Some(((*key).to_owned(), message));
        }
    }
    for section in ["refresh", "rotation", "retry", "shutdown"] {
        let policy = format!("{}{}Policy::", &section[..1].to_uppercase(), &section[1..]);
        if let Some((setting, rest)) = error
            .strip_prefix(&policy)
            .and_then(|it| it.split_once(' '))
        {
            return Some((format!("{section}.{setting}"), advice(rest)));
        }
    }
    None
}

/// Replaces the methods in an error of the library by keys of the config.
pub(crate) fn in_keys(text: &str) -> String {
    const SKIP: &str = "`skip_permission_checks = true` under [token]";

    let mut text = text.to_owned();
    for (setting, key) in [
        ("`FileStore::skip_permission_checks`", SKIP),
        ("`SecretSource::skip_permission_checks`", SKIP),
        (
            "read it yourself and use `SealingKey::parse`",
            "accept it with `skip_permission_checks = true` under [token]",
        ),
        (
            "`accept_group_readable`",
            "`accept_group_readable = true` under [token]",
        ),
        (
            "FileStore::sealed_with, feature sealed",
            "`sealing_key` under [token]",
        ),
        (
            "`AuthApiBuilder::allow_plain_http_to`",
            "`allow_plain_http_to` under [auth]",
        ),
        (
            "`TokenProviderBuilder::allow_plain_http_to`",
            "`allow_plain_http_to` under [job]",
        ),
    ] {
        text = text.replace(setting, key);
    }
    text
}
