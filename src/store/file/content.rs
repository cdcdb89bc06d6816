//! What the file may hold.

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

use crate::error::Error;
use crate::secret::file;
use crate::store::Version;

/// How each sealed file begins, whatever its format.
pub(super) const SEALED: &str = "everbearer-sealed-";

/// Two keyed hashes of 64 bits: as good as one of 128. Versions are compared within one process
/// only, so its own random keys will do; and since nobody knows them, a version says nothing about
/// the content, which a plain digest would of a token that can be guessed.
static KEYS: LazyLock<[RandomState; 2]> =
    LazyLock::new(|| [RandomState::new(), RandomState::new()]);

/// The version of this content.
pub(super) fn version(content: &[u8]) -> Version {
    let [high, low] = KEYS.each_ref().map(|key| key.hash_one(content));
    Version::new(format!("{high:016x}{low:016x}"))
}

/// What is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Nothing,
    Version(Version),
    /// Something that is refused or cannot be read.
    Unreadable,
}

type Read = Result<Option<file::Content>, Error>;

impl From<&Read> for Content {
    fn from(read: &Read) -> Self {
        match read {
            Ok(None) => Self::Nothing,
            Ok(Some(content)) => Self::Version(version(&content.bytes)),
            Err(_) => Self::Unreadable,
        }
    }
}

/// Returns whether the store wrote this: a record, or a sealed one.
pub(super) fn is_own(content: &[u8]) -> bool {
    let mark = "\u{feff}".as_bytes();
    let content = content.strip_prefix(mark).unwrap_or(content);
    let content = content.trim_ascii_start();
    content.starts_with(b"{") || content.starts_with(SEALED.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_tell_contents_apart() {
        assert_eq!(version(b"lt_a"), version(b"lt_a"));
        assert_ne!(version(b"lt_a"), version(b"lt_b"));
        assert_ne!(version(b""), version(b"\0"));
    }
}
