//! What is kept of the long-term token. Every change of it goes through here, one at a time, and
//! is written down before anything is built on it.

mod announce;
mod dates;
mod merge;
mod watch;

use std::future::Future;
use std::time::Duration;

pub(super) use dates::{dated, retiring};
pub(super) use watch::watch;

use super::shared::Shared;
use crate::error::{Error, ErrorKind};
use crate::observe::Event;
use crate::store::{Dated, Record, Version};
use crate::token::{LongTermToken, ShortTermToken};

/// So often a change is made again that somebody else has overtaken.
const MOST_CONFLICTS: u32 = 5;

#[derive(Debug, Default)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, and any of them go together"
)]
pub(super) struct Keeper {
    /// What is to be kept, which the store holds unless it is `unsaved`.
    record: Option<Record>,
    version: Option<Version>,
    is_loaded: bool,
    unsaved: bool,
    /// Whether the store was found empty after it had held something.
    is_missing: bool,
    /// Whether the current token was handed in and is not written yet.
    is_handed_in: bool,
    /// The current token as the machine was told of it.
    announced: Option<Dated>,
    /// The token that the provider was built with: what an empty store begins with, and what is
    /// tried when the stored one is refused.
    given: Option<LongTermToken>,
    /// The tokens that were obtained here and are not written yet.
    unwritten: Vec<LongTermToken>,
    /// Short-term tokens that have served to ask for a long-term one.
    pub(super) spent: Vec<ShortTermToken>,
}

impl Keeper {
    pub(super) fn new(given: Option<LongTermToken>) -> Self {
        Self {
            given,
            ..Self::default()
        }
    }

    pub(super) const fn record(&self) -> Option<&Record> {
        self.record.as_ref()
    }

    /// Reads the store unless that was done, and begins with the given token if it is empty.
    pub(super) async fn ensure_loaded(&mut self, shared: &Shared) -> Result<(), Error> {
        if self.is_loaded {
            self.take_handed_in(shared);
            return Ok(());
        }
        self.reload(shared).await
    }

    /// Takes up what the store holds by now.
    pub(super) async fn reload(&mut self, shared: &Shared) -> Result<(), Error> {
        self.take_handed_in(shared);
        let loaded = bounded(shared, shared.settings.store.load()).await;
        let stored = loaded.inspect_err(|error| shared.tell_store_failed(error))?;
        if !self.unsaved {
            shared.tell_store_well();
        }
        self.is_loaded = true;
        // Somebody removes it, perhaps to put another in its place: what is here goes on, and is
        // written anew if nothing comes.
        self.is_missing = stored.is_none() && self.version.is_some();
        match stored {
            Some(stored) => self.take_up(shared, stored),
            None => self.version = None,
        }
        if self.record.is_none()
            && let Some(given) = self.given.take()
        {
            let record = Record::new(shared.handed_in(given));
            // Whether or not it can be written, it is there.
            let _ = self.keep(shared, record).await;
        }
        if self.announce(shared) {
            self.tell_reloaded(shared);
        }
        Ok(())
    }

    /// Keeps this record with the token that was obtained for it, as [`keep`](Self::keep) does.
    pub(super) async fn keep_obtained(
        &mut self,
        shared: &Shared,
        token: &LongTermToken,
        record: Record,
    ) -> Result<(), Error> {
        self.unwritten.push(token.clone());
        self.keep(shared, record).await
    }

    /// Keeps this record: here in any case, and in the store, or else as soon as it can be
    /// written.
    pub(super) async fn keep(&mut self, shared: &Shared, record: Record) -> Result<(), Error> {
        self.record = Some(record.tidy());
        self.unsaved = true;
        // Whatever becomes of the write, what is so by now is known.
        self.announce(shared);
        let outcome = self.save(shared).await;
        self.announce(shared);
        outcome
    }

    /// Keeps this record if it can be written; otherwise all stays as it is.
    pub(super) async fn keep_if_written(
        &mut self,
        shared: &Shared,
        record: Record,
    ) -> Result<(), Error> {
        let record = record.tidy();
        let write = shared.settings.store.store(&record, self.version.as_ref());
        match bounded(shared, write).await {
            Ok(version) => {
                self.written(shared, version);
                self.record = Some(record);
                self.announce(shared);
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::Conflict => {
                self.reload(shared).await?;
                Err(error)
            }
            Err(error) => {
                shared.tell_store_failed(&error);
                Err(error)
            }
        }
    }

    /// Writes what is not written yet.
    pub(super) async fn save(&mut self, shared: &Shared) -> Result<(), Error> {
        self.take_handed_in(shared);
        for _ in 0..MOST_CONFLICTS {
            let Some(record) = self.record.as_ref().filter(|_| self.unsaved) else {
                return Ok(());
            };
            let store = &shared.settings.store;
            match bounded(shared, store.store(record, self.version.as_ref())).await {
                Ok(version) => {
                    self.written(shared, version);
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::Conflict => {
                    let loaded = bounded(shared, store.load()).await;
                    match loaded.inspect_err(|error| shared.tell_store_failed(error))? {
                        Some(theirs) => self.take_up(shared, theirs),
                        None => self.version = None,
                    }
                    self.announce(shared);
                }
                Err(error) => {
                    shared.tell_store_failed(&error);
                    return Err(error);
                }
            }
        }
        Err(Error::conflict())
    }

    /// If the store is still empty after a while, what is here is to be written.
    pub(super) async fn fill_if_missing(&mut self, shared: &Shared) -> Result<(), Error> {
        if !self.is_missing {
            return Ok(());
        }
        self.reload(shared).await?;
        self.unsaved |= self.version.is_none() && self.record.is_some();
        self.is_missing = false;
        Ok(())
    }

    /// The token of the builder's, if it is none of those: once.
    pub(super) fn take_given(&mut self, refused: &[LongTermToken]) -> Option<LongTermToken> {
        self.given
            .take()
            .filter(|given| !given.reads_like_any(refused))
    }

    /// Schedules the revocation of a token that is not used any more.
    pub(super) async fn retire(&mut self, shared: &Shared, token: LongTermToken) {
        if let Some(mut record) = self.record.clone() {
            record
                .retiring
                .push(retiring(shared, token, Duration::ZERO));
            // What cannot be written now is written later.
            let _ = self.keep(shared, record).await;
        }
    }

    /// The token that [`renew`](crate::TokenProvider::set_long_term_token) brought takes the place of the
    /// current one, which is not ours to revoke.
    pub(super) fn take_handed_in(&mut self, shared: &Shared) {
        let Some(token) = shared.engine().handed_in.take() else {
            return;
        };
        let mut record = Record::new(shared.handed_in(token));
        if let Some(present) = self.record.take() {
            record.retiring = present.retiring;
            if let Some(next) = present.next {
                record
                    .retiring
                    .push(retiring(shared, next.token, Duration::ZERO));
            }
            self.spent.extend(present.asking_with);
        }
        // The machine knows of it already, and perhaps of a rotation that was asked for since.
        self.announced = Some(record.current.clone());
        self.record = Some(record.tidy());
        self.unsaved = true;
        self.is_handed_in = true;
        self.announce(shared);
    }

    fn written(&mut self, shared: &Shared, version: Version) {
        self.version = Some(version);
        self.unsaved = false;
        self.is_missing = false;
        self.is_handed_in = false;
        self.is_loaded = true;
        self.unwritten.clear();
        shared.engine().unwritten.clear();
        shared.tell_store_well();
    }
}

impl Shared {
    fn tell_store_failed(&self, error: &Error) {
        let repeats = {
            let mut engine = self.engine();
            let last = engine.store_error.replace(error.clone());
            last.is_some_and(|last| last.to_string() == error.to_string())
        };
        let error = error.clone();
        self.observers.tell(Event::StoreFailed { error, repeats });
    }

    fn tell_store_well(&self) {
        self.engine().store_error = None;
    }
}

/// A call of the store that is given up when it takes too long: sooner than an exchange, which may
/// have to wait for it. Its error repeats no secret.
pub(super) async fn bounded<T>(
    shared: &Shared,
    call: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let limit = shared.settings.policies.retry.exchange_timeout / 4;
    match tokio::time::timeout(limit, call).await {
        Ok(outcome) => outcome.map_err(|error| shared.without_secrets(error, &[])),
        Err(_) => Err(Error::own(
            ErrorKind::Store,
            format!("the token store has not answered within {limit:?}"),
        )),
    }
}
