//! The hot path: the token in use, read without a lock. The only file that touches `ArcSwap`.

use std::sync::Arc;

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
#[derive(Clone, Debug)]
pub(super) struct Published {
    pub(super) token: ShortTermToken,
    pub(super) window: Window,
    /// Whether a driver looks after its replacement.
    attended: bool,
}

impl Published {
    pub(super) fn is_usable(&self, now: Moment) -> bool {
        now < self.window.usable_until
    }
}

impl Cell {
    /// The header of the token in use and its generation, if the token is good at this moment and
    /// looked after. Otherwise the caller has to take the long way.
    pub(super) fn header(&self, now: Moment) -> Option<(HeaderValue, Generation)> {
        self.served(now, |published| {
            (
                published.token.authorization().clone(),
                published.window.generation,
            )
        })
    }

    /// The token in use, as [`header`](Self::header) has it.
    pub(super) fn token(&self, now: Moment) -> Option<ShortTermToken> {
        self.served(now, |published| published.token.clone())
    }

    fn served<T>(&self, now: Moment, take: impl FnOnce(&Published) -> T) -> Option<T> {
        let published = self.published.load();
        let published = published.as_ref()?;
        (published.attended && published.is_usable(now)).then(|| take(published))
    }

    /// The token in use, good or not.
    pub(super) fn load(&self) -> Option<Arc<Published>> {
        self.published.load_full()
    }

    /// Replaces the token in use, and returns the one before.
    pub(super) fn publish(&self, token: ShortTermToken, window: Window) -> Option<Arc<Published>> {
        self.published.swap(Some(Arc::new(Published {
            token,
            window,
            attended: true,
        })))
    }

    /// There is no token in use any more.
    pub(super) fn withdraw(&self) {
        self.published.store(None);
    }

    /// Says whether a driver looks after the token in use. Without one, callers take the long way,
    /// on which the first of them starts a driver.
    pub(super) fn set_attended(&self, attended: bool) {
        if let Some(published) = self.load() {
            self.published.store(Some(Arc::new(Published {
                attended,
                ..(*published).clone()
            })));
        }
    }
}
