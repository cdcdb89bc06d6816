//! An issuer that takes its time, and minds what it must never see.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::sync::unobserved::{AtomicBool, Mutex, MutexGuard};
use std::sync::{Arc, TryLockError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use everbearer::{TokenRef, Error, ExchangeResponse, Grant, LongTermToken, ShortTermToken, TokenIssuer, Revoked};
use tokio::sync::{Notify, Semaphore};

use crate::support::{let_others_run, number_in, pause};

pub(crate) const LIFE: Duration = Duration::from_secs(900);

thread_local! {
    /// What some issuer must not have seen. All tasks of an execution are on one thread.
    static SEEN: Cell<Option<String>> = const { Cell::new(None) };
}

/// Its tokens are `st-1`, `st-2` and so on, in the order in which their exchanges began; the
/// long-term ones `lt-1`, `lt-2` and so on. A clone is another handle to the same issuer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Issuer {
    desk: Arc<Desk>,
    /// Each provider has a window of its own, so that it is known who asks.
    window: u64,
}

#[derive(Debug, Default)]
struct Desk {
    book: Mutex<Book>,
    has_begun: Notify,
    /// A next long-term token was asked for.
    was_asked: Notify,
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
    /// A next long-term token puts an end to all before it.
    pub(crate) old_die_at_once: bool,
    /// So many next long-term tokens are refused by the exchange that is to prove them.
    pub(crate) duds: u64,
    /// How many long-term tokens were minted, including those that nobody was told of.
    pub(crate) long_term_minted: u64,
    /// The long-term tokens that somebody was told of.
    pub(crate) handed_out: BTreeSet<String>,
    /// The long-term tokens that are refused.
    pub(crate) dead: BTreeSet<String>,
    /// From which long-term token each short-term one was minted.
    authorities: BTreeMap<String, String>,
    under_way: Vec<Call>,
}

/// A call in flight.
#[derive(Debug)]
struct Call {
    number: u64,
    kind: Kind,
    doomed: Arc<AtomicBool>,
}

/// Of each there must never be two at once.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// An exchange for these scopes, at this window.
    Exchange(u64, Vec<String>),
    /// The exchange for what asks for a long-term token, at whichever window.
    Authorization,
    /// A long-term token is asked for.
    Rotation,
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
        match self.desk.book.try_lock() {
            Ok(book) => book,
            Err(TryLockError::Poisoned(error)) => error.into_inner(),
            Err(TryLockError::WouldBlock) => panic!("the book was held while others ran"),
        }
    }

    /// The same issuer, for another provider.
    pub(crate) fn another_window(&self) -> Self {
        Self {
            desk: Arc::clone(&self.desk),
            window: self.window + 1,
        }
    }

    /// Waits until an exchange begins.
    pub(crate) async fn has_begun(&self) {
        self.desk.has_begun.notified().await;
    }

    /// Waits until somebody asks for a next long-term token.
    pub(crate) async fn was_asked(&self) {
        self.desk.was_asked.notified().await;
    }

    fn begin(&self, kind: Kind) -> Ending<'_> {
        let mut book = self.book();
        book.begun += 1;
        let call = Call {
            number: book.begun,
            kind,
            doomed: tokio::task::doomed(),
        };
        let ending = Ending(self, call.number);
        book.under_way.push(call);
        // Those that went down with their runtime are as good as gone.
        let alive = book.under_way.iter();
        let alive = alive.filter(|call| !call.doomed.load(Ordering::SeqCst));
        let alive: Vec<_> = alive.map(|call| call.kind.clone()).collect();
        book.most_at_once = book.most_at_once.max(alive.len());
        drop(book);
        let kinds: BTreeSet<_> = alive.iter().collect();
        if kinds.len() < alive.len() {
            // No panic: the engine takes an issuer's for a failed exchange.
            SEEN.set(Some(format!("two calls at once: {alive:?}")));
        }
        ending
    }
}

impl Book {
    pub(crate) fn under_way(&self) -> usize {
        self.under_way.len()
    }

    fn check(&self, long_term: &str) -> Result<(), Error> {
        if self.dead.contains(long_term) {
            return Err(Error::terminal("it has ended").with_code("invalid_token"));
        }
        Ok(())
    }

    /// Mints a long-term token on the authority of one that was minted from this one.
    fn mint_long_term(&mut self, source: &str) -> String {
        let newest = self.handed_out.iter().max_by_key(|token| number_in(token));
        if let Some(newest) = newest.filter(|it| source.starts_with("lt-") && *it != source) {
            SEEN.set(Some(format!(
                "asked from {source} after {newest} was there"
            )));
        }
        if self.old_die_at_once {
            self.dead.insert(source.to_owned());
            let before = 1..=self.long_term_minted;
            self.dead
                .extend(before.map(|number| format!("lt-{number}")));
        }
        self.long_term_minted += 1;
        format!("lt-{}", self.long_term_minted)
    }
}

#[async_trait]
impl TokenIssuer for Issuer {
    async fn exchange(
        &self,
        long_term: Option<&LongTermToken>,
        scopes: &[String],
    ) -> Result<ExchangeResponse, Error> {
        let kind = if scopes == ["tokens:write"] {
            Kind::Authorization
        } else {
            Kind::Exchange(self.window, scopes.to_vec())
        };
        let long_term = long_term.expect("the issuer needs one");
        let (call, sent) = (self.begin(kind), tokio::time::now());
        self.desk.has_begun.notify_one();
        pause().await;
        let_others_run();
        if self.book().failing.contains(&call.1) {
            return Err(Error::transient(format!("exchange {} failed", call.1)));
        }
        let token = format!("st-{}", call.1);
        {
            let mut book = self.book();
            book.check(long_term.expose())?;
            if book.duds > 0 && long_term.expose().starts_with("lt-") {
                book.duds -= 1;
                return Err(Error::terminal("it never was any good").with_code("invalid_token"));
            }
            book.minted.insert(token.clone());
            let source = long_term.expose().to_owned();
            book.authorities.insert(token.clone(), source);
        }
        pause().await;
        ShortTermToken::builder(&token)
            .token_id(&token)
            .expires_in(LIFE)
            .expires_at(SystemTime::UNIX_EPOCH + sent + LIFE)
            .build()
            .map(ExchangeResponse::from)
    }

    async fn obtain(
        &self,
        _: &Grant,
        authority: Option<&ShortTermToken>,
    ) -> Result<LongTermToken, Error> {
        let authority = authority.expect("the grant is the provider's own token");
        let _call = self.begin(Kind::Rotation);
        self.desk.was_asked.notify_one();
        pause().await;
        let_others_run();
        let token = {
            let mut book = self.book();
            let authority = authority.expose().to_owned();
            if book.revoked.contains(&authority) {
                return Err(Error::terminal("it was revoked").with_code("invalid_token"));
            }
            let source = book.authorities[&authority].clone();
            book.mint_long_term(&source)
        };
        pause().await;
        // From here on it is the provider's to keep.
        self.book().handed_out.insert(token.clone());
        LongTermToken::builder(&token).token_id(&token).build()
    }

    async fn revoke(&self, token: TokenRef<'_>, _: Option<TokenRef<'_>>) -> Result<Revoked, Error> {
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
        if !token.starts_with("st-") {
            book.check(&token)?;
            book.dead.insert(token.clone());
        }
        book.revoked.push(token);
        Ok(Revoked::Gone)
    }
}
