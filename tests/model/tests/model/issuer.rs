//! An issuer that takes its time, and minds what it must never see.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::unobserved::{AtomicBool, Mutex, MutexGuard};
use std::sync::{Arc, TryLockError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use everbearer::{Bearer, Error, Exchanged, LongTermToken, ShortTermToken, TokenIssuer};
use tokio::sync::{Notify, Semaphore};

use crate::support::{let_others_run, pause};

pub(crate) const LIFE: Duration = Duration::from_secs(900);

thread_local! {
    /// What some issuer must not have seen. All tasks of an execution are on one thread.
    static SEEN: Cell<Option<String>> = const { Cell::new(None) };
}

/// Its tokens are `st-1`, `st-2` and so on, in the order in which their exchanges began. A clone is
/// another handle to the same issuer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Issuer(Arc<Desk>);

#[derive(Debug, Default)]
struct Desk {
    book: Mutex<Book>,
    has_begun: Notify,
}

#[derive(Debug, Default)]
pub(crate) struct Book {
    /// These exchanges fail.
    pub(crate) failing: BTreeSet<u64>,
    /// These tokens are not revoked.
    pub(crate) refused: BTreeSet<String>,
    pub(crate) begun: u64,
    pub(crate) minted: BTreeSet<String>,
    pub(crate) revoked: Vec<String>,
    pub(crate) most_at_once: usize,
    /// Nothing is revoked before this has a permit.
    pub(crate) gate: Option<Arc<Semaphore>>,
    under_way: Vec<Call>,
}

/// An exchange under way.
#[derive(Debug)]
struct Call {
    number: u64,
    scopes: Vec<String>,
    doomed: Arc<AtomicBool>,
}

/// Ends the call, also when it is dropped half-way.
struct Ending<'a>(&'a Issuer, u64);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.book().under_way.retain(|call| call.number != self.1);
    }
}

/// Checks that no issuer has seen what it must not in this execution.
pub(crate) fn assert_content() {
    assert_eq!(SEEN.take(), None);
}

impl Issuer {
    pub(crate) fn failing_at(exchanges: impl IntoIterator<Item = u64>) -> Self {
        let issuer = Self::default();
        issuer.book().failing.extend(exchanges);
        issuer
    }

    /// Not to be held while others may run: the checker does not know this lock.
    pub(crate) fn book(&self) -> MutexGuard<'_, Book> {
        match self.0.book.try_lock() {
            Ok(book) => book,
            Err(TryLockError::Poisoned(error)) => error.into_inner(),
            Err(TryLockError::WouldBlock) => panic!("the book was held while others ran"),
        }
    }

    /// Waits until an exchange begins.
    pub(crate) async fn has_begun(&self) {
        self.0.has_begun.notified().await;
    }

    fn begin(&self, scopes: &[String]) -> Ending<'_> {
        let mut book = self.book();
        book.begun += 1;
        let call = Call {
            number: book.begun,
            scopes: scopes.to_vec(),
            doomed: tokio::task::doomed(),
        };
        let ending = Ending(self, call.number);
        book.under_way.push(call);
        // Those that went down with their runtime are as good as gone.
        let alive = book.under_way.iter();
        let alive = alive.filter(|call| !call.doomed.load(Ordering::SeqCst));
        let alive: Vec<_> = alive.map(|call| call.scopes.clone()).collect();
        book.most_at_once = book.most_at_once.max(alive.len());
        drop(book);
        let sets: BTreeSet<_> = alive.iter().collect();
        if sets.len() < alive.len() {
            // No panic: the engine takes an issuer's for a failed exchange.
            SEEN.set(Some(format!("two exchanges at once: {alive:?}")));
        }
        ending
    }
}

impl Book {
    pub(crate) fn under_way(&self) -> usize {
        self.under_way.len()
    }
}

#[async_trait]
impl TokenIssuer for Issuer {
    async fn exchange(
        &self,
        _: &LongTermToken,
        scopes: &[String],
    ) -> Result<Exchanged, Error> {
        let (call, sent) = (self.begin(scopes), tokio::time::now());
        self.0.has_begun.notify_one();
        pause().await;
        let_others_run();
        if self.book().failing.contains(&call.1) {
            return Err(Error::transient(format!("exchange {} failed", call.1)));
        }
        let token = format!("st-{}", call.1);
        self.book().minted.insert(token.clone());
        pause().await;
        ShortTermToken::builder(&token)
            .token_id(&token)
            .expires_in(LIFE)
            .expires_at(SystemTime::UNIX_EPOCH + sent + LIFE)
            .build()
            .map(Exchanged::from)
    }

    async fn revoke(&self, token: Bearer<'_>) -> Result<(), Error> {
        let token = token.token_id().unwrap_or("lt").to_owned();
        pause().await;
        let gate = self.book().gate.clone();
        if let Some(gate) = gate {
            gate.acquire().await.expect("nobody closes it").forget();
        }
        let mut book = self.book();
        if book.refused.contains(&token) {
            return Err(Error::terminal("not this one"));
        }
        book.revoked.push(token);
        Ok(())
    }
}
