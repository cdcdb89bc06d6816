//! The hot path: the token in use, read without a lock. The only file that touches `ArcSwap`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use http::HeaderValue;

use super::header_copies::HeaderCopies;
use crate::clock::Moment;
use crate::machine::{Generation, Window};
use crate::token::ShortTermToken;

/// The precision of the last use. Between two writes, readers share the cache line.
pub(crate) const USE_PRECISION: Duration = Duration::from_nanos(USE_PRECISION_NANOS);
const USE_PRECISION_NANOS: u64 = 1_000_000_000;

/// Holds the token in use. Readers never wait for a writer. Writers hold the engine lock.
#[derive(Debug, Default)]
pub(crate) struct CurrentToken {
    published: ArcSwapOption<Published>,
}

/// A token and what the engine knows of it.
#[derive(Debug)]
pub(crate) struct Published {
    pub(crate) token: ShortTermToken,
    pub(crate) window: Window,
    /// Until when the hot path serves the token. After that, callers take the slow path.
    served_until: Moment,
    /// When the hot path last served a token of this scope set, in nanoseconds from the clock's origin. The value
    /// may be [`USE_PRECISION`] out of date.
    last_use: AtomicU64,
    copies: HeaderCopies,
}

impl Published {
    /// Returns this thread's copy of the header.
    #[inline]
    pub(crate) fn header(&self) -> &HeaderValue {
        self.copies.of(&self.token)
    }

    fn last_use(&self) -> Moment {
        Moment::from_nanos(self.last_use.load(Ordering::Relaxed))
    }

    pub(crate) fn is_usable(&self, now: Moment) -> bool {
        now < self.window.usable_until
    }
}

impl CurrentToken {
    /// Returns what `take` makes of the token, or `or_else` on the slow path. Both construct in place, since moving a
    /// header costs as much as reading the clock.
    #[inline]
    pub(crate) fn serve<T>(
        &self,
        now: Moment,
        take: impl FnOnce(&Published) -> T,
        or_else: impl FnOnce() -> T,
    ) -> T {
        let published = self.published.load();
        match published.as_ref() {
            Some(published) if now < published.served_until => {
                let (now, last_use) = (now.nanos(), &published.last_use);
                // Compares nanoseconds, so that the hot path performs no division.
                if now.saturating_sub(last_use.load(Ordering::Relaxed)) >= USE_PRECISION_NANOS {
                    last_use.store(now, Ordering::Relaxed);
                }
                take(published)
            }
            _ => {
                drop(published);
                or_else()
            }
        }
    }

    /// Returns the token in use, valid or not.
    pub(crate) fn load(&self) -> Option<Arc<Published>> {
        self.published.load_full()
    }

    /// Returns the token in use, if it is valid at this moment and newer than this generation.
    pub(crate) fn good(&self, now: Moment, newer_than: Generation) -> Option<Arc<Published>> {
        self.load()
            .filter(|it| it.is_usable(now) && it.window.generation > newer_than)
    }

    /// Replaces the token in use.
    pub(crate) fn publish(&self, token: ShortTermToken, window: Window, served_until: Moment) {
        self.published.store(Some(Arc::new(Published {
            token,
            window,
            served_until,
            last_use: AtomicU64::new(self.last_use().nanos()),
            copies: HeaderCopies::default(),
        })));
    }

    /// Changes until when the hot path serves the token in use.
    pub(crate) fn serve_until(&self, until: impl FnOnce(Window) -> Moment) {
        if let Some(published) = self.load() {
            let (token, window) = (published.token.clone(), published.window);
            self.publish(token, window, until(window));
        }
    }

    /// Removes the token in use.
    pub(crate) fn withdraw(&self) {
        self.published.store(None);
    }

    /// Returns when the hot path last served a token, or the clock's origin if it has not, or if no token is
    /// in use.
    pub(crate) fn last_use(&self) -> Moment {
        let published = self.published.load();
        let published = published.as_ref();
        published.map_or(Moment::from_nanos(0), |it| it.last_use())
    }
}
