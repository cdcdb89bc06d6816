//! The server to use, and the credential to start with.

use std::env::{self, VarError};
use std::time::Duration;

use crate::Result;
use everbearer::testkit::AuthServer;
use everbearer::{
    Credential, Grant, LongTermToken, RevocationOutcome, ShortTermToken, ShutdownReport,
};

const OWN_TOKENS_LIVE: Duration = Duration::from_secs(4);

pub(crate) struct Setting {
    pub(crate) base_url: String,
    pub(crate) target: String,
    pub(crate) credential: Credential,
    own_server: Option<AuthServer>,
}

impl Setting {
    /// Returns the server that the environment names, or else starts one.
    pub(crate) async fn find() -> Result<Self> {
        let Some(base_url) = variable("EVERBEARER_BASE_URL")? else {
            let server = AuthServer::builder()
                .short_term_lifetime(OWN_TOKENS_LIVE)
                .start()
                .await?;
            return Ok(Self {
                base_url: server.base_url().to_owned(),
                target: server.url("/jobs"),
                credential: Grant::client_secret(server.client_id(), server.client_secret()).into(),
                own_server: Some(server),
            });
        };
        let target = variable("EVERBEARER_TARGET_URL")?
            .ok_or("set EVERBEARER_TARGET_URL to the URL to call with the token")?;
        let credential = match (
            variable("EVERBEARER_LONG_TERM_TOKEN")?,
            variable("EVERBEARER_CLIENT_ID")?,
            variable("EVERBEARER_CLIENT_SECRET")?,
        ) {
            (Some(token), _, _) => LongTermToken::new(token)?.into(),
            (None, Some(id), Some(secret)) => Grant::client_secret(id, secret).into(),
            _ => {
                return Err(
                    "set EVERBEARER_LONG_TERM_TOKEN, or both EVERBEARER_CLIENT_ID and \
                            EVERBEARER_CLIENT_SECRET"
                        .into(),
                );
            }
        };
        Ok(Self {
            base_url,
            target,
            credential,
            own_server: None,
        })
    }

    /// Returns a client for the requests. For the own server, which is on this machine, it uses no proxy.
    pub(crate) fn client(&self) -> Result<reqwest::Client> {
        let client = reqwest::Client::builder();
        Ok(match self.own_server {
            Some(_) => client.no_proxy().build()?,
            None => client.build()?,
        })
    }

    pub(crate) fn describe_server(&self) -> String {
        match self.own_server {
            Some(_) => format!(
                "{}, started by this example; its tokens are valid for {OWN_TOKENS_LIVE:?}",
                self.base_url
            ),
            None => self.base_url.clone(),
        }
    }

    /// Returns whether this program obtained the long-term token, which it then revokes with the others.
    pub(crate) fn owns_long_term(&self) -> bool {
        matches!(self.credential, Credential::Grant(_))
    }

    pub(crate) fn least_exchanges(&self) -> usize {
        if self.own_server.is_some() { 4 } else { 1 }
    }

    /// Returns the tokens that the server still accepts, by calling it with each. With the own server, it also checks the
    /// revoked long-term token.
    pub(crate) async fn still_accepted(
        &self,
        tokens: &[ShortTermToken],
        report: &ShutdownReport,
    ) -> Result<Vec<String>> {
        let mut accepted = Vec::new();
        for token in tokens {
            let response = self
                .client()?
                .get(&self.target)
                .header("authorization", token.authorization())
                .send()
                .await?;
            if response.status().is_success() {
                accepted.push(token.token_id().unwrap_or("a token without ID").to_owned());
            }
        }
        for token in &report.tokens {
            if let (Some(server), Some(id)) = (&self.own_server, &token.token_id)
                && matches!(token.outcome, RevocationOutcome::Revoked)
                && server.is_live(id)
            {
                accepted.push(id.clone());
            }
        }
        Ok(accepted)
    }
}

fn variable(name: &str) -> Result<Option<String>> {
    match env::var(name) {
        Ok(value) => Ok(Some(value)),
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(_)) => Err(format!("{name} is not valid UTF-8").into()),
    }
}
