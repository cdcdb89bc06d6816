//! Reading and writing the record of the long-term token. Every change of it goes through here, one at a time, and
//! is written down before anything is built on it.

use std::time::Duration;

use super::dates::retiring;
use super::held::Keeper;
use crate::engine::shared::Shared;
use crate::error::{Error, ErrorKind};
use crate::observe::Event;
use crate::store::{Record, Version};
use crate::token::LongTermToken;

/// So often a change is made again that somebody else has overtaken.
const MOST_CONFLICTS: u32 = 5;

impl Keeper {
    /// Reads the store unless that was done, and begins with the given token if it is empty.
    pub(in crate::engine) async fn ensure_loaded(&mut self, shared: &Shared) -> Result<(), Error> {
        if self.is_loaded {
            self.take_handed_in(shared);
            return Ok(());
        }
        self.reload(shared).await
    }

    /// Takes up what the store holds by now.
    pub(in crate::engine) async fn reload(&mut self, shared: &Shared) -> Result<(), Error> {
        self.take_handed_in(shared);
        let loaded = shared.checked(shared.user_code.load().await, &[]);
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
    pub(in crate::engine) async fn keep_obtained(
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
    pub(in crate::engine) async fn keep(
        &mut self,
        shared: &Shared,
        record: Record,
    ) -> Result<(), Error> {
        self.record = Some(record.tidy());
        self.unsaved = true;
        // Whatever becomes of the write, what is so by now is known.
        self.announce(shared);
        let outcome = self.save(shared).await;
        self.announce(shared);
        outcome
    }

    /// Keeps this record if it can be written; otherwise all stays as it is.
    pub(in crate::engine) async fn keep_if_written(
        &mut self,
        shared: &Shared,
        record: Record,
    ) -> Result<(), Error> {
        let record = record.tidy();
        let saved = shared.user_code.save(&record, self.version.as_ref()).await;
        match shared.checked(saved, &[]) {
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
    pub(in crate::engine) async fn save(&mut self, shared: &Shared) -> Result<(), Error> {
        self.take_handed_in(shared);
        for _ in 0..MOST_CONFLICTS {
            let Some(record) = self.record.as_ref().filter(|_| self.unsaved) else {
                return Ok(());
            };
            let saved = shared.user_code.save(record, self.version.as_ref()).await;
            match shared.checked(saved, &[]) {
                Ok(version) => {
                    self.written(shared, version);
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::Conflict => {
                    let loaded = shared.checked(shared.user_code.load().await, &[]);
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
    pub(in crate::engine) async fn fill_if_missing(
        &mut self,
        shared: &Shared,
    ) -> Result<(), Error> {
        if !self.is_missing {
            return Ok(());
        }
        self.reload(shared).await?;
        self.unsaved |= self.version.is_none() && self.record.is_some();
        self.is_missing = false;
        Ok(())
    }

    /// Schedules the revocation of a token that is not used any more.
    pub(in crate::engine) async fn retire(&mut self, shared: &Shared, token: LongTermToken) {
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
    pub(in crate::engine) fn take_handed_in(&mut self, shared: &Shared) {
        let Some(token) = shared.engine().handed_in.take() else {
            return;
        };
        let mut record = Record::new(shared.handed_in(token));
        if let Some(mut present) = self.record.take() {
            record.retiring = present.retiring;
            let (next, with) = present.rotation.take();
            if let Some(next) = next {
                record
                    .retiring
                    .push(retiring(shared, next.token, Duration::ZERO));
            }
            self.spent.extend(with);
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
