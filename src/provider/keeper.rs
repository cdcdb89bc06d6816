//! What is kept of the long-term token. Every change of it goes through here, one at a time, and
//! is written down before anything is built on it.

use std::future::Future;
use std::time::{Duration, SystemTime};

use super::shared::Shared;
use crate::error::{Error, ErrorKind};
use crate::machine::Event;
use crate::observe::Happening;
use crate::store::{Dated, Record, Retiring, Stored, Version};
use crate::token::{Lifetime, LongTermToken, ShortTermToken};

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
    /// Whether the current token was handed in and is not written yet.
    is_handed_in: bool,
    /// Whether an exchange has proven the next token, which could not be written down as the
    /// current one since.
    pub(super) is_proven: bool,
    /// The token that the provider was built with: what an empty store begins with, and what is
    /// tried when the stored one is refused.
    given: Option<LongTermToken>,
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
        if !self.is_loaded {
            self.reload(shared).await?;
        }
        Ok(())
    }

    /// Takes up what the store holds by now.
    pub(super) async fn reload(&mut self, shared: &Shared) -> Result<(), Error> {
        self.take_handed_in(shared);
        let loaded = bounded(shared, shared.settings.store.load()).await;
        let stored = loaded.inspect_err(|error| shared.tell_store_failed(error))?;
        shared.tell_store_well();
        self.is_loaded = true;
        match stored {
            Some(stored) => self.take_up(shared, stored),
            // Somebody removes it, perhaps to put another in its place: the next write makes it
            // anew, and until then what is here goes on.
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

    /// Keeps this record: here in any case, and in the store, or else as soon as it can be
    /// written.
    pub(super) async fn keep(&mut self, shared: &Shared, record: Record) -> Result<(), Error> {
        self.record = Some(record);
        self.unsaved = true;
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
        let (present, was_unsaved) = (self.record.clone(), self.unsaved);
        self.record = Some(record);
        self.unsaved = true;
        let outcome = self.save(shared).await;
        if outcome.is_err() {
            (self.record, self.unsaved) = (present, was_unsaved);
        }
        self.announce(shared);
        outcome
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
                    self.version = Some(version);
                    self.unsaved = false;
                    self.is_handed_in = false;
                    self.is_loaded = true;
                    shared.tell_store_well();
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::Conflict => {
                    match bounded(shared, store.load()).await {
                        Ok(Some(theirs)) => self.take_up(shared, theirs),
                        Ok(None) => self.version = None,
                        Err(error) => {
                            shared.tell_store_failed(&error);
                            return Err(error);
                        }
                    }
                }
                Err(error) => {
                    shared.tell_store_failed(&error);
                    return Err(error);
                }
            }
        }
        Err(Error::conflict())
    }

    /// The token of the builder's, if the store holds another one: once.
    pub(super) fn take_given(&mut self, refused: &LongTermToken) -> Option<LongTermToken> {
        self.given.take().filter(|given| !given.reads_like(refused))
    }

    /// Has a token revoked that is of no use.
    pub(super) async fn retire(&mut self, shared: &Shared, token: LongTermToken) {
        if let Some(mut record) = self.record.clone() {
            record
                .retiring
                .push(Self::retiring(shared, token, Duration::ZERO));
            // What cannot be written now is written later.
            let _ = self.keep(shared, record).await;
        }
    }

    /// A superseded token is revoked after the grace.
    pub(super) fn retiring(shared: &Shared, token: LongTermToken, grace: Duration) -> Retiring {
        let now = shared.settings.clock.wall();
        Retiring {
            token,
            revoke_at: now.checked_add(grace).unwrap_or(now),
        }
    }

    /// What somebody else has stored goes before what is here; but a token that only we know of
    /// is not forgotten, and one that we have superseded does not come back.
    fn take_up(&mut self, shared: &Shared, theirs: Stored) {
        let Stored { record, version } = theirs;
        let is_known = self.version.as_ref() == Some(&version);
        self.version = Some(version);
        let Some(ours) = self.record.take() else {
            self.record = Some(record);
            return;
        };
        let is_superseded = ours
            .retiring
            .iter()
            .any(|retiring| retiring.token.reads_like(record.current()));
        if is_superseded || self.is_handed_in || (is_known && self.unsaved) {
            self.record = Some(ours);
            self.unsaved = true;
        } else if self.unsaved {
            self.record = Some(merged(shared, record, ours));
        } else {
            self.record = Some(record);
        }
    }

    /// The token that [`renew`](crate::TokenProvider::renew) brought takes the place of the
    /// current one, which is not ours to revoke.
    fn take_handed_in(&mut self, shared: &Shared) {
        let Some(token) = shared.engine().handed_in.take() else {
            return;
        };
        let mut record = Record::new(shared.handed_in(token));
        if let Some(present) = self.record.take() {
            record.retiring = present.retiring;
            if let Some(next) = present.next {
                record
                    .retiring
                    .push(Self::retiring(shared, next.token, Duration::ZERO));
            }
        }
        self.record = Some(record);
        self.unsaved = true;
        self.is_handed_in = true;
    }

    /// Tells the engine and the machine what is so by now. Returns whether another token has taken
    /// the place of the current one.
    pub(super) fn announce(&self, shared: &Shared) -> bool {
        let (now, wall) = (shared.now(), shared.settings.clock.wall());
        let Some(record) = &self.record else {
            return false;
        };
        let current = &record.current;
        let is_replaced = {
            let mut engine = shared.engine();
            if engine.handed_in.is_some() {
                return false; // it is seen to next
            }
            let present = engine.long_term.as_ref();
            let is_present = present.is_some_and(|held| held.token.reads_like(&current.token));
            let is_replaced = present.is_some() && !is_present;
            if !is_present {
                engine.hold(current.token.clone(), now);
            }
            engine.next = record.next.as_ref().map(|next| next.token.clone());
            engine.beside = record.tokens().skip(1).cloned().collect();
            let is_proving = record.next.is_some() && !self.unsaved && !self.is_proven;
            let machine = &mut engine.machine;
            if !is_present || !machine.knows_long_term() {
                let (age, left) = dates(current, wall);
                let left = left.filter(|_| shared.settings.rotate_with.is_some());
                machine.handle(Event::LongTermBegan { age, left }, now);
            }
            if is_replaced {
                machine.handle(Event::Renewed, now);
            }
            machine.handle(Event::Proving(is_proving), now);
            if let Some(pause) = self.chore_in(record, wall) {
                machine.handle(Event::Chore { at: now + pause }, now);
            }
            is_replaced
        };
        shared.rotated.send_modify(|()| {});
        shared.wake.notify_one();
        is_replaced
    }

    fn tell_reloaded(&self, shared: &Shared) {
        let token_id = self
            .record
            .as_ref()
            .and_then(|record| record.current().token_id());
        shared.observers.tell(Happening::LongTermReloaded {
            token_id: token_id.map(str::to_owned),
        });
    }

    /// In how long something about the record is to be seen to.
    fn chore_in(&self, record: &Record, wall: SystemTime) -> Option<Duration> {
        let is_unfinished = record.asking_with.is_some() && record.next.is_none();
        let is_unsettled = self.is_proven && record.next.is_some();
        if self.unsaved || is_unfinished || is_unsettled || !self.spent.is_empty() {
            return Some(Duration::ZERO);
        }
        let revocations = record.retiring.iter().map(|retiring| retiring.revoke_at);
        revocations
            .min()
            .map(|at| at.duration_since(wall).unwrap_or_default())
    }
}

impl Shared {
    /// A token that somebody else has obtained, with the dates that it states; or else as if it
    /// had been asked for just now.
    pub(super) fn handed_in(&self, token: LongTermToken) -> Dated {
        let stated = Record::from(token.clone()).current;
        if stated.ends_at.is_some() {
            stated
        } else {
            dated(token, self.settings.clock.wall())
        }
    }

    fn tell_store_failed(&self, error: &Error) {
        let repeats = {
            let mut engine = self.engine();
            let last = engine.store_error.replace(error.clone());
            last.is_some_and(|last| last.to_string() == error.to_string())
        };
        let error = error.clone();
        self.observers
            .tell(Happening::StoreFailed { error, repeats });
    }

    fn tell_store_well(&self) {
        self.engine().store_error = None;
    }
}

/// A token that was asked for at this moment, with its dates.
pub(super) fn dated(token: LongTermToken, asked_at: SystemTime) -> Dated {
    let ends_at = match token.lifetime() {
        Lifetime::For(life) => asked_at.checked_add(life),
        Lifetime::Until(end) => end.to_system_time(),
        Lifetime::Unknown => None,
    };
    Dated {
        token,
        obtained_at: Some(asked_at),
        ends_at,
    }
}

/// A call of the store that is given up when it takes too long.
pub(super) async fn bounded<T>(
    shared: &Shared,
    call: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let limit = shared.settings.policies.retry.exchange_timeout;
    let outcome = tokio::time::timeout(limit, call).await;
    outcome.unwrap_or_else(|_| {
        Err(Error::new(
            ErrorKind::Store,
            format!("the token store has not answered within {limit:?}"),
        ))
    })
}

/// Their record, with our tokens that it does not hold.
fn merged(shared: &Shared, mut theirs: Record, ours: Record) -> Record {
    if theirs.current().reads_like(ours.current()) {
        theirs.next = theirs.next.or(ours.next);
        theirs.asking_with = theirs.asking_with.or(ours.asking_with);
        return theirs;
    }
    let ours = [Some(ours.current), ours.next].into_iter().flatten();
    for Dated { token, .. } in ours {
        let is_held = theirs.tokens().any(|held| held.reads_like(&token));
        if !is_held {
            let grace = shared.settings.policies.rotation.grace;
            theirs.retiring.push(Keeper::retiring(shared, token, grace));
        }
    }
    theirs
}

/// How old the token is, and how much of its life is left.
fn dates(dated: &Dated, wall: SystemTime) -> (Duration, Option<Duration>) {
    let since = |at: SystemTime| wall.duration_since(at).unwrap_or_default();
    let left = |at: SystemTime| at.duration_since(wall).unwrap_or_default();
    (
        dated.obtained_at.map(since).unwrap_or_default(),
        dated.ends_at.map(left),
    )
}
