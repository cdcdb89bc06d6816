//! What the auth server for tests records about a token.

use std::time::SystemTime;

/// Describes a token that the server has issued. It does not contain the token itself.
///
/// # Examples
///
/// ```
/// # use everbearer::testkit::AuthServer;
/// # use everbearer::{AuthApi, Grant, TokenProvider};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = AuthServer::start().await?;
/// # let grant = Grant::client_secret(server.client_id(), server.client_secret());
/// # let provider = TokenProvider::builder(AuthApi::new(server.base_url())?, grant).build()?;
/// provider.ready().await?;
/// let token = server.tokens().pop().unwrap();
/// assert!(!token.revoked);
/// assert!(token.expires_at > token.issued_at);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TokenRecord {
    /// The ID, such as `tok_st_9f3d2c…`.
    pub token_id: String,
    /// Whether it is a long-term or a short-term token.
    pub kind: TokenKind,
    /// The client to which the token was issued.
    pub client_id: String,
    /// The scopes of the token.
    pub scopes: Vec<String>,
    /// When the token was issued, by the server's clock.
    pub issued_at: SystemTime,
    /// From when the token is no longer valid, by the server's clock.
    pub expires_at: SystemTime,
    /// Whether a client or the test has revoked the token.
    pub revoked: bool,
    /// The ID of the long-term token that was exchanged for a short-term token, or that a long-term token
    /// replaces since one of its short-term tokens obtained it.
    pub parent: Option<String>,
    /// How many requests with this token, to any endpoint, the server accepted.
    pub served: u64,
    /// How many requests with this token, to any endpoint, the server refused.
    pub refused: u64,
}

/// Distinguishes long-term and short-term tokens of an [`AuthServer`](crate::testkit::AuthServer).
///
/// # Examples
///
/// ```
/// # use everbearer::testkit::AuthServer;
/// # use everbearer::{AuthApi, Grant, TokenProvider};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = AuthServer::start().await?;
/// # let grant = Grant::client_secret(server.client_id(), server.client_secret());
/// # let provider = TokenProvider::builder(AuthApi::new(server.base_url())?, grant).build()?;
/// use everbearer::testkit::TokenKind;
///
/// provider.ready().await?;
/// let kinds: Vec<_> = server.tokens().iter().map(|token| token.kind).collect();
/// assert_eq!(kinds, [TokenKind::LongTerm, TokenKind::ShortTerm]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TokenKind {
    /// A token that is valid for hours or days, is opaque or a JWT, and is sent to the auth server only.
    LongTerm,
    /// A JWT that is valid for minutes and is sent to the resource API.
    ShortTerm,
}
