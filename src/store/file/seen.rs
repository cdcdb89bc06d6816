//! What the store has seen of the file, so that it can tell another's change from its own.

use std::hash::{BuildHasher, RandomState};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use super::token_file::TokenFile;
use crate::error::Error;
use crate::secret::file;
use crate::store::Version;

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

/// A difference to what was seen.
pub(super) struct Change {
    from: Content,
    to: Content,
}

/// What was last loaded, written or told; `None` before the first of these.
#[derive(Debug, Default)]
pub(super) struct Seen {
    content: Mutex<Option<Content>>,
    turn: Mutex<()>,
}

impl Seen {
    /// Held while the file is read or replaced, until that is noted here: nobody takes a write of
    /// our own for another's. Only for threads that may block.
    pub(super) fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set(&self, content: Content) {
        *self.content() = Some(content);
    }

    /// Looks whether something else is there now. The first look only notes what is.
    pub(super) fn look(&self, file: &TokenFile) -> Option<Change> {
        let _turn = self.turn();
        let to = Content::from(&file.content());
        let from = self.content().get_or_insert_with(|| to.clone()).clone();
        (from != to).then_some(Change { from, to })
    }

    /// Notes that this change is told. False if there is nothing to tell any more, for the file was
    /// loaded or written since.
    pub(super) fn tell(&self, change: Change) -> bool {
        let mut content = self.content();
        let is_news = content.as_ref() == Some(&change.from);
        if is_news {
            *content = Some(change.to);
        }
        is_news
    }

    /// Held for a moment only, so that whoever must not block may have it, too.
    fn content(&self) -> MutexGuard<'_, Option<Content>> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
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

    #[test]
    fn a_change_is_told_once_and_not_after_a_load() {
        let seen = Seen::default();
        let change = |from: Content, to: Content| Change { from, to };
        seen.set(Content::Nothing);
        assert!(seen.tell(change(Content::Nothing, Content::Unreadable)));
        assert!(!seen.tell(change(Content::Nothing, Content::Unreadable)));
        seen.set(Content::Version(version(b"a")));
        assert!(!seen.tell(change(Content::Unreadable, Content::Nothing)));
    }
}
