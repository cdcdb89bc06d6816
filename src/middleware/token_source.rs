//! The adapter of clients that openapi-generator generates with `supportTokenSource`.

use google_cloud_token::TokenSource;

use crate::provider::TokenProvider;

/// Makes the provider a token source for Rust clients that openapi-generator generates with `supportTokenSource`;
/// needs the feature `google-cloud-token`. Set `token_source` of the generated `Configuration` to the provider:
///
/// ```
/// # fn example(provider: everbearer::TokenProvider) {
/// let token_source = std::sync::Arc::new(provider);
/// # let token_source: std::sync::Arc<dyn google_cloud_token::TokenSource> = token_source;
/// # }
/// ```
///
/// The `String` that the trait returns is not zeroized when it is dropped, and its `Debug` output is the token: do not
/// log it. The generated client adds the token to each of its requests, whatever their origin, and cannot send a request
/// again after a refusal. For clients generated with `supportMiddleware`, `BearerMiddleware` adds the token only to
/// requests to configured origins, and resends refused requests.
#[async_trait::async_trait]
impl TokenSource for TokenProvider {
    /// Returns the value of the `Authorization` header, as [`TokenProvider::authorization`] does.
    ///
    /// # Errors
    ///
    /// As [`TokenProvider::authorization`].
    ///
    /// # Cancel safety
    ///
    /// As [`TokenProvider::authorization`].
    async fn token(&self) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
        Ok(self.authorization().await?.to_str()?.to_owned())
    }
}
