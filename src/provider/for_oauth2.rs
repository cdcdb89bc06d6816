//! The shortest way from an OAuth server to a provider.

use super::{TokenProvider, TokenProviderBuilder};
use crate::error::Error;
use crate::issuer::{Credential, Needs, TokenIssuer as _};
use crate::oauth2::OAuth2Builder;

impl OAuth2Builder {
    /// Builds the issuer, and returns the builder of a provider that gets its tokens from it.
    ///
    /// With the grant [`refresh_token`](crate::OAuth2::refresh_token), the provider starts with the refresh token in its
    /// [store](TokenProviderBuilder::store). To start with a refresh token of your own, pass the built issuer to
    /// [`TokenProvider::builder`].
    ///
    /// # Errors
    ///
    /// As [`build`](Self::build).
    ///
    /// # Examples
    ///
    /// ```
    /// use everbearer::OAuth2;
    ///
    /// # fn main() -> Result<(), everbearer::Error> {
    /// let provider = OAuth2::client_credentials("https://auth.example.com/token", "client_abc123", "correct-horse")
    ///     .provider()?
    ///     .origins(["https://api.example.com"])
    ///     .build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn provider(self) -> Result<TokenProviderBuilder, Error> {
        let issuer = self.build()?;
        let credential = match issuer.profile().needs {
            Needs::Nothing => Credential::None,
            Needs::LongTerm | Needs::Replacing => Credential::Stored,
        };
        Ok(TokenProvider::builder(issuer, credential))
    }
}
