//! What long-lived connections need from a provider.

use super::TokenProvider;
use crate::engine;
use crate::error::Error;
use crate::token::ShortTermToken;

impl TokenProvider {
    /// Waits until the provider uses another token than `token`, and returns that token. If another token is in use
    /// already, the call returns at once.
    ///
    /// Use this method for WebSocket connections, event streams and database connections: they present the token
    /// once, and must reconnect before the token expires.
    ///
    /// The provider replaces a token before it expires, so there is time for the new connection.
    /// [`Status::usable_for`](crate::Status::usable_for) states how long the token in use is still valid by the local
    /// clock. If exchanges fail, the call keeps waiting, even after the token has expired.
    ///
    /// A waiting call counts as a use: the scope set is not idle, and a lazy provider refreshes its token.
    ///
    /// # Errors
    ///
    /// Returns [`ErrorKind::ShutDown`](crate::ErrorKind::ShutDown) after a shutdown, the error of the last exchange
    /// if it is [not retryable](Error::is_retryable) and no token is valid any more,
    /// [`ErrorKind::Issuer`](crate::ErrorKind::Issuer) if the clock fails,
    /// [`ErrorKind::NoRuntime`](crate::ErrorKind::NoRuntime) outside of a tokio runtime, and
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if the provider's own issuer or store calls this method.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the wait only. If the token is replaced meanwhile, a later call with the same token
    /// returns at once.
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
