//! What every rival is asked for, and what mints its tokens.

use std::future::Future;

use http::HeaderValue;

use crate::source::Source;

pub(crate) type Refusal = Box<dyn std::error::Error + Send + Sync>;

/// One way to keep a token fresh. A clone is another handle to the same cache.
pub(crate) trait Rival: Clone + Send + Sync + 'static {
    /// As the tables and figures name it.
    const NAME: &'static str;

    /// Its own error, where that is made without further ado: turning one result into another
    /// costs as much as some rivals do.
    type Refused: std::fmt::Debug + Send;

    /// Set up as its docs say, with nothing cached yet, to get its tokens from this source.
    fn start(source: &Source) -> impl Future<Output = Self> + Send;

    /// `Bearer <token>` of a token that is good now.
    fn header(&self) -> impl Future<Output = Result<HeaderValue, Self::Refused>> + Send;
}
