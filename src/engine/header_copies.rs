//! Copies of one header. Cloning a header increments a reference count, and a count that all threads write does not
//! scale. So each thread has a copy of its own, with its own count.

use std::cell::Cell;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, OnceLock};
use std::thread::available_parallelism;

use http::HeaderValue;

use crate::token::ShortTermToken;

/// How many copies of a header there are at most: enough that threads seldom share one.
static MOST: LazyLock<usize> = LazyLock::new(|| {
    let cores = available_parallelism().map_or(1, NonZeroUsize::get);
    (2 * cores).next_power_of_two()
});
static THREADS: AtomicUsize = AtomicUsize::new(1);

thread_local! {
    /// The number of the thread, from 1; 0 until it has used a header.
    static NUMBER: Cell<usize> = const { Cell::new(0) };
}

/// Created at first use, so that an unused token has no copies.
#[derive(Debug, Default)]
pub(crate) struct HeaderCopies(OnceLock<Box<[Apart<OnceLock<HeaderValue>>]>>);

/// Keeps a value on two cache lines of its own, since processors fetch them in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Apart<T>(T);

impl HeaderCopies {
    /// Returns this thread's copy of the token's header.
    #[inline]
    pub(crate) fn of<'a>(&'a self, token: &'a ShortTermToken) -> &'a HeaderValue {
        let present = self.0.get().and_then(|copies| {
            let number = NonZeroUsize::new(NUMBER.get())?.get();
            let Apart(copy) = copies.get(number & (copies.len() - 1))?;
            copy.get()
        });
        present.unwrap_or_else(|| self.make(token))
    }

    #[cold]
    fn make<'a>(&'a self, token: &'a ShortTermToken) -> &'a HeaderValue {
        if NUMBER.get() == 0 {
            NUMBER.set(THREADS.fetch_add(1, Ordering::Relaxed));
        }
        // Created before it is set, so that no thread waits for another.
        if self.0.get().is_none() {
            let _ = self.0.set((0..*MOST).map(|_| Apart::default()).collect());
        }
        let slot = self.0.get().and_then(|copies| {
            let Apart(slot) = copies.get(NUMBER.get() & (copies.len() - 1))?;
            if slot.get().is_none() {
                let _ = slot.set(token.copied_header());
            }
            slot.get()
        });
        slot.unwrap_or_else(|| token.authorization())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> ShortTermToken {
        ShortTermToken::builder("a.b.c").build().unwrap()
    }

    /// Returns the address of the header that a new thread gets.
    fn on_a_thread(copies: &HeaderCopies, token: &ShortTermToken) -> usize {
        std::thread::scope(|scope| {
            let address = scope.spawn(|| copies.of(token).as_bytes().as_ptr().addr());
            address.join().unwrap()
        })
    }

    #[test]
    fn a_thread_is_given_the_same_copy_each_time_and_others_are_given_others() {
        let (copies, token) = (HeaderCopies::default(), token());
        let own = copies.of(&token);
        assert_eq!(own, token.authorization());
        assert!(own.is_sensitive());
        assert!(std::ptr::eq(own, copies.of(&token)));
        let others: Vec<usize> = (1..*MOST).map(|_| on_a_thread(&copies, &token)).collect();
        // Threads are numbered in order, unless another test starts threads meanwhile.
        let own = own.as_bytes().as_ptr().addr();
        assert!(others.iter().any(|it| *it != own));
        // Threads that start when all copies exist get different ones, too.
        let later: Vec<usize> = (0..2 * *MOST)
            .map(|_| on_a_thread(&copies, &token))
            .collect();
        let (_, later) = later.split_at(*MOST);
        assert!(later.iter().any(|it| *it != later[0]), "{later:?}");
    }

    #[test]
    fn however_many_threads_there_are_no_more_copies_are_made() {
        let (copies, token) = (HeaderCopies::default(), token());
        let addresses: std::collections::BTreeSet<usize> = (0..10 * *MOST)
            .map(|_| on_a_thread(&copies, &token))
            .collect();
        assert!(addresses.len() <= *MOST, "{}", addresses.len());
        assert!(addresses.len() > 1);
    }
}
