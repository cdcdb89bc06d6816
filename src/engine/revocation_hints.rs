//! What earlier revocations have shown of the auth server.

use super::shutdown::report::TokenKind;

/// What earlier revocations have shown of the auth server.
#[derive(Debug, Default)]
pub(crate) struct RevocationHints {
    /// Whether the server refused to revoke a token on its own authority, and did so on that of the long-term
    /// token.
    pub(crate) needs_long_term: bool,
    /// Whether the server cannot revoke long-term tokens.
    keeps_long_term: bool,
    /// Whether the server cannot revoke short-term tokens.
    keeps_short_term: bool,
}

impl RevocationHints {
    /// Returns the flag that says whether the server cannot revoke tokens of this kind.
    pub(crate) const fn unsupported(&mut self, kind: TokenKind) -> &mut bool {
        match kind {
            TokenKind::LongTerm => &mut self.keeps_long_term,
            TokenKind::ShortTerm => &mut self.keeps_short_term,
        }
    }
}
