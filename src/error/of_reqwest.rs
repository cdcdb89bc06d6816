//! The errors of reqwest.

use super::{Error, ErrorKind};

/// Classifies an error of reqwest, so that a [`TokenIssuer`](crate::TokenIssuer) of your own can use `?`: by its status as
/// [`Error::from_status`] does without a code, and otherwise as [`ErrorKind::Timeout`], [`ErrorKind::Unreachable`] or
/// [`ErrorKind::Protocol`]. The error has neither the URL nor the text of a response that cannot be read, which may
/// contain secrets. If no connection could be established, it is [`unsent`](Error::unsent).
///
/// The code of the response and its `Retry-After` are lost, so a refusal counts as the response of a gateway, and the
/// provider retries. If your server refuses credentials with 401 or 403, or sends `Retry-After`, read the status yourself
/// and use [`Error::from_status`].
///
/// # Examples
///
/// ```
/// use everbearer::Error;
/// use serde_json::Value;
///
/// async fn ask(client: &reqwest::Client, url: &str) -> Result<Value, Error> {
///     Ok(client.post(url).send().await?.error_for_status()?.json().await?)
/// }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// # let client = reqwest::Client::builder().no_proxy().build().unwrap();
/// let error = ask(&client, "http://127.0.0.1:9").await.unwrap_err();
/// assert!(error.is_retryable());
/// # }
/// ```
impl From<reqwest::Error> for Error {
    fn from(error: reqwest::Error) -> Self {
        let error = error.without_url();
        if let Some(status) = error.status() {
            let kind = ErrorKind::of_status(status.as_u16(), None);
            let text = format!("the server answers {status}");
            return Self::own(kind, text).with_status(status.as_u16());
        }
        let is_unsent = error.is_connect() || error.is_builder();
        let (kind, text) = if error.is_timeout() {
            (ErrorKind::Timeout, "the server did not answer in time")
        } else if error.is_builder() {
            (
                ErrorKind::Config,
                "the request cannot be sent; check the URL",
            )
        } else if error.is_connect() {
            (ErrorKind::Unreachable, "the server cannot be reached")
        } else if error.is_redirect() {
            let text = "the server redirects too often; configure the final URL";
            (ErrorKind::Protocol, text)
        } else if error.is_decode() {
            // Its source quotes the response.
            return Self::own(ErrorKind::Protocol, "the server's response cannot be read");
        } else {
            (ErrorKind::Unreachable, "the connection to the server broke")
        };
        let error = Self::own(kind, text).with_source(error);
        if is_unsent { error.unsent() } else { error }
    }
}
