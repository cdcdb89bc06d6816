//! The credential that a provider starts with.

use super::grant::Grant;
use crate::token::LongTermToken;

/// Selects the credential that a provider starts with.
///
/// # Examples
///
/// ```
/// use everbearer::{Credential, Grant, LongTermToken};
///
/// # fn main() -> Result<(), everbearer::Error> {
/// let from_token = Credential::from(LongTermToken::new("lt_0d51e9bd2f6449cf")?);
/// let from_grant = Credential::from(Grant::client_secret("client_abc123", "correct-horse"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Credential {
    /// A long-term token that was obtained elsewhere.
    LongTerm(LongTermToken),
    /// A way to obtain a long-term token. The provider uses it at the start, and again when the server
    /// refuses the token that it obtained ([`Error::with_code`](crate::Error::with_code) lists what counts as
    /// a refusal).
    Grant(Grant),
    /// The long-term token in the [store](crate::TokenProviderBuilder::store).
    Stored,
    /// No long-term token, for an issuer that needs none ([`Needs::Nothing`](crate::Needs::Nothing)).
    None,
}

impl From<LongTermToken> for Credential {
    fn from(token: LongTermToken) -> Self {
        Self::LongTerm(token)
    }
}

impl From<Grant> for Credential {
    fn from(grant: Grant) -> Self {
        Self::Grant(grant)
    }
}
