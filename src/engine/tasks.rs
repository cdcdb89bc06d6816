//! The tasks that call the issuer and the store. Each task returns a result, even if its work panics.

use std::convert::Infallible;
use std::future::Future;
use std::panic::resume_unwind;

use tokio::task::JoinSet;
use tracing::Span;

use crate::calls::{guarded_within, panicked};
use crate::error::Error;
use crate::issuer::Revoked;
use crate::token::ShortTermToken;

/// The tasks that the driver has started and that have not ended.
#[derive(Default)]
pub(crate) struct Tasks {
    set: JoinSet<Ended>,
    /// How many of them are exchanges or tasks for the long-term token.
    pub(crate) unfinished: usize,
}

/// How a task ended.
pub(crate) enum Ended {
    /// An exchange, whose outcome was taken in.
    Exchange,
    /// A task for the long-term token, whose outcome was taken in.
    Task,
    Revocation(ShortTermToken, Result<Revoked, Error>),
}

impl Tasks {
    /// Starts work as a task within this span. If the work panics, `ended` gets an error. The task itself calls `ended`, so
    /// that no outcome is lost with a driver that is dropped.
    pub(crate) fn start<T, E>(
        &mut self,
        span: Span,
        work: impl Future<Output = Result<T, E>> + Send + 'static,
        ended: impl FnOnce(Result<T, E>) -> Ended + Send + 'static,
    ) where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let work = guarded_within(span, work);
        self.set.spawn(async move {
            let outcome = work.await;
            ended(outcome.unwrap_or_else(|| Err(E::from(panicked()))))
        });
    }

    /// Starts work that runs until the tasks are aborted.
    pub(crate) fn start_watch(&mut self, watch: impl Future<Output = Infallible> + Send + 'static) {
        self.set.spawn(async { match watch.await {} });
    }

    pub(crate) async fn next(&mut self) -> Option<Ended> {
        while let Some(ended) = self.set.join_next().await {
            let ended = match ended {
                Ok(ended) => ended,
                // A bug in this crate, since the task catches panics of user code. The driver panics, too, so
                // that the next driver starts with no exchange in flight.
                Err(error) if error.is_panic() => resume_unwind(error.into_panic()),
                // The runtime is shutting down, which ends this driver, too.
                Err(_) => continue,
            };
            if matches!(ended, Ended::Exchange | Ended::Task) {
                self.unfinished -= 1;
            }
            return Some(ended);
        }
        None
    }

    /// Aborts all tasks.
    pub(crate) fn give_up(&mut self) {
        self.set.abort_all();
        self.set.detach_all();
        self.unfinished = 0;
    }
}
