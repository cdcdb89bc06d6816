//! What a request carries in its Authorization header.

use crate::testkit::auth_server::refusal::Refusal;

#[derive(Clone, PartialEq, Eq)]
pub(crate) enum TokenRef {
    /// No header, or one of another scheme than Bearer.
    Absent,
    Token(String),
    /// Something that is meant as a bearer token and is none.
    Malformed,
}

impl TokenRef {
    pub(super) fn required(self) -> Result<String, Refusal> {
        self.optional()?.ok_or_else(Refusal::missing_token)
    }

    pub(super) fn optional(self) -> Result<Option<String>, Refusal> {
        match self {
            Self::Absent => Ok(None),
            Self::Token(token) => Ok(Some(token)),
            Self::Malformed => Err(Refusal::invalid_token(
                "The Authorization header carries no single bearer token.",
            )),
        }
    }
}
