//! The ways to obtain a long-term token.

mod assertion;
mod one_time;
#[cfg(feature = "assertion")]
mod signing_key;

use std::future::Future;
use std::time::Duration;

pub use assertion::AssertionSigner;
#[cfg(feature = "assertion")]
pub use signing_key::SigningKey;

use crate::error::{Error, ErrorKind};
use crate::secret::Secret;
use crate::secret::SecretSource;
use crate::token::ShortTermToken;
use assertion::Assertion;
use one_time::OneTimeCodes;

const SHORTEST_TTL: Duration = Duration::from_secs(60 * 60);
const LONGEST_TTL: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// A way to obtain a long-term token.
///
/// Secrets are asked for when a request is made, and anew for each request; see [`SecretSource`].
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
    /// What was said of an assertion, of which there is none.
    misplaced: Option<&'static str>,
}

#[derive(Clone, Debug)]
enum Mechanism {
    ClientSecret(SecretSource),
    OneTimeCode(OneTimeCodes),
    Assertion(Assertion),
    ShortTermToken(SecretSource),
    OwnToken,
}

impl Grant {
    fn new(client_id: impl Into<String>, mechanism: Mechanism) -> Self {
        Self {
            client_id: client_id.into(),
            mechanism,
            scopes: None,
            ttl: None,
            misplaced: None,
        }
    }

    /// A client ID and its secret.
    pub fn client_secret(client_id: impl Into<String>, secret: impl Into<SecretSource>) -> Self {
        Self::new(client_id, Mechanism::ClientSecret(secret.into()))
    }

    /// A client ID and a one-time code, which this callback is asked for: from a prompt, from a
    /// device.
    ///
    /// It is asked anew for each request, and no code is sent twice in a row, whatever became of
    /// the first request: if the callback brings the last code again, as a generator does that
    /// shows one for 30 seconds, that is a [retryable](Error::is_retryable)
    /// [`ErrorKind::Issuer`], and nothing is sent. What a clone of this grant has sent counts, what
    /// another grant has sent does not.
    ///
    /// The callback's own errors and its time are as with [`SecretSource::from_fn`].
    ///
    /// # Examples
    ///
    /// ```
    /// use everbearer::{Error, Grant, Secret};
    ///
    /// let grant = Grant::otp("client_abc123", || async {
    ///     let code = ask_the_operator().await.map_err(Error::transient)?;
    ///     Ok(Secret::from(code))
    /// });
    /// # async fn ask_the_operator() -> Result<String, std::io::Error> { Ok("123456".to_owned()) }
    /// ```
    pub fn otp<F, A>(client_id: impl Into<String>, codes: F) -> Self
    where
        F: Fn() -> A + Send + Sync + 'static,
        A: Future<Output = Result<Secret, Error>> + Send + 'static,
    {
        let codes = OneTimeCodes::new(SecretSource::from_fn(codes));
        Self::new(client_id, Mechanism::OneTimeCode(codes))
    }

    /// A JWT signed with the client's private key (RFC 7523): by `SigningKey` (feature
    /// `assertion`) with a key in PEM, or by an [`AssertionSigner`] with a key that is kept
    /// elsewhere.
    ///
    /// Each request has a JWT of its own, which lives for 5 minutes by this machine's clock: a
    /// server whose clock is ahead by more refuses it.
    pub fn assertion(client_id: impl Into<String>, signer: impl AssertionSigner) -> Self {
        Self::new(client_id, Mechanism::Assertion(Assertion::new(signer)))
    }

    /// A short-term token with the `tokens:write` scope that comes from outside, such as one that
    /// somebody lends for the start.
    pub fn bootstrap_token(client_id: impl Into<String>, token: impl Into<SecretSource>) -> Self {
        Self::new(client_id, Mechanism::ShortTermToken(token.into()))
    }

    /// A short-term token of the provider's own with the `tokens:write` scope: the long-term token
    /// in use obtains the next one, without any other secret. It is for rotation only, since it
    /// needs a long-term token to begin with, and that token must itself grant `tokens:write`, as
    /// the next one must.
    ///
    /// At a server that ends the old token the moment it hands out the next, a lost answer can be
    /// asked for again for as long as a short-term token lives. Configure
    /// [`recover_with`](crate::TokenProviderBuilder::recover_with) where an outage may last longer.
    pub fn self_rotation(client_id: impl Into<String>) -> Self {
        Self::new(client_id, Mechanism::OwnToken)
    }

    /// The same grant as it is of use weeks later: what was lent for the start has ended by then.
    pub(crate) fn for_rotation(&self) -> Self {
        let mut grant = self.clone();
        if matches!(grant.mechanism, Mechanism::ShortTermToken(_)) {
            grant.mechanism = Mechanism::OwnToken;
        }
        grant
    }

    /// Whether this is [`self_rotation`](Self::self_rotation).
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

    /// For an [`assertion`](Self::assertion): its `aud`, by which the server sees that it is
    /// meant. Default: the server's base URL.
    #[must_use]
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        match &mut self.mechanism {
            Mechanism::Assertion(assertion) => assertion.audience = Some(audience.into()),
            _ => self.misplaced = Some("audience"),
        }
        self
    }

    /// For an [`assertion`](Self::assertion): its `kid`, by which the server finds the key.
    /// Default: none, and the server tries the keys that it knows.
    #[must_use]
    pub fn key_id(mut self, key_id: impl Into<String>) -> Self {
        match &mut self.mechanism {
            Mechanism::Assertion(assertion) => assertion.key_id = Some(key_id.into()),
            _ => self.misplaced = Some("key ID"),
        }
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

    /// Checks what can be checked without asking for a secret.
    pub(crate) fn validate(&self) -> Result<(), Error> {
        let refuse = |text: &str| Err(Error::own(ErrorKind::Config, text));
        if self.client_id.is_empty() {
            return refuse("the grant's client ID is empty");
        }
        if self
            .ttl
            .is_some_and(|ttl| !(SHORTEST_TTL..=LONGEST_TTL).contains(&ttl))
        {
            return refuse("the grant's ttl must lie between 1 hour and 90 days");
        }
        if let Some(what) = self.misplaced {
            return refuse(&format!("the grant's {what} is for an assertion only"));
        }
        match &self.mechanism {
            Mechanism::ClientSecret(secret) => secret.validate("the grant's client secret"),
            Mechanism::ShortTermToken(token) => token.validate("the grant's short-term token"),
            Mechanism::Assertion(assertion) if assertion.audience.as_deref() == Some("") => {
                refuse("the grant's audience is empty")
            }
            Mechanism::Assertion(assertion) if assertion.key_id.as_deref() == Some("") => {
                refuse("the grant's key ID is empty")
            }
            Mechanism::Assertion(_) | Mechanism::OneTimeCode(_) | Mechanism::OwnToken => Ok(()),
        }
    }

    /// Returns the ID of the client.
    ///
    /// ```
    /// let grant = everbearer::Grant::client_secret("client_abc123", "correct-horse");
    /// assert_eq!(grant.client_id(), "client_abc123");
    /// ```
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// Returns the scopes to request for the long-term token; `None` requests all that the client may have.
    ///
    /// ```
    /// let grant = everbearer::Grant::client_secret("client_abc123", "correct-horse");
    /// assert_eq!(grant.requested_scopes(), None);
    /// ```
    pub fn requested_scopes(&self) -> Option<&[String]> {
        self.scopes.as_deref()
    }

    /// Returns the lifetime to request for the long-term token; `None` leaves it to the server.
    ///
    /// ```
    /// let grant = everbearer::Grant::client_secret("client_abc123", "correct-horse");
    /// assert_eq!(grant.requested_ttl(), None);
    /// ```
    pub const fn requested_ttl(&self) -> Option<Duration> {
        self.ttl
    }

    /// Returns what proves the client's identity in one request: reads the secret anew, takes another one-time
    /// code, or signs another assertion. For a [`TokenIssuer::obtain`](crate::TokenIssuer::obtain).
    ///
    /// `audience` is the `aud` of an assertion, unless the grant names [another](Self::audience): the server's
    /// URL, or what the server calls itself.
    ///
    /// # Errors
    ///
    /// The error of the secret's source, of the signer or of the one-time code's callback.
    ///
    /// # Cancel safety
    ///
    /// A one-time code whose callback has returned it counts as used.
    ///
    /// # Examples
    ///
    /// ```
    /// use everbearer::{Grant, Proof};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), everbearer::Error> {
    /// let grant = Grant::client_secret("client_abc123", "correct-horse");
    /// let form = match grant.proof("https://auth.example.com").await? {
    ///     Proof::ClientSecret(secret) => vec![("client_secret", secret)],
    ///     Proof::Assertion(jwt) => vec![("client_assertion", jwt)],
    ///     _ => panic!("this server takes no other proof"),
    /// };
    /// # assert_eq!(form[0].1.expose(), "correct-horse");
    /// # Ok(())
    /// # }
    /// ```
    pub async fn proof(&self, audience: &str) -> Result<Proof, Error> {
        Ok(match &self.mechanism {
            Mechanism::ClientSecret(secret) => Proof::ClientSecret(secret.read().await?),
            Mechanism::OneTimeCode(codes) => Proof::OneTimeCode(codes.next().await?),
            Mechanism::Assertion(assertion) => {
                Proof::Assertion(assertion.sign(&self.client_id, audience).await?)
            }
            Mechanism::ShortTermToken(token) => {
                let token = token.read().await?;
                Proof::Authority(Some(ShortTermToken::builder(token.expose()).build()?))
            }
            Mechanism::OwnToken => Proof::Authority(None),
        })
    }

    /// Returns this grant with a new record of the secret that was last used.
    pub(crate) fn unused(mut self) -> Self {
        self.mechanism = match self.mechanism {
            Mechanism::ClientSecret(source) => Mechanism::ClientSecret(source.unused()),
            Mechanism::ShortTermToken(source) => Mechanism::ShortTermToken(source.unused()),
            other => other,
        };
        self
    }

    /// Returns whether the file or variable of the secret holds another value than when it was last used.
    pub(crate) fn is_replaced(&self) -> bool {
        self.source().is_some_and(SecretSource::is_replaced)
    }

    /// Like [`is_replaced`](Self::is_replaced), but does not report the same value twice in a row.
    pub(crate) fn is_new(&self) -> bool {
        self.source().is_some_and(SecretSource::is_new)
    }

    /// Returns the secret, if the grant itself holds it.
    pub(crate) fn held_secret(&self) -> Option<&str> {
        self.source().and_then(SecretSource::held)
    }

    const fn source(&self) -> Option<&SecretSource> {
        match &self.mechanism {
            Mechanism::ClientSecret(source) | Mechanism::ShortTermToken(source) => Some(source),
            Mechanism::OneTimeCode(_) | Mechanism::Assertion(_) | Mechanism::OwnToken => None,
        }
    }
}

/// What proves the client's identity in one request for a long-term token; see [`Grant::proof`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Proof {
    /// The client's secret.
    ClientSecret(Secret),
    /// A one-time code.
    OneTimeCode(Secret),
    /// A JWT that the client signed (RFC 7523).
    Assertion(Secret),
    /// A short-term token: the one of [`Grant::bootstrap_token`]. For [`Grant::self_rotation`] it is `None`, and
    /// the provider passes its own token to [`TokenIssuer::obtain`](crate::TokenIssuer::obtain).
    Authority(Option<ShortTermToken>),
}

#[cfg(test)]
mod tests;
