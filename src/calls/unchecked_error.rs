//! Errors of user code, before they are searched for secrets.

use crate::error::{Error, ErrorKind};

/// An error of user code, whose texts may repeat a secret. Only [`checked`](Self::checked) returns it.
pub(crate) struct Unchecked(Error);

impl Unchecked {
    pub(crate) fn kind(&self) -> ErrorKind {
        self.0.kind()
    }

    pub(crate) fn asks_for_a_pause(&self) -> bool {
        self.0.retry_after().is_some()
    }

    /// Returns the error without the parts that repeat one of these secrets.
    pub(crate) fn checked(self, secrets: &[&str]) -> Error {
        self.0.without(secrets)
    }
}

impl From<Error> for Unchecked {
    fn from(error: Error) -> Self {
        Self(error)
    }
}
