//! What earlier revocations have shown of the auth server.

use super::shutdown::report::TokenKind;

/// What earlier revocations have shown of the auth server.
#[derive(Debug, Default)]
pub(crate) struct RevocationHints {
    /// Whether the server refused to revoke a token on its own authority, and did so on that of the long-term
    /// token.
    pub(crate) needs_long_term: bool,
    /// The kinds of token that the server cannot revoke.
    pub(crate) unsupported: Vec<TokenKind>,
}
