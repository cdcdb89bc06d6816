//! Sending requests of programs without an async runtime.

use http::HeaderValue;

use super::{BlockingTokenProvider, refuse_within_runtime};
use crate::error::Error;

impl BlockingTokenProvider {
    /// Sends a request with the token, and once more with a newer token if the server refuses the first one.
    ///
    /// `send` sends the request with any HTTP client, with this value of the `Authorization` header, and returns the
    /// client's result. `is_refused` returns whether the response refuses the token, as a 401 does.
    ///
    /// Send the token only to the servers that it is for, and follow no redirects to others. If no newer token is
    /// available, the call returns the refusal.
    ///
    /// # Errors
    ///
    /// The outer error is that of the provider, as in [`token`](Self::token), and
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) within an async runtime: no request was sent. The inner error is
    /// that of `send`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use everbearer::testkit::ScriptedIssuer;
    /// # use everbearer::{LongTermToken, TokenProvider};
    /// use http::{HeaderValue, Response};
    ///
    /// # fn client_get(token: &HeaderValue) -> Result<Response<String>, std::io::Error> {
    /// #     let is_first = token == "Bearer st-1";
    /// #     Ok(Response::builder().status(if is_first { 401 } else { 200 }).body(String::new()).unwrap())
    /// # }
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let issuer = ScriptedIssuer::new();
    /// # let provider = TokenProvider::builder(issuer, LongTermToken::new("secret")?).build_blocking()?;
    /// let send = |token: &HeaderValue| client_get(token);
    /// let response = provider.send(send, |response| response.status() == 401)??;
    /// assert_eq!(response.status(), 200);
    /// # Ok(())
    /// # }
    /// ```
    pub fn send<T, E>(
        &self,
        mut send: impl FnMut(&HeaderValue) -> Result<T, E>,
        is_refused: impl FnOnce(&T) -> bool,
    ) -> Result<Result<T, E>, Error> {
        refuse_within_runtime()?;
        let token = match self.provider.token_at_once() {
            Some(token) => token,
            None => self.wait(self.provider.token_before(None))??,
        };
        let outcome = send(token.header());
        if !outcome.as_ref().is_ok_and(is_refused) {
            return Ok(outcome);
        }
        let newer = self.provider.newer_token(token.carried, true, None);
        let Some(newer) = self.wait(newer)? else {
            return Ok(outcome);
        };
        // Drops the refusal, which frees the connection for the resend.
        drop(outcome);
        self.provider.note_resend();
        Ok(send(newer.header()))
    }
}
