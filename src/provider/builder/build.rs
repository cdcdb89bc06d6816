//! Checks the settings, and builds the provider.

use std::sync::Arc;

use http::StatusCode;

use super::TokenProviderBuilder;
use crate::calls::{Time, UserCode};
use crate::engine::{ScopeSet, Settings, Shared, current_runtime, ensure, normalized};
use crate::error::{Error, ErrorKind};
use crate::issuer::{Credential, Grant, Needs};
use crate::machine::SetId;
use crate::observe;
use crate::origin::{Origin, PlainHttp};
use crate::provider::{StopOnDrop, TokenProvider};
use crate::store::NoStore;

impl TokenProviderBuilder {
    /// Builds the provider.
    ///
    /// Within a tokio runtime, the first exchange begins at once, unless the provider is
    /// [lazy](crate::RefreshPolicy::lazy). Outside of a runtime, it begins with the first call that needs a
    /// token.
    ///
    /// # Errors
    ///
    /// Returns [`ErrorKind::Config`] if a policy, a grant, an origin or a refusal status is invalid, or if
    /// the issuer and the credential do not match. The text says which setting is invalid and why.
    ///
    /// # Examples
    ///
    /// ```
    /// # use everbearer::testkit::ScriptedIssuer;
    /// # use everbearer::{LongTermToken, TokenProvider};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), everbearer::Error> {
    /// # let builder = TokenProvider::builder(ScriptedIssuer::new(), LongTermToken::new("secret")?);
    /// let provider = builder.build()?;
    /// assert_eq!(provider.token().await?.expose(), "st-1");
    /// # Ok(())
    /// # }
    /// ```
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
                "this issuer replaces the long-term token with each exchange; do not set \
                 TokenProviderBuilder::rotate_with",
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
                "Grant::self_rotation needs a long-term token, so it cannot obtain the first one; pass it to \
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
            name: self.name.into(),
            counted_as: self.counted_as,
            profile,
            // Each grant of each provider records the secret that it last used.
            recover_with: recover_with.map(|grant| Box::new(grant.unused())),
            rotate_with: rotate_with.map(|grant| Box::new(grant.unused())),
            shares_store: self.store.is_some(),
            origins,
            plain_http: self.plain_http,
            refusals,
            policies: self.policies,
            shutdown: self.shutdown,
        };
        let user_code = UserCode::new(
            self.issuer,
            self.store.unwrap_or_else(|| NoStore::shared()),
            Time::new(self.clock),
            settings.policies.retry.exchange_timeout,
        );
        let seed = self.seed.unwrap_or_else(|| fastrand::u64(..));
        let root = ScopeSet::new(SetId::ROOT, normalized(self.scopes));
        let shared = Arc::new(Shared::new(settings, user_code, &root, long_term, seed));
        if current_runtime().is_ok() {
            ensure(&shared)?;
        }
        Ok(TokenProvider {
            stop_on_drop: Arc::new(StopOnDrop(Arc::clone(&shared))),
            set: root,
            shared,
        })
    }
}

impl TokenProviderBuilder {
    /// Refuses settings that need a long-term token.
    fn check_needs_nothing(&self) -> Result<(), Error> {
        let what = if !matches!(self.credential, Credential::None) {
            "start from Credential::None"
        } else if self.rotate_with.is_some() {
            "do not set TokenProviderBuilder::rotate_with"
        } else if self.recover_with.is_some() {
            "do not set TokenProviderBuilder::recover_with"
        } else if self.store.is_some() {
            "do not set TokenProviderBuilder::store, since a store holds long-term tokens"
        } else {
            return Ok(());
        };
        Err(config(format!(
            "this issuer needs no long-term token; {what}"
        )))
    }
}

/// Returns the origins to which the token may be sent, and logs those on plain http.
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
        // A permission to send secrets to the auth server over plain http does not cover the token.
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

fn config(text: impl Into<String>) -> Error {
    Error::own(ErrorKind::Config, text)
}

fn not_a_refusal(status: u16) -> Error {
    let text = format!(
        "status {status} cannot refuse a token; TokenProviderBuilder::refusal_statuses accepts 400 to 499"
    );
    config(text)
}
