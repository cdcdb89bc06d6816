//! What a test may know about a token.

use std::time::SystemTime;

/// What the server remembers of a token that it issued. The token itself is not in it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TokenRecord {
    /// The ID, such as `tok_st_9f3d2c…`.
    pub token_id: String,
    /// Which of the two tiers it belongs to.
    pub kind: TokenKind,
    /// The client that it was issued to.
    pub client_id: String,
    /// What it allows.
    pub scopes: Vec<String>,
    /// When it was issued, by the server's clock.
    pub issued_at: SystemTime,
    /// The first moment when it is no longer good, by the server's clock.
    pub expires_at: SystemTime,
    /// Whether it was revoked, by a client or by the test.
    pub revoked: bool,
    /// The ID of the long-term token that a short-term token was minted from, or that a long-term
    /// token replaces because a short-term one of that token's obtained it.
    pub parent: Option<String>,
    /// How many requests with this token, to any endpoint, were granted.
    pub served: u64,
    /// How many requests with this token, to any endpoint, were refused.
    pub refused: u64,
}

/// The two tiers of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TokenKind {
    /// Lives for hours or days, is opaque or a JWT, and is sent to the Auth API only.
    LongTerm,
    /// Lives for minutes, is a JWT, and is sent to the resource API.
    ShortTerm,
}
