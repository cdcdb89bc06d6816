//! The tasks that run calls of the issuer and of the store. Each ends in an outcome, whatever panics
//! within it.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;

use tokio::task::JoinSet;
use tracing::Span;

use super::flight::Failed;
use super::guard::{guarded_within, panicked};
use super::lane::Lane;
use super::minting::Fresh;
use super::rotation::{Attended, Setback};
use crate::error::Error;
use crate::token::ShortTermToken;

/// The tasks that the driver has started and that have not ended.
#[derive(Default)]
pub(super) struct Tasks {
    set: JoinSet<Ended>,
    /// How many of them may bring a token.
    pub(super) minting: usize,
}

/// How a task ended.
#[derive(Debug)]
pub(super) enum Ended {
    Exchange(Arc<Lane>, Result<Fresh, Failed>),
    Attendance(Result<Attended, Setback>),
    Revocation(ShortTermToken, Result<(), Error>),
}

impl Tasks {
    /// Starts work as a task, within this span. If the work panics it has failed, and `ended` is
    /// told so.
    pub(super) fn start<T, E>(
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

    /// Starts work that ends with this set of tasks only.
    pub(super) fn start_watch(&mut self, watch: impl Future<Output = Infallible> + Send + 'static) {
        self.set.spawn(async { match watch.await {} });
    }

    /// Starts work that may bring a token.
    pub(super) fn start_minting<T, E>(
        &mut self,
        span: Span,
        work: impl Future<Output = Result<T, E>> + Send + 'static,
        ended: impl FnOnce(Result<T, E>) -> Ended + Send + 'static,
    ) where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        self.minting += 1;
        self.start(span, work, ended);
    }

    pub(super) async fn next(&mut self) -> Option<Ended> {
        while let Some(ended) = self.set.join_next().await {
            // A task does not panic, so that what fails here is a runtime that ends the task; it ends
            // this driver, too.
            let Ok(ended) = ended else { continue };
            if matches!(ended, Ended::Exchange(..) | Ended::Attendance(_)) {
                self.minting -= 1;
            }
            return Some(ended);
        }
        None
    }

    /// Ends all of them, wherever each has got to.
    pub(super) fn give_up(&mut self) {
        self.set.abort_all();
        self.set.detach_all();
        self.minting = 0;
    }
}
