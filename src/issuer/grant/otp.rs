//! One-time codes: each is handed to one request.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::{Error, ErrorKind};
use crate::secret::Secret;
use crate::secret::SecretSource;

/// What brings codes, and the last one that was handed out: by this grant or a clone of it.
#[derive(Clone)]
pub(super) struct OneTimeCodes {
    source: SecretSource,
    last: Arc<Mutex<Option<Secret>>>,
}

impl OneTimeCodes {
    pub(super) fn new(source: SecretSource) -> Self {
        Self {
            source,
            last: Arc::default(),
        }
    }

    /// A code for one request. It counts as used from here on, since nobody can know whether the
    /// server has seen a request that failed.
    pub(super) async fn next(&self) -> Result<Secret, Error> {
        let code = self.source.read().await?;
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last
            .as_ref()
            .is_some_and(|last| last.expose() == code.expose())
        {
            return Err(Error::own(
                ErrorKind::Issuer,
                "the callback returned the last one-time code again, so it was not sent; the next attempt \
                 asks for another",
            ));
        }
        *last = Some(code.clone());
        Ok(code)
    }
}

impl fmt::Debug for OneTimeCodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OneTimeCodes(..)")
    }
}
