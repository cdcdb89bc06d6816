//! The grants.

use crate::assertion::Assertion;
use crate::secret::SecretSource;

/// The grants, by what authorizes the request.
#[derive(Clone, Debug)]
pub(super) enum OAuthGrant {
    ClientCredentials,
    RefreshToken {
        /// Whether an exchange may replace the refresh token.
        is_replaced: bool,
    },
    JwtBearer(Assertion),
    TokenExchange {
        subject: SecretSource,
        subject_type: String,
    },
}

impl OAuthGrant {
    /// Returns the `grant_type`.
    pub(super) const fn as_str(&self) -> &'static str {
        match self {
            Self::ClientCredentials => "client_credentials",
            Self::RefreshToken { .. } => "refresh_token",
            Self::JwtBearer(_) => "urn:ietf:params:oauth:grant-type:jwt-bearer",
            Self::TokenExchange { .. } => "urn:ietf:params:oauth:grant-type:token-exchange",
        }
    }
}
