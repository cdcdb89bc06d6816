//! Tasks, of which it is known whether they are about to be dropped.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures_util::stream::{FuturesUnordered, StreamExt};
use shuttle_tokio::sync::Notify;
use shuttle_tokio::task::{AbortHandle, JoinHandle};

pub use shuttle_tokio::task::{JoinError, yield_now};

thread_local! {
    static TASKS: RefCell<Tasks> = RefCell::default();
}

#[derive(Default)]
struct Tasks {
    spawned: Vec<Task>,
    census: Option<Arc<Census>>,
}

#[derive(Clone)]
struct Task {
    abort: AbortHandle,
    doomed: Arc<AtomicBool>,
}

/// Counts the tasks that have not ended.
#[derive(Default)]
struct Census {
    alive: AtomicUsize,
    changed: Notify,
}

struct Alive(Arc<Census>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.alive.fetch_sub(1, Ordering::SeqCst);
        self.0.changed.notify_one();
    }
}

shuttle_tokio::task_local! {
    static DOOMED: Arc<AtomicBool>;
}

/// Set once the task that asks for it is about to be dropped.
pub fn doomed() -> Arc<AtomicBool> {
    DOOMED.with(Arc::clone)
}

pub(crate) fn reset() {
    TASKS.take();
}

pub(crate) fn spawn<F>(future: F) -> (JoinHandle<F::Output>, Arc<AtomicBool>)
where
    F: Future<Output: Send> + Send + 'static,
{
    let doomed = Arc::new(AtomicBool::new(false));
    let alive = Alive(census());
    alive.0.alive.fetch_add(1, Ordering::SeqCst);
    let scoped = DOOMED.scope(Arc::clone(&doomed), future);
    let handle = shuttle_tokio::spawn(async move {
        let _alive = alive;
        scoped.await
    });
    let task = Task {
        abort: handle.abort_handle(),
        doomed: Arc::clone(&doomed),
    };
    TASKS.with_borrow_mut(|tasks| tasks.spawned.push(task));
    (handle, doomed)
}

/// Aborts all that was spawned.
pub(crate) fn abort_all() {
    let spawned = TASKS.with_borrow_mut(|tasks| std::mem::take(&mut tasks.spawned));
    for task in &spawned {
        task.doomed.store(true, Ordering::SeqCst);
    }
    for task in spawned {
        task.abort.abort();
    }
}

/// Waits until all that was spawned has ended.
pub(crate) async fn all_ended() {
    let census = census();
    while census.alive.load(Ordering::SeqCst) > 0 {
        census.changed.notified().await;
    }
}

fn census() -> Arc<Census> {
    TASKS.with_borrow_mut(|tasks| Arc::clone(tasks.census.get_or_insert_default()))
}

/// shuttle-tokio's cannot detach.
pub struct JoinSet<T: 'static> {
    inner: FuturesUnordered<JoinHandle<T>>,
    doomed: Vec<Arc<AtomicBool>>,
}

impl<T: Send + 'static> JoinSet<T> {
    #[must_use]
    pub fn new() -> Self {
        Self {
            inner: FuturesUnordered::new(),
            doomed: Vec::new(),
        }
    }

    pub fn spawn(&mut self, future: impl Future<Output = T> + Send + 'static) {
        let (handle, doomed) = spawn(future);
        self.inner.push(handle);
        self.doomed.push(doomed);
    }

    pub async fn join_next(&mut self) -> Option<Result<T, JoinError>> {
        self.inner.next().await
    }
}

impl<T> JoinSet<T> {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.inner.is_empty()
    }

    pub fn abort_all(&mut self) {
        for doomed in &self.doomed {
            doomed.store(true, Ordering::SeqCst);
        }
        for handle in &self.inner {
            handle.abort();
        }
    }

    pub fn detach_all(&mut self) {
        self.inner.clear();
        self.doomed.clear();
    }
}

impl<T: Send + 'static> Default for JoinSet<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Drop for JoinSet<T> {
    fn drop(&mut self) {
        self.abort_all();
    }
}
