//! The content that the store has last seen, to distinguish changes of other processes from its own.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::content::Content;

/// A difference from the content that was seen.
pub(super) struct Change {
    from: Content,
    to: Content,
}

/// The content that was last loaded, written or reported; `None` before the first of these.
#[derive(Debug, Default)]
pub(super) struct Seen {
    content: Mutex<Option<Content>>,
    turn: Mutex<()>,
}

impl Seen {
    /// Returns a lock that is held while the file is read or replaced and the result is noted, so that a write of this
    /// store is not reported as a change. For blocking threads only.
    pub(super) fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set(&self, content: Content) {
        *self.content() = Some(content);
    }

    /// Returns the change if `read` returns other content than was seen. The first call only notes the content.
    pub(super) fn look(&self, read: impl FnOnce() -> Content) -> Option<Change> {
        let _turn = self.turn();
        let to = read();
        let from = self.content().get_or_insert_with(|| to.clone()).clone();
        (from != to).then_some(Change { from, to })
    }

    /// Notes that this change is reported. Returns false if the file was loaded or written since, so that there is
    /// nothing to report.
    pub(super) fn tell(&self, change: Change) -> bool {
        let mut content = self.content();
        let is_news = content.as_ref() == Some(&change.from);
        if is_news {
            *content = Some(change.to);
        }
        is_news
    }

    /// Held for a moment only, so that async code may lock it.
    fn content(&self) -> MutexGuard<'_, Option<Content>> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::file::content::version;

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
