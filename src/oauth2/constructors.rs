//! A builder for each grant.

use super::builder::OAuth2Builder;
use super::client::OAuth2;
use super::client_auth::ClientAuth;
use super::endpoint::TokenEndpoint;
use super::grant::OAuthGrant;
use crate::assertion::Assertion;
use crate::secret::SecretSource;

impl OAuth2 {
    /// Returns a builder for the grant `client_credentials` (RFC 6749, section 4.4), with a client secret. The
    /// issuer sends it by `client_secret_basic`, or by `client_secret_post` if the discovered metadata names that
    /// method and not `client_secret_basic`. [`OAuth2Builder::client_auth`] selects another way to authenticate.
    ///
    /// `endpoint` is the URL of the token endpoint, or [`TokenEndpoint::discover`].
    ///
    /// ```
    /// use everbearer::{OAuth2, SecretSource};
    ///
    /// # fn main() -> Result<(), everbearer::Error> {
    /// let secret = SecretSource::file("/run/secrets/client-secret");
    /// let issuer = OAuth2::client_credentials("https://auth.example.com/token", "client_abc123", secret).build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn client_credentials(
        endpoint: impl Into<TokenEndpoint>,
        client_id: impl Into<String>,
        client_secret: impl Into<SecretSource>,
    ) -> OAuth2Builder {
        let client = ClientAuth::secret(client_id, client_secret);
        OAuth2Builder::new(endpoint.into(), OAuthGrant::ClientCredentials, client)
    }

    /// Returns a builder for the grant `client_credentials` with another way to authenticate than a client secret.
    ///
    /// ```no_run
    /// # #[cfg(feature = "assertion")] {
    /// use everbearer::{Assertion, ClientAuth, OAuth2, SigningKey};
    ///
    /// # fn main() -> Result<(), everbearer::Error> {
    /// let key = SigningKey::from_pem_file("/etc/my-daemon/key.pem")?;
    /// let client = ClientAuth::jwt(Assertion::new("client_abc123", key));
    /// let issuer = OAuth2::client_credentials_with("https://auth.example.com/token", client).build()?;
    /// # Ok(())
    /// # }
    /// # }
    /// ```
    pub fn client_credentials_with(
        endpoint: impl Into<TokenEndpoint>,
        client: ClientAuth,
    ) -> OAuth2Builder {
        OAuth2Builder::new(endpoint.into(), OAuthGrant::ClientCredentials, client)
    }

    /// Returns a builder for the grant `refresh_token` (RFC 6749, section 6). The refresh token is the provider's
    /// long-term token: build the provider with it, or with [`Credential::Stored`](crate::Credential::Stored), and
    /// with a [store](crate::TokenProviderBuilder::store) that keeps the refresh tokens that replace it.
    ///
    /// ```
    /// use everbearer::{ClientAuth, LongTermToken, MemoryStore, OAuth2, TokenProvider};
    ///
    /// # fn main() -> Result<(), everbearer::Error> {
    /// let issuer = OAuth2::refresh_token("https://auth.example.com/token", ClientAuth::public("client_abc123"))
    ///     .build()?;
    /// let provider = TokenProvider::builder(issuer, LongTermToken::new("8xLOxBtZp8")?)
    ///     .store(MemoryStore::new()) // in a service: a FileStore
    ///     .build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn refresh_token(endpoint: impl Into<TokenEndpoint>, client: ClientAuth) -> OAuth2Builder {
        let grant = OAuthGrant::RefreshToken { is_replaced: true };
        OAuth2Builder::new(endpoint.into(), grant, client)
    }

    /// Returns a builder for the JWT bearer grant (RFC 7523, section 2.1): each exchange signs a new assertion. By
    /// default, the client does not authenticate otherwise; see [`OAuth2Builder::client_auth`].
    ///
    /// The issuer sends the scopes as the parameter `scope` and as the claim `scope`, which Google reads.
    ///
    /// ```no_run
    /// # #[cfg(feature = "assertion")] {
    /// use everbearer::{Assertion, OAuth2, SigningKey};
    ///
    /// # fn main() -> Result<(), everbearer::Error> {
    /// let key = SigningKey::from_pem_file("/etc/my-daemon/key.pem")?;
    /// let assertion = Assertion::new("my-daemon@my-project.iam.gserviceaccount.com", key);
    /// let issuer = OAuth2::jwt_bearer("https://oauth2.googleapis.com/token", assertion).build()?;
    /// # Ok(())
    /// # }
    /// # }
    /// ```
    pub fn jwt_bearer(endpoint: impl Into<TokenEndpoint>, assertion: Assertion) -> OAuth2Builder {
        let grant = OAuthGrant::JwtBearer(assertion);
        OAuth2Builder::new(endpoint.into(), grant, ClientAuth::none())
    }

    /// Returns a builder for a token exchange (RFC 8693): each exchange reads the subject token again, such as a
    /// projected token of Kubernetes, and exchanges it for an access token. `subject_type` is a URN of RFC 8693,
    /// section 3, such as `urn:ietf:params:oauth:token-type:jwt`. By default, the client does not authenticate
    /// otherwise; see [`OAuth2Builder::client_auth`].
    ///
    /// ```
    /// use everbearer::{OAuth2, SecretSource};
    ///
    /// # fn main() -> Result<(), everbearer::Error> {
    /// let subject = SecretSource::file("/var/run/secrets/tokens/sts");
    /// let issuer = OAuth2::token_exchange(
    ///     "https://sts.example.com/token",
    ///     subject,
    ///     "urn:ietf:params:oauth:token-type:jwt",
    /// )
    /// .build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn token_exchange(
        endpoint: impl Into<TokenEndpoint>,
        subject: impl Into<SecretSource>,
        subject_type: impl Into<String>,
    ) -> OAuth2Builder {
        let grant = OAuthGrant::TokenExchange {
            subject: subject.into(),
            subject_type: subject_type.into(),
        };
        OAuth2Builder::new(endpoint.into(), grant, ClientAuth::none())
    }
}
