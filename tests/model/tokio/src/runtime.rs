//! A runtime: what was spawned on it, and its end. The tasks of the tests are not on it.

use crate::task;

#[derive(Clone, Copy, Debug)]
pub struct Handle;

/// Never happens here: a test is always within the runtime.
#[derive(Clone, Copy, Debug)]
pub struct TryCurrentError;

impl Handle {
    /// # Errors
    ///
    /// Never.
    pub const fn try_current() -> Result<Self, TryCurrentError> {
        Ok(Self)
    }

    pub fn spawn(&self, future: impl Future<Output: Send> + Send + 'static) {
        drop(task::spawn(future));
    }
}

/// Drops all tasks that are there, wherever each has got to. What is spawned from now on is
/// spawned on another runtime.
pub fn end() {
    task::abort_all();
}

/// Waits until no task is left.
pub async fn all_ended() {
    task::all_ended().await;
}

/// For a provider that has a thread of its own, which no test of the model uses.
#[derive(Debug)]
pub struct Builder;

impl Builder {
    pub const fn new_current_thread() -> Self {
        Self
    }

    #[must_use]
    pub const fn enable_all(&mut self) -> &mut Self {
        self
    }

    /// # Errors
    ///
    /// Always.
    pub fn build(&mut self) -> std::io::Result<Runtime> {
        Err(std::io::ErrorKind::Unsupported.into())
    }
}

/// Never exists.
#[derive(Debug)]
pub struct Runtime(std::convert::Infallible);

impl Runtime {
    pub fn handle(&self) -> &Handle {
        match self.0 {}
    }

    pub fn block_on<T>(&self, _: impl Future<Output = T>) -> T {
        match self.0 {}
    }
}

impl Handle {
    pub const fn enter(&self) {}

    /// # Panics
    ///
    /// Always.
    pub fn block_on<T>(&self, _: impl Future<Output = T>) -> T {
        unimplemented!("no test of the model has a blocking provider")
    }
}
