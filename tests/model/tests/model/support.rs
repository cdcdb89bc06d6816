//! What the scenarios have in common.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Poll;
use std::time::{Duration, SystemTime};

use everbearer::{
    Clock, LongTermToken, Moment, RefreshPolicy, ShortTermToken, TokenProvider,
    TokenProviderBuilder,
};
pub(crate) use shuttle::future::{JoinHandle, spawn};
use shuttle::rand::{Rng, thread_rng};

use crate::issuer::Issuer;

/// The time of the stand-in for tokio.
#[derive(Debug)]
struct ModelClock;

impl Clock for ModelClock {
    fn now(&self) -> Moment {
        Moment::from_origin(tokio::time::now())
    }

    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + tokio::time::now()
    }
}

pub(crate) fn builder(issuer: &Issuer) -> TokenProviderBuilder {
    let long_term = LongTermToken::builder("lt").token_id("lt").build();
    TokenProvider::builder(issuer.clone(), long_term.expect("it is visible ASCII"))
        .clock(ModelClock)
        .jitter_seed(1)
}

pub(crate) fn provider(issuer: &Issuer) -> TokenProvider {
    builder(issuer).build().expect("its policies make sense")
}

/// A provider whose driver does nothing until somebody asks.
pub(crate) fn lazy_provider(issuer: &Issuer) -> TokenProvider {
    builder(issuer)
        .refresh_policy(RefreshPolicy::default().lazy(true))
        .build()
        .expect("its policies make sense")
}

/// Anything may happen here.
pub(crate) fn let_others_run() {
    AtomicBool::new(false).load(Ordering::SeqCst);
}

/// Comes back later, by way of a poll. `yield_now` would do so too, but asks the schedulers to
/// prefer all others from then on; it is for loops that wait for something.
pub(crate) async fn pause() {
    let mut has_paused = false;
    poll_fn(|context| {
        if std::mem::replace(&mut has_paused, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Lets others run for a while, of any length.
pub(crate) fn linger() {
    for _ in 0..thread_rng().gen_range(0..40) {
        let_others_run();
    }
}

/// In which exchange the token was minted.
pub(crate) fn number(token: &ShortTermToken) -> u64 {
    number_in(token.expose())
}

pub(crate) fn number_in(text: &str) -> u64 {
    let number = text.rsplit('-').next().and_then(|it| it.parse().ok());
    number.unwrap_or_else(|| panic!("{text} is none of the issuer's tokens"))
}

/// Waits for the tasks, and returns what they returned.
pub(crate) async fn all<T>(tasks: impl IntoIterator<Item = JoinHandle<T>>) -> Vec<T> {
    let mut results = Vec::new();
    for task in tasks {
        results.push(task.await.expect("nobody aborts it"));
    }
    results
}

/// The newest token that anyone has seen. All know at once what one has seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Newest(Arc<AtomicU64>);

impl Newest {
    /// What is seen from now on must not be older than this.
    pub(crate) fn so_far(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    pub(crate) fn saw(&self, number: u64, bound: u64) {
        assert!(number >= bound, "{number} was seen after {bound}");
        self.0.fetch_max(number, Ordering::SeqCst);
    }
}

/// Polls it up to so many times, and drops it, wherever it has got to by then.
pub(crate) async fn abandon(future: impl Future) {
    let mut future = pin!(future);
    for _ in 0..thread_rng().gen_range(0..5) {
        let poll = poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await;
        if poll.is_ready() {
            return;
        }
        pause().await;
    }
}

/// Time passes as far as an attempt after a failure is off. Nothing else comes by it: no heartbeat
/// and no time-out makes up for a wake-up that was lost.
pub(crate) fn let_retries_come() {
    drop(spawn(tokio::time::pass(Duration::from_secs(1))));
}
