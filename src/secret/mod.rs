//! Secrets: each is kept in one buffer, is zeroized when its last owner drops it, and is never printed.

pub(crate) mod file;
#[cfg(unix)]
pub(crate) mod permissions;
mod source;
pub(crate) mod unread;

use std::fmt;

use bytes::Bytes;
use http::HeaderValue;
use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

pub use source::SecretSource;

use crate::error::{Error, ErrorKind};

const SCHEME: &str = "Bearer ";

/// Holds a client secret, a one-time code or an assertion: text that must not be logged.
///
/// `Debug` does not show the text, and there is no `Display`, `PartialEq` or `Serialize`. The memory is
/// zeroized when the secret is dropped.
///
/// # Examples
///
/// ```
/// use everbearer::Secret;
///
/// let secret = Secret::from("correct-horse");
/// assert_eq!(format!("{secret:?}"), "Secret(..)");
/// assert_eq!(secret.expose(), "correct-horse");
/// ```
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Returns the text. Do not log or persist the returned value.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(everbearer::Secret::from("correct-horse").expose(), "correct-horse");
    /// ```
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self::from(text.to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::from)
    }
}

/// A bearer token as the value of an `Authorization` header, marked sensitive. Its one buffer is zeroized when the last
/// clone is dropped. The copies that an HTTP client makes to send the header are not zeroized.
#[derive(Clone)]
pub(crate) struct BearerToken(HeaderValue);

impl BearerToken {
    /// Refuses a token that cannot be sent in a header. Accepts all visible ASCII characters, which are more than RFC 6750
    /// allows, since some servers issue such tokens.
    pub(crate) fn new(token: &str) -> Result<Self, Error> {
        if token.is_empty() {
            return Err(malformed("is empty"));
        }
        // Without an early end, several bytes are checked at once.
        let is_invalid = |found: bool, byte: u8| found | !byte.is_ascii_graphic();
        if token.bytes().fold(false, is_invalid) {
            return Err(malformed(
                "holds a space, a line break or a character that is not ASCII; trim it if it was read \
                 from a file",
            ));
        }
        let mut line = Zeroizing::new(Vec::with_capacity(SCHEME.len() + token.len()));
        line.extend_from_slice(SCHEME.as_bytes());
        line.extend_from_slice(token.as_bytes());
        header(Bytes::from_owner(line))
            .map(Self)
            .ok_or_else(|| malformed("cannot be sent in a header"))
    }

    /// Returns the header in a buffer of its own, for one thread.
    pub(crate) fn copied_header(&self) -> HeaderValue {
        let line = Zeroizing::new(self.0.as_bytes().to_vec());
        // The bytes are those of a valid header.
        header(Bytes::from_owner(Apart(line))).unwrap_or_else(|| self.0.clone())
    }

    /// Returns `Bearer <token>`, marked sensitive.
    pub(crate) const fn header(&self) -> &HeaderValue {
        &self.0
    }

    pub(crate) fn expose(&self) -> &str {
        let text = std::str::from_utf8(self.0.as_bytes()).unwrap_or_default();
        text.strip_prefix(SCHEME).unwrap_or_default()
    }
}

/// Returns a sensitive header in this buffer.
fn header(line: Bytes) -> Option<HeaderValue> {
    let mut header = HeaderValue::from_maybe_shared(line).ok()?;
    header.set_sensitive(true);
    Some(header)
}

/// A buffer whose reference count shares its cache lines with no other count.
#[repr(align(128))]
struct Apart(Zeroizing<Vec<u8>>);

impl AsRef<[u8]> for Apart {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BearerToken(..)")
    }
}

fn malformed(how: &str) -> Error {
    Error::own(ErrorKind::InvalidToken, format!("the token {how}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s5_what_cannot_stand_in_a_header_is_refused() {
        for token in [
            "",
            "a b",
            "a\r\nX-Evil: 1",
            "a\nb",
            "tök",
            "a\0b",
            "a\tb",
            " a",
            "a\u{7f}",
        ] {
            let error = BearerToken::new(token).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidToken, "{token:?}");
        }
    }

    #[test]
    fn a_token_is_kept_to_the_letter_and_its_header_is_sensitive() {
        let token = BearerToken::new("lt_0d51|e9:bd~2f+/=").unwrap();
        assert_eq!(token.expose(), "lt_0d51|e9:bd~2f+/=");
        assert_eq!(token.header().as_bytes(), b"Bearer lt_0d51|e9:bd~2f+/=");
        assert!(token.header().is_sensitive());
        assert!(!format!("{token:?} {:?}", token.header()).contains("0d51"));
    }
}
