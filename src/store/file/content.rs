//! The content of the file, and its version.

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

use crate::error::Error;
use crate::secret::file;
use crate::store::Version;

/// The prefix of each sealed file, in all formats.
pub(super) const SEALED: &str = "everbearer-sealed-";

/// The keys of two hashes of 64 bits, which make a version of 128 bits. Versions are compared within one process only,
/// so random keys suffice. Without the keys, a version cannot confirm a guess of the content, as a plain digest could.
static KEYS: LazyLock<[RandomState; 2]> =
    LazyLock::new(|| [RandomState::new(), RandomState::new()]);

/// Returns the version of this content.
pub(super) fn version(content: &[u8]) -> Version {
    let [high, low] = KEYS.each_ref().map(|key| key.hash_one(content));
    Version::new(format!("{high:016x}{low:016x}"))
}

/// The content of the file, as the store compares it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Nothing,
    Version(Version),
    /// The file is refused or cannot be read.
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
