//! What long-lived connections need from a provider.

use super::TokenProvider;
use crate::engine;
use crate::error::Error;
use crate::token::ShortTermToken;

impl TokenProvider {
    /// Waits until the provider uses another token than this one, and returns it: at once if it does already. For
    /// WebSocket connections, event streams and database connections, which present the token once, and must reconnect before it
    /// expires.
    ///
    /// The provider replaces a token before it expires, so there is time for the new connection; for how long the
    /// token in use is valid by the local clock, [`Status::usable_for`](crate::Status::usable_for) states. While
    /// exchanges fail, the call waits, also beyond the end of the token.
    ///
    /// # Errors
    ///
    /// Returns [`ErrorKind::ShutDown`](crate::ErrorKind::ShutDown) after a shutdown, the error of the last exchange if
    /// it is [not retryable](Error::is_retryable) and no token is valid any more, and
    /// [`ErrorKind::NoRuntime`](crate::ErrorKind::NoRuntime) outside of a tokio runtime.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the wait only. A later call misses no token.
    ///
    /// # Examples
    ///
    /// ```
    /// # use everbearer::testkit::ScriptedIssuer;
    /// # use everbearer::{LongTermToken, TokenProvider};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), everbearer::Error> {
    /// # let issuer = ScriptedIssuer::new();
    /// # let provider = TokenProvider::builder(issuer, LongTermToken::new("secret")?).build()?;
    /// let token = provider.token().await?;
    /// # let other = provider.clone();
    /// # tokio::spawn(async move { other.refresh().await });
    /// // A connection is open with this token until the provider has a newer one.
    /// let newer = provider.changed(&token).await?;
    /// assert_ne!(newer.expose(), token.expose());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn changed(&self, token: &ShortTermToken) -> Result<ShortTermToken, Error> {
        engine::other_than(&self.shared, &self.set, token).await
    }
}
