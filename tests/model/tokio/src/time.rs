//! Time that passes when a test says so, and not otherwise. In shuttle-tokio every sleep is over at
//! once, so that a loop that sleeps is never in need of being woken, and no time-out is ever due.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

pub use std::time::Duration;

thread_local! {
    /// All tasks of an execution are on one thread.
    static TIMERS: RefCell<Timers> = RefCell::default();
}

#[derive(Default)]
struct Timers {
    now: Duration,
    last: u64,
    waiting: BTreeMap<u64, (Duration, Waker)>,
    /// Who lets time pass, and wants to know what is waited for.
    keeper: Option<Waker>,
}

/// How much time has passed.
#[must_use]
pub fn now() -> Duration {
    TIMERS.with_borrow(|timers| timers.now)
}

/// Lets time pass, and wakes who waited for it.
pub async fn advance(by: Duration) {
    shuttle::future::yield_now().await;
    advance_to(now() + by);
}

/// Lets time pass up to each moment that somebody waits for, if it is no farther off than this.
/// What is waited for longer never comes.
pub async fn pass(within: Duration) {
    loop {
        let next = std::future::poll_fn(|context| {
            TIMERS.with_borrow_mut(|timers| {
                timers.keeper = Some(context.waker().clone());
                let next = timers.waiting.values().map(|(at, _)| *at).min();
                match next.filter(|at| *at <= timers.now + within) {
                    Some(at) => Poll::Ready(at),
                    None => Poll::Pending,
                }
            })
        })
        .await;
        shuttle::future::yield_now().await;
        advance_to(next);
    }
}

fn advance_to(moment: Duration) {
    let due = TIMERS.with_borrow_mut(|timers| {
        timers.now = timers.now.max(moment);
        let waiting = std::mem::take(&mut timers.waiting);
        let (due, waiting) = waiting
            .into_iter()
            .partition(|(_, (at, _))| *at <= timers.now);
        timers.waiting = waiting;
        BTreeMap::into_values(due)
    });
    due.for_each(|(_, waker)| waker.wake());
}

pub(crate) fn reset() {
    TIMERS.take();
}

#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct Sleep {
    id: u64,
    until: Duration,
}

pub fn sleep(duration: Duration) -> Sleep {
    TIMERS.with_borrow_mut(|timers| {
        timers.last += 1;
        Sleep {
            id: timers.last,
            until: timers.now.saturating_add(duration),
        }
    })
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        TIMERS.with_borrow_mut(|timers| {
            if self.until <= timers.now {
                timers.waiting.remove(&self.id);
                return Poll::Ready(());
            }
            let entry = (self.until, context.waker().clone());
            timers.waiting.insert(self.id, entry);
            if let Some(keeper) = timers.keeper.take() {
                keeper.wake();
            }
            Poll::Pending
        })
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        // Dropped after the borrow: it may be the last of its kind.
        let entry = TIMERS.with_borrow_mut(|timers| timers.waiting.remove(&self.id));
        drop(entry);
    }
}

/// # Errors
///
/// If the time is over before the future is.
pub async fn timeout<F: Future>(limit: Duration, future: F) -> Result<F::Output, error::Elapsed> {
    let mut future = Box::pin(future);
    let mut sleep = sleep(limit);
    std::future::poll_fn(move |context| {
        if let Poll::Ready(output) = future.as_mut().poll(context) {
            return Poll::Ready(Ok(output));
        }
        let elapsed = Pin::new(&mut sleep).poll(context);
        elapsed.map(|()| Err(error::Elapsed(())))
    })
    .await
}

pub mod error {
    #[derive(Debug)]
    pub struct Elapsed(pub(super) ());
}
