//! The hot path: the token in use, read without a lock. The only file that touches `ArcSwap`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwapOption;
use http::HeaderValue;

use super::copies::Copies;
use crate::clock::Moment;
use crate::machine::{Generation, Window};
use crate::token::ShortTermToken;

/// Holds the token in use. Readers never wait for a writer; there is one writer at a time, which
/// the engine's lock sees to.
#[derive(Debug, Default)]
pub(super) struct Cell {
    published: ArcSwapOption<Published>,
}

/// A token and what the engine knows of it.
#[derive(Debug)]
pub(super) struct Published {
    pub(super) token: ShortTermToken,
    pub(super) window: Window,
    /// Until when the hot path serves it. From then on callers take the long way, on which they
    /// see to what is due.
    served_until: Moment,
    used: AtomicBool,
    copies: Copies,
}

impl Published {
    /// This thread's copy of the header.
    #[inline]
    pub(super) fn header(&self) -> &HeaderValue {
        self.copies.of(&self.token)
    }

    pub(super) fn is_usable(&self, now: Moment) -> bool {
        now < self.window.usable_until
    }
}

impl Cell {
    /// What `take` makes of the token in use; or what `or_else` says, if the caller has to take the
    /// long way. Either makes its value where it is to stay: a header is large, and each move of
    /// one costs as much as the look at the clock.
    #[inline]
    pub(super) fn serve<T>(
        &self,
        now: Moment,
        take: impl FnOnce(&Published) -> T,
        or_else: impl FnOnce() -> T,
    ) -> T {
        let published = self.published.load();
        match published.as_ref() {
            Some(published) if now < published.served_until => {
                // Written once after each time that somebody asked, so that readers share the line.
                if !published.used.load(Ordering::Relaxed) {
                    published.used.store(true, Ordering::Relaxed);
                }
                take(published)
            }
            _ => {
                drop(published);
                or_else()
            }
        }
    }

    /// The token in use, good or not.
    pub(super) fn load(&self) -> Option<Arc<Published>> {
        self.published.load_full()
    }

    /// The token in use, if it is good at this moment and newer than this generation.
    pub(super) fn good(&self, now: Moment, newer_than: Generation) -> Option<Arc<Published>> {
        self.load()
            .filter(|it| it.is_usable(now) && it.window.generation > newer_than)
    }

    /// Replaces the token in use.
    pub(super) fn publish(&self, token: ShortTermToken, window: Window, served_until: Moment) {
        self.published.store(Some(Arc::new(Published {
            token,
            window,
            served_until,
            used: AtomicBool::new(self.take_used()),
            copies: Copies::default(),
        })));
    }

    /// Changes until when the hot path serves the token in use.
    pub(super) fn serve_until(&self, until: impl FnOnce(Window) -> Moment) {
        if let Some(published) = self.load() {
            let (token, window) = (published.token.clone(), published.window);
            self.publish(token, window, until(window));
        }
    }

    /// There is no token in use any more.
    pub(super) fn withdraw(&self) {
        self.published.store(None);
    }

    /// Whether the hot path has served the token in use since this was last asked.
    pub(super) fn take_used(&self) -> bool {
        let published = self.published.load();
        published.as_ref().is_some_and(|it| {
            it.used.load(Ordering::Relaxed) && it.used.swap(false, Ordering::Relaxed)
        })
    }
}
