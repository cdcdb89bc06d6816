//! The hot path: the token in use, read without a lock. The only file that touches `ArcSwap`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwapOption;
use http::HeaderValue;

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
}

impl Published {
    pub(super) fn is_usable(&self, now: Moment) -> bool {
        now < self.window.usable_until
    }
}

impl Cell {
    /// The header of the token in use and its generation, unless the caller has to take the long
    /// way.
    pub(super) fn header(&self, now: Moment) -> Option<(HeaderValue, Generation)> {
        self.serve(now, |published| {
            (
                published.token.authorization().clone(),
                published.window.generation,
            )
        })
    }

    /// The token in use, as [`header`](Self::header) has it.
    pub(super) fn token(&self, now: Moment) -> Option<ShortTermToken> {
        self.serve(now, |published| published.token.clone())
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

    fn serve<T>(&self, now: Moment, take: impl FnOnce(&Published) -> T) -> Option<T> {
        let published = self.published.load();
        let published = published.as_ref()?;
        if now >= published.served_until {
            return None;
        }
        // Written once after each time that somebody asked, so that readers share the line.
        if !published.used.load(Ordering::Relaxed) {
            published.used.store(true, Ordering::Relaxed);
        }
        Some(take(published))
    }
}
