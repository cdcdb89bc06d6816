//! The ways to obtain a long-term token.

use std::time::Duration;

use crate::api::models::{GrantType, LongTokenRequest};
use crate::error::{Error, ErrorKind};
use crate::secret::Secret;

const SHORTEST_TTL: Duration = Duration::from_secs(60 * 60);
const LONGEST_TTL: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// A way to obtain a long-term token.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use everbearer::Grant;
///
/// let grant = Grant::client_secret("client_abc123", "correct-horse")
///     .scopes(["jobs:submit", "templates:read"])
///     .ttl(Duration::from_secs(30 * 24 * 60 * 60));
/// ```
#[derive(Clone, Debug)]
pub struct Grant {
    client_id: String,
    mechanism: Mechanism,
    scopes: Option<Vec<String>>,
    ttl: Option<Duration>,
}

#[derive(Clone, Debug)]
enum Mechanism {
    ClientSecret(Secret),
    OwnToken,
}

impl Grant {
    /// A client ID and its secret.
    pub fn client_secret(client_id: impl Into<String>, secret: impl Into<Secret>) -> Self {
        Self {
            client_id: client_id.into(),
            mechanism: Mechanism::ClientSecret(secret.into()),
            scopes: None,
            ttl: None,
        }
    }

    /// A short-term token of the provider's own with the `tokens:write` scope: the long-term token
    /// in use obtains the next one, without any other secret. It is for rotation only, since it
    /// needs a long-term token to begin with.
    pub fn own_token(client_id: impl Into<String>) -> Self {
        Self {
            client_id: client_id.into(),
            mechanism: Mechanism::OwnToken,
            scopes: None,
            ttl: None,
        }
    }

    /// Whether this is [`own_token`](Self::own_token).
    pub(crate) const fn is_own_token(&self) -> bool {
        matches!(self.mechanism, Mechanism::OwnToken)
    }

    /// What the long-term token is to be good for. Default: all that the client may have.
    #[must_use]
    pub fn scopes<S: Into<String>>(mut self, scopes: impl IntoIterator<Item = S>) -> Self {
        self.scopes = Some(scopes.into_iter().map(Into::into).collect());
        self
    }

    /// How long the long-term token is to live, from 1 hour to 90 days, in whole seconds; the
    /// server may give less. Default: what the server gives.
    #[must_use]
    pub const fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// The same grant; if it names no scopes, these are asked for.
    pub(crate) fn or_scopes(&self, scopes: &[String]) -> Self {
        let mut grant = self.clone();
        if grant.scopes.is_none() && !scopes.is_empty() {
            grant.scopes = Some(scopes.to_vec());
        }
        grant
    }

    pub(crate) fn validate(&self) -> Result<(), Error> {
        let refuse = |text: &str| Err(Error::new(ErrorKind::Config, text));
        if self.client_id.is_empty() {
            return refuse("the grant's client ID is empty");
        }
        if let Mechanism::ClientSecret(secret) = &self.mechanism
            && secret.expose().is_empty()
        {
            return refuse("the grant's client secret is empty");
        }
        if self
            .ttl
            .is_some_and(|ttl| !(SHORTEST_TTL..=LONGEST_TTL).contains(&ttl))
        {
            return refuse("the grant's ttl must lie between 1 hour and 90 days");
        }
        Ok(())
    }

    pub(super) fn request(&self) -> LongTokenRequest {
        let mut request =
            LongTokenRequest::new(GrantType::ClientCredentials, self.client_id.clone());
        if let Mechanism::ClientSecret(secret) = &self.mechanism {
            request.client_secret = Some(secret.clone());
        }
        request.scopes.clone_from(&self.scopes);
        request.ttl_seconds = self.ttl.map(|ttl| ttl.as_secs());
        request
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_that_the_contract_forbids_is_refused() {
        let hours = |hours: u64| Duration::from_secs(hours * 60 * 60);
        let grant = || Grant::client_secret("client", "secret");
        assert!(grant().validate().is_ok());
        assert!(grant().ttl(hours(1)).validate().is_ok());
        assert!(grant().ttl(hours(24 * 90)).validate().is_ok());
        for refused in [
            grant().ttl(hours(24 * 91)),
            grant().ttl(Duration::from_secs(3_599)),
            Grant::client_secret("", "secret"),
            Grant::client_secret("client", ""),
        ] {
            assert_eq!(refused.validate().unwrap_err().kind(), ErrorKind::Config);
        }
    }

    #[test]
    fn s6_a_grant_does_not_show_its_secret() {
        let grant = Grant::client_secret("client", "correct-horse");
        assert!(!format!("{grant:?}").contains("correct-horse"));
    }
}
