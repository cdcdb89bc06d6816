//! The grants: the ways to obtain a long-term token.

mod otp;

use std::future::Future;
use std::time::Duration;

use crate::assertion::{Assertion, AssertionSigner};
use crate::error::{Error, ErrorKind};
use crate::secret::Secret;
use crate::secret::SecretSource;
use crate::token::ShortTermToken;
use otp::OneTimeCodes;

/// As long as one request takes, and as far as the server's clock may be ahead.
const ASSERTION_LIFETIME: Duration = Duration::from_secs(300);
const SHORTEST_TTL: Duration = Duration::from_secs(60 * 60);
const LONGEST_TTL: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// Describes a way to obtain a long-term token.
///
/// The provider reads the secret of a grant for each request; see [`SecretSource`].
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
    Assertion(Box<Assertion>),
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

    /// Creates a grant of a client ID and a client secret.
    ///
    /// # Examples
    ///
    /// ```
    /// use everbearer::{Grant, SecretSource};
    ///
    /// let grant = Grant::client_secret("client_abc123", SecretSource::env("CLIENT_SECRET"));
    /// ```
    pub fn client_secret(client_id: impl Into<String>, secret: impl Into<SecretSource>) -> Self {
        Self::new(client_id, Mechanism::ClientSecret(secret.into()))
    }

    /// Creates a grant of a client ID and one-time codes, which the callback returns: from a prompt or from a
    /// device.
    ///
    /// The provider calls the callback for each request. It sends no code twice in a row, even if the first
    /// request failed. If the callback returns the last code again, as a generator does that shows each code
    /// for 30 seconds, the provider sends nothing, and the attempt fails with the
    /// [retryable](Error::is_retryable) kind [`ErrorKind::Issuer`]. Clones of the grant share the record of
    /// the last code; other grants do not.
    ///
    /// The errors and the duration of the callback count as in [`SecretSource::from_fn`].
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

    /// Creates a grant of a client ID and JWTs that are signed with the client's private key (RFC 7523).
    ///
    /// The signer is a `SigningKey` (feature `assertion`) for a key in PEM, or an [`AssertionSigner`] of your
    /// own for a key that is kept elsewhere. Each request gets its own JWT, which is valid for 5 minutes by
    /// this machine's clock. A server whose clock is ahead by more refuses it.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use everbearer::{Grant, SigningKey};
    ///
    /// # fn main() -> Result<(), everbearer::Error> {
    /// let key = SigningKey::from_pem_file("/etc/my-daemon/key.pem")?;
    /// let grant = Grant::assertion("client_abc123", key);
    /// # Ok(())
    /// # }
    /// ```
    pub fn assertion(client_id: impl Into<String>, signer: impl AssertionSigner) -> Self {
        let client_id = client_id.into();
        let assertion = Assertion::new(client_id.clone(), signer)
            .lifetime(ASSERTION_LIFETIME)
            .backdate(Duration::ZERO);
        Self::new(client_id, Mechanism::Assertion(Box::new(assertion)))
    }

    /// Creates a grant of a client ID and a short-term token with the scope `tokens:write`, which an operator
    /// obtained elsewhere and supplies for the first start.
    ///
    /// # Examples
    ///
    /// ```
    /// use everbearer::{Grant, SecretSource};
    ///
    /// let token = SecretSource::file("/run/secrets/bootstrap-token");
    /// let grant = Grant::bootstrap_token("client_abc123", token);
    /// ```
    pub fn bootstrap_token(client_id: impl Into<String>, token: impl Into<SecretSource>) -> Self {
        Self::new(client_id, Mechanism::ShortTermToken(token.into()))
    }

    /// Creates a grant by which the long-term token in use obtains the next one, without another secret.
    ///
    /// The provider exchanges the token in use for a short-term token with the scope `tokens:write`, and
    /// requests the next long-term token with that. Each long-term token must therefore have the scope
    /// `tokens:write`. The grant cannot obtain a first token: use it with
    /// [`rotate_with`](crate::TokenProviderBuilder::rotate_with) only.
    ///
    /// If the response with the next token is lost, the provider can request it again for as long as the
    /// short-term token is valid. Configure [`recover_with`](crate::TokenProviderBuilder::recover_with) if
    /// the auth server revokes the old token as soon as it issues the next one, and an outage may last
    /// longer.
    ///
    /// # Examples
    ///
    /// ```
    /// # use everbearer::testkit::ScriptedIssuer;
    /// use everbearer::{Grant, LongTermToken, TokenProvider};
    ///
    /// # fn main() -> Result<(), everbearer::Error> {
    /// # let issuer = ScriptedIssuer::new();
    /// let provider = TokenProvider::builder(issuer, LongTermToken::new("secret")?)
    ///     .rotate_with(Grant::self_rotation("client_abc123"))
    ///     .build()?;
    /// # Ok(())
    /// # }
    /// ```
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

    /// Whether the proof is a code that is valid once.
    pub(crate) const fn is_one_time(&self) -> bool {
        matches!(self.mechanism, Mechanism::OneTimeCode(_))
    }

    /// Sets the scopes to request for the long-term token. Default: all scopes that the client may have.
    ///
    /// ```
    /// # use everbearer::Grant;
    /// let grant = Grant::client_secret("client_abc123", "correct-horse").scopes(["jobs:submit"]);
    /// ```
    #[must_use]
    pub fn scopes<S: Into<String>>(mut self, scopes: impl IntoIterator<Item = S>) -> Self {
        self.scopes = Some(scopes.into_iter().map(Into::into).collect());
        self
    }

    /// Sets the lifetime to request for the long-term token, from 1 hour to 90 days, in whole seconds. The
    /// server may grant less. Default: the server decides.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use everbearer::Grant;
    /// let grant = Grant::client_secret("client_abc123", "correct-horse")
    ///     .ttl(Duration::from_secs(7 * 24 * 60 * 60));
    /// ```
    #[must_use]
    pub const fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// Sets the `aud` of an [`assertion`](Self::assertion), by which the server recognizes that the assertion
    /// is meant for it. Default: the server's base URL.
    ///
    /// With another grant, [`TokenProviderBuilder::build`](crate::TokenProviderBuilder::build) returns an
    /// error.
    ///
    /// ```
    /// # fn example(signer: impl everbearer::AssertionSigner) {
    /// let grant = everbearer::Grant::assertion("client_abc123", signer)
    ///     .audience("https://auth.example.com");
    /// # }
    /// ```
    #[must_use]
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        match &mut self.mechanism {
            Mechanism::Assertion(assertion) => {
                **assertion = (**assertion).clone().audience(audience);
            }
            _ => self.misplaced = Some("audience"),
        }
        self
    }

    /// Sets the `kid` of an [`assertion`](Self::assertion), by which the server finds the public key.
    /// Default: none, and the server tries each key that it knows.
    ///
    /// With another grant, [`TokenProviderBuilder::build`](crate::TokenProviderBuilder::build) returns an
    /// error.
    ///
    /// ```
    /// # fn example(signer: impl everbearer::AssertionSigner) {
    /// let grant = everbearer::Grant::assertion("client_abc123", signer).key_id("2026-11");
    /// # }
    /// ```
    #[must_use]
    pub fn key_id(mut self, key_id: impl Into<String>) -> Self {
        match &mut self.mechanism {
            Mechanism::Assertion(assertion) => **assertion = (**assertion).clone().key_id(key_id),
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
            return refuse("the grant's ttl must be between 1 hour and 90 days");
        }
        if let Some(what) = self.misplaced {
            return refuse(&format!(
                "the grant's {what} is for Grant::assertion only; remove it"
            ));
        }
        match &self.mechanism {
            Mechanism::ClientSecret(secret) => secret.validate("the grant's client secret"),
            Mechanism::ShortTermToken(token) => token.validate("the grant's short-term token"),
            Mechanism::Assertion(assertion) => assertion.validate(),
            Mechanism::OneTimeCode(_) | Mechanism::OwnToken => Ok(()),
        }
    }

    /// Returns the client ID.
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

    /// Returns the proof of the client's identity for one request, for a
    /// [`TokenIssuer::obtain`](crate::TokenIssuer::obtain) of your own. Each call reads the secret, gets
    /// another one-time code from the callback, or signs another assertion.
    ///
    /// `audience` is the `aud` of an assertion, unless the grant sets [another](Self::audience): the server's
    /// URL, or the name that the server uses for itself.
    ///
    /// # Errors
    ///
    /// Returns the error of the secret's source, of the signer or of the callback for one-time codes.
    ///
    /// # Cancel safety
    ///
    /// A one-time code counts as used as soon as the callback has returned it.
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
            Mechanism::Assertion(assertion) => Proof::Assertion(assertion.sign(audience).await?),
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

/// Proves the client's identity in one request for a long-term token; see [`Grant::proof`].
///
/// # Examples
///
/// ```
/// use everbearer::{Grant, Proof};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), everbearer::Error> {
/// let grant = Grant::client_secret("client_abc123", "correct-horse");
/// let proof = grant.proof("https://auth.example.com").await?;
/// assert!(matches!(proof, Proof::ClientSecret(_)));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Proof {
    /// The client secret.
    ClientSecret(Secret),
    /// A one-time code.
    OneTimeCode(Secret),
    /// A JWT that the client has signed (RFC 7523).
    Assertion(Secret),
    /// A short-term token: the token of [`Grant::bootstrap_token`], or `None` for [`Grant::self_rotation`].
    /// In the second case, the provider passes its own token to
    /// [`TokenIssuer::obtain`](crate::TokenIssuer::obtain).
    Authority(Option<ShortTermToken>),
}

#[cfg(test)]
mod tests;
